// The second step of signing in: an authenticator app. Shown only where the server has it.
import { api, call } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { openDialog } from "../components/dialog.js";
import { copyable } from "../components/copy.js";
import { field, form } from "../components/form.js";
import { qrCode } from "../components/qr.js";
import { failure, tag } from "../components/states.js";
import { toast } from "../components/toast.js";

const passwordField = () => field(t("account.current"), h("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 128 }), { name: "currentPassword" });
const codeField = (label = t("totp.code")) => field(label, h("input", { class: "code-input", inputmode: "numeric", autocomplete: "one-time-code", required: true, maxlength: 20, spellcheck: "false" }), { name: "code" });

export function secondFactor({ signal }) {
  const section = h("section", { class: "card stack", hidden: true });
  async function load() {
    try {
      draw(await api.get("/auth/totp", { signal }));
    } catch (error) {
      if (error.name === "AbortError") return;
      // A server without a second factor has no such route.
      section.hidden = error.status >= 400 && error.status < 500;
      if (!section.hidden) replace(section, h("h2", {}, t("factor.title")), failure(error, load));
    }
  }
  function draw({ enabled }) {
    section.hidden = false;
    replace(section, h("div", { class: "row spread" }, h("h2", {}, t("factor.title")), tag(t(enabled ? "factor.on" : "factor.off"), enabled ? "good" : "")), h("p", { class: "hint" }, t(enabled ? "factor.onText" : "factor.offText")),
      h("div", { class: "actions" }, enabled ? h("button", { type: "button", class: "danger", onclick: turnOff }, t("factor.turnOff")) : h("button", { type: "button", onclick: turnOn }, t("factor.turnOn"))));
  }

  function turnOn() {
    const place = h("div", { class: "stack" });
    const dialog = openDialog({ title: t("factor.turnOn"), body: place });
    const password = passwordField();
    replace(place, h("p", {}, t("factor.why")), form({ children: [password], label: t("factor.next"), submit: async () => {
      try { scan(await api.post("/auth/totp/enrol", { currentPassword: password.input.value })); } catch (error) { wrong(error, password); }
    } }));
    password.input.focus();

    function scan({ secret, otpauthUri }) {
      const code = codeField();
      replace(place, h("ol", { class: "steps" }, h("li", {}, t("factor.scan"))), qrCode(otpauthUri, t("factor.picture")),
        h("details", {}, h("summary", {}, t("factor.byHand")), h("div", { class: "stack tight" }, copyable(secret.match(/.{1,4}/g).join(" "), t("factor.key")), h("a", { href: otpauthUri }, t("totp.open")))),
        form({ children: [code], label: t("factor.turnOn"), submit: async () => {
          const { recoveryCodes } = await api.post("/auth/totp/confirm", { code: code.input.value.replace(/\s/g, "") });
          draw({ enabled: true });
          codes(recoveryCodes);
        } }));
      code.input.focus();
    }

    // The one moment in which they are shown: it ends with a button that says so, not by a press beside the dialog.
    function codes(list) {
      const kept = h("button", { type: "button", class: "main", onclick: () => { dialog.close(); toast(t("factor.isOn")); } }, t("factor.kept"));
      const heading = h("h3", { tabindex: "-1" }, t("factor.codes"));
      replace(place, heading, h("p", {}, t("factor.codesText")), h("ul", { class: "codes" }, list.map((one) => h("li", {}, h("code", {}, one)))), copyable(list.join(" "), t("factor.codes")), h("div", { class: "actions end" }, kept));
      heading.focus();
    }
  }

  function turnOff() {
    const password = passwordField();
    const code = codeField(t("factor.codeOrRecovery"));
    const dialog = openDialog({ title: t("factor.turnOff"), body: [h("p", {}, t("factor.turnOffText")), form({ children: [password, code], label: t("factor.turnOff"), kind: "main danger", submit: async () => {
      try {
        await call("DELETE", "/auth/totp", { body: { currentPassword: password.input.value, code: code.input.value.replace(/\s/g, "") } });
        dialog.close();
        draw({ enabled: false });
        toast(t("factor.isOff"));
      } catch (error) { wrong(error, password); }
    } })] });
    password.input.focus();
  }

  function wrong(error, password) {
    if (error.slug !== "invalid-credentials") throw error;
    password.fail(t("account.wrongPassword"));
    password.input.focus();
  }

  load();
  return section;
}
