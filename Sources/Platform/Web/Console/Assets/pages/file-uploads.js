// Uploads: several at once, each with its progress and a way to stop it; an existing file is replaced only when asked.
import { upload } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { store } from "../core/store.js";
import { openDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { progress } from "../components/progress.js";

/** Requests at once: more only makes each of them slower. */
const AT_ONCE = 2;
/** Where the deployment says nothing (API.md §1.7). */
const LARGEST = 104_857_600;

/** `stored(key)` is called after each file; `stop()` ends what is on its way. */
export function uploads({ bot, signal, stored }) {
  const view = h("ul", { class: "uploads", "aria-label": t("files.uploads") });
  view.hidden = true;
  const waiting = [];
  const stops = new Set();
  let running = 0;
  // "For all of them": the answer to the question that would come again.
  let always = null;
  let asking = Promise.resolve();

  function add(files, prefix) {
    always = null;
    for (const file of files) waiting.push({ file, key: `${prefix}${file.name.normalize("NFC")}`, ...line(file) });
    pump();
  }
  function line(file) {
    const stop = new AbortController();
    const end = () => stop.abort();
    signal.addEventListener("abort", end);
    stops.add(stop);
    const bar = progress(shown(file.name), { onCancel: end });
    const row = h("li", {}, bar);
    view.append(row);
    view.hidden = false;
    return { stop, bar, row };
  }
  function pump() {
    while (running < AT_ONCE && waiting.length) {
      running++;
      send(waiting.shift()).finally(() => { running--; pump(); });
    }
  }
  async function send(job) {
    const limit = store.config?.limits?.maxFileBytes ?? LARGEST;
    try {
      if (job.file.size > limit) throw new Error(t("files.tooLarge", { limit: bytes(limit) }));
      job.bar.set(0, job.file.size || 1);
      await put(job, { "If-None-Match": "*" }).catch(async (error) => {
        if (error.status !== 412) throw error;
        if (!await ask(job)) throw new DOMException("", "AbortError");
        await put(job, {});
      });
      leave(job);
      stored(job.key);
    } catch (error) {
      if (error.name === "AbortError") leave(job); else fail(job, error);
    } finally {
      stops.delete(job.stop);
    }
  }
  const put = (job, headers) => upload(bot.botId, job.key, job.file, { headers, signal: job.stop.signal, progress: (done, total) => job.bar.set(done, total) });
  function leave(job) {
    job.row.remove();
    view.hidden = view.children.length === 0;
  }
  function fail(job, error) {
    const again = h("button", { type: "button", class: "quiet", onclick: () => {
      leave(job);
      waiting.push({ file: job.file, key: job.key, ...line(job.file) });
      pump();
    } }, icon("refresh", 18), h("span", {}, t("action.retry")));
    const row = h("li", { class: "failed", role: "alert" }, icon("alert", 18), h("span", { class: "grow" }, h("bdi", {}, shown(job.file.name)), h("span", { class: "error" }, ` ${error.message}`)), again,
      h("button", { type: "button", class: "icon-button", "aria-label": t("action.dismiss"), onclick: () => leave({ row }) }, icon("close", 18)));
    job.row.replaceWith(row);
    job.row = row;
  }
  // One question at a time, however many files are there already.
  function ask(job) {
    const answer = asking.then(() => (always ?? question(job)));
    asking = answer.catch(() => null);
    return answer;
  }
  async function question(job) {
    const all = h("input", { type: "checkbox" });
    const dialog = openDialog({ title: t("files.existsTitle"), body: [h("p", {}, t("files.existsText", { name: shown(job.file.name) })), h("div", { class: "field check" }, h("label", {}, all, h("span", {}, t("files.existsAll"))))],
      actions: [h("button", { type: "button", onclick: () => dialog.close(false) }, t("files.keep")), h("button", { type: "button", class: "main", onclick: () => dialog.close(true) }, t("files.replace"))] });
    const replaceIt = (await dialog.closed) === true;
    if (all.checked) always = replaceIt;
    return replaceIt;
  }
  return { view, add, stop() { for (const stop of stops) stop.abort(); } };
}
