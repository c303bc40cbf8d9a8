// Somebody else's HTML, shown without letting it do anything (SEC-98).
import { h } from "../core/dom.js";

// The one policy that lets text become a document. Nothing but the frame below uses it: scripts, forms, navigation and popups are
// off by the empty `sandbox`, requests by the policy at its head, what prepares connections by having another name.
const policy = self.trustedTypes?.createPolicy("clawbot-inert", { createHTML: (text) => text }) ?? { createHTML: (text) => text };
const HEAD = `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">`;

/** A frame with the page as it would look without scripts, pictures from elsewhere and links that lead anywhere. */
export function inertPage(source, title) {
  const frame = h("iframe", { class: "inert", sandbox: true, title, referrerpolicy: "no-referrer" });
  frame.srcdoc = policy.createHTML(HEAD + source.replace(/<(link|base|meta)\b/gi, "<x-$1"));
  return frame;
}
