// Before a session: e-mail and password, and whatever the server asks for next (a new password, an authenticator's code).
import { account } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { field, form, newPassword } from "../components/form.js";
import { mark } from "../components/icon.js";

/** `done()` is called when the session has begun. `again()` draws the same step in another language. */
export function signIn({ done, reason = null }) {
  const state = { email: "", reason };
  const view = h("div", { class: "signin card" });
  let step = askPassword;

  function show(next) {
    step = next;
    draw();
    (view.querySelector("input:not([value=''])") ?? view.querySelector("input"))?.focus();
  }
  function draw() { replace(view, step()); }

  function answered(challenge) {
    if (!challenge) return done();
    state.challenge = challenge;
    const steps = { NEW_PASSWORD_REQUIRED: choosePassword, TOTP_REQUIRED: askCode, TOTP_ENROLMENT_REQUIRED: enrol };
    if (!steps[challenge.challengeName]) throw new Error(t("signin.unknownChallenge"));
    show(steps[challenge.challengeName]);
  }
  // A challenge lives for minutes: when it is over, the way leads back to the beginning.
  function back(error) {
    if (error.status !== 401 || error.slug === "invalid-credentials") throw error;
    state.reason = t("signin.challengeOver");
    show(askPassword);
  }
  const startAgain = () => h("button", { type: "button", class: "quiet", onclick: () => { state.reason = null; show(askPassword); } }, t("signin.startAgain"));
  const head = (title, text) => [mark(48), h("h1", {}, title), h("p", { class: "hint" }, text)];

  function askPassword() {
    const email = field(t("signin.email"), h("input", { type: "email", name: "email", autocomplete: "username", required: true, maxlength: 254, value: state.email }), { name: "email" });
    const password = field(t("signin.password"), h("input", { type: "password", name: "password", autocomplete: "current-password", required: true, maxlength: 128 }), { name: "password" });
    email.input.addEventListener("input", () => { state.email = email.input.value; });
    return [h("div", { class: "hello" }, head("ClawBot Cloud", t("signin.lead"))), state.reason && h("p", { class: "callout", role: "alert" }, state.reason),
      form({ children: [email, password], label: t("signin.submit"), submit: async () => {
        const challenge = await account.login(email.input.value.trim(), password.input.value);
        password.input.value = "";
        answered(challenge);
      } })];
  }

  function choosePassword() {
    const fresh = newPassword();
    return [h("div", { class: "hello" }, head(t("signin.newPassword"), t("signin.newPasswordLead"))),
      form({ children: [h("input", { type: "email", autocomplete: "username", value: state.email, hidden: true, readonly: true, "aria-hidden": "true", tabindex: "-1" }), ...fresh.boxes], label: t("signin.savePassword"), actions: [startAgain()], submit: async () => {
        if (!fresh.agree()) return;
        try { answered(await account.chooseFirstPassword(state.challenge.challengeToken, fresh.value)); } catch (error) { back(error); }
      } })];
  }

  function codeForm() {
    const code = field(t("totp.code"), h("input", { inputmode: "numeric", autocomplete: "one-time-code", autocapitalize: "off", spellcheck: "false", required: true, maxlength: 32, class: "code-input" }), { hint: t("totp.hint"), name: "code" });
    return form({ children: code, label: t("totp.submit"), actions: [startAgain()], submit: async () => {
      try { answered(await account.totp(state.challenge.challengeToken, code.input.value.replace(/\s/g, ""))); } catch (error) {
        if (error.slug === "invalid-credentials") { code.fail(t("totp.wrong")); code.input.select(); return; }
        back(error);
      }
    } });
  }

  function askCode() {
    return [h("div", { class: "hello" }, head(t("totp.title"), t("totp.lead"))), codeForm()];
  }

  function enrol() {
    const place = h("div", { class: "stack" });
    const show = (secret) => replace(place,
      h("ol", { class: "steps" },
        h("li", {}, t("totp.step1")),
        h("li", {}, t("totp.step2"), h("p", { class: "secret" }, h("code", {}, secret.secret.replace(/(.{4})(?=.)/g, "$1 "))), h("p", {}, h("a", { href: safeOtpauth(secret.otpauthUri) }, t("totp.open")))),
        h("li", {}, t("totp.step3"))),
      codeForm());
    if (state.secret && state.secretOf === state.challenge.challengeToken) show(state.secret);
    else {
      replace(place, form({ children: h("p", {}, t("totp.why")), label: t("totp.begin"), actions: [startAgain()], submit: async () => {
        try {
          state.secret = await account.enrol(state.challenge.challengeToken);
          state.secretOf = state.challenge.challengeToken;
          show(state.secret);
          place.querySelector("input").focus();
        } catch (error) { back(error); }
      } }));
    }
    return [h("div", { class: "hello" }, head(t("totp.enrolTitle"), t("totp.enrolLead"))), place];
  }

  draw();
  queueMicrotask(() => (view.querySelector(state.email ? "input[type=password]" : "input"))?.focus());
  return { view, again() { draw(); return this; } };
}

// Only the scheme that authenticator apps register for.
const safeOtpauth = (uri) => (uri.startsWith("otpauth://totp/") ? uri : undefined);
