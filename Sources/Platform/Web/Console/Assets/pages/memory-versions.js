// Earlier contents of a memory: who wrote them and when, what is different now, and the way back.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { actButton } from "../components/act.js";
import { openDialog } from "../components/dialog.js";
import { diffView } from "../components/diff.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { ago, at } from "../components/time.js";
import { toast } from "../components/toast.js";

/** `current()` answers the text as it is stored now; `restore(content)` writes one. */
export function versionsDialog({ path, signal, current, restore }) {
  const place = h("div");
  const back = () => replace(place, list);
  const list = pagedList({
    label: t("memory.versions"), attributes: { class: "rows boxed" },
    // A server without versions says that there is no such thing.
    load: (cursor, limit) => api.get(`${path}/versions?limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }).catch((error) => { if (error.status === 404) return { items: [] }; throw error; }),
    row: (version) => h("div", {}, h("button", { type: "button", class: "list-row version", onclick: () => open(version) },
      h("span", { class: "grow" }, h("b", {}, ago(version.createdAt)), h("span", { class: "hint" }, " · ", at(version.createdAt, { full: true }), ` · ${bytes(version.size)}`)), who(version), icon("right", 16))),
    nothing: () => empty("clock", t("memory.noVersions"), t("memory.noVersionsText")),
  });
  replace(place, list);
  const dialog = openDialog({ title: t("memory.versions"), kind: "wide", body: place });

  function open(version) {
    const heading = h("div", { class: "row" }, h("button", { type: "button", class: "icon-button", "aria-label": t("memory.allVersions"), title: t("memory.allVersions"), onclick: back }, icon("left")), h("h3", { class: "grow" }, at(version.createdAt, { full: true })), who(version));
    replace(place, h("div", { class: "stack" }, heading, loading(() => api.get(`${path}/versions/${part(version.versionId)}`, { signal }), (full) => {
      const now = current();
      const problem = h("p", { class: "error", role: "alert", hidden: true });
      return h("div", { class: "stack" },
        h("h4", {}, t("memory.sinceThen")), diffView(full.content, now, t("memory.sinceThen")),
        h("details", {}, h("summary", {}, t("memory.whole")), h("pre", { class: "whole", tabindex: "0", role: "region", "aria-label": t("memory.whole"), dir: "auto" }, full.content || " ")),
        problem,
        full.content !== now && h("div", { class: "actions" }, actButton(t("memory.restore"), async () => {
          await restore(full.content);
          dialog.close();
          toast(t("memory.restored"));
        }, { kind: "main", glyph: "refresh", failed: (error) => { problem.textContent = error.status === 412 ? t("memory.changedMeanwhile") : error.message; problem.hidden = false; } })));
    }, { placeholder: () => skeleton("lines", 6) })));
    heading.querySelector("button").focus();
  }
}

const who = (version) => tag(t(`memory.by.${version.by}`), version.by === "agent" ? "accent" : "");
