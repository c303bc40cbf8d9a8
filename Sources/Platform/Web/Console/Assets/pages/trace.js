// The way of one message: when it came, waited, was worked on and left, as a small timeline.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { duration, t, when } from "../core/i18n.js";
import { openDialog } from "../components/dialog.js";
import { stateText } from "../components/message.js";
import { loading, skeleton } from "../components/states.js";

/** Shows the trace of a message in a dialog. */
export function showTrace(bot, jid, messageId) {
  const stop = new AbortController();
  const dialog = openDialog({ title: t("trace.title"), kind: "wide", body: loading(
    () => api.get(`/api/bots/${part(bot.botId)}/groups/${part(jid)}/messages/${part(messageId)}`, { signal: stop.signal }), draw,
    { placeholder: () => skeleton("rows", 4), attributes: { class: "stack" } }) });
  dialog.closed.then(() => stop.abort());
}

function draw(message) {
  const trace = [...(message.trace ?? [])].sort((a, b) => (a.at < b.at ? -1 : 1));
  if (!trace.length) return h("p", { class: "hint" }, t("trace.none"));
  const time = (step) => new Date(step.at).getTime();
  const begin = time(trace[0]);
  const end = Math.max(...trace.map((step) => time(step) + (step.durationMs ?? 0)));
  const whole = Math.max(1, end - begin);
  return [
    h("p", {}, t("trace.summary", { time: duration(end - begin), state: stateText(message) || t("message.state.answered") })),
    h("ol", { class: "timeline" }, trace.map((step) => {
      const bar = h("i");
      bar.style.marginInlineStart = `${((time(step) - begin) / whole) * 100}%`;
      bar.style.width = `${((step.durationMs ?? 0) / whole) * 100}%`;
      return h("li", {},
        h("time", { datetime: step.at, title: when(step.at, { full: true }) }, `+${duration(time(step) - begin)}`),
        h("span", {}, t(`trace.step.${step.step}`), step.name && h("bdi", { class: "mono hint" }, ` ${step.name.replace(/^mcp__[^_]+__/, "")}`)),
        h("span", { class: "hint" }, step.durationMs === undefined ? "" : duration(step.durationMs)),
        step.durationMs !== undefined && h("span", { class: "bar-track", "aria-hidden": "true" }, bar));
    })),
    h("p", { class: "hint" }, t("trace.hint")),
  ];
}
