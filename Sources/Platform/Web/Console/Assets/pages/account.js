// The user's own account.
import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { act } from "../components/act.js";
import { field } from "../components/form.js";
import { toast } from "../components/toast.js";
import { account } from "../core/api.js";
import { newPassword } from "../components/form.js";

export function page() {
  const box = h("div", { class: "stack narrow middle" }, h("h1", {}, "Account"));
  const facts = h("dl", { class: "facts" });
  api.get("/api/me").then((me) => replace(facts,
    [["E-mail", me.email], ["Plan", me.plan], ["Bots", `${me.botCount} of ${me.quota.maxBots}`],
      ["Tokens this month", `${me.usage.tokens.toLocaleString()} of ${me.quota.maxMonthlyTokens.toLocaleString()}`], ["Runs this month", me.usage.invocations]]
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), (error) => toast(error.message, "bad"));
  const current = field("Current password", h("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 128 }));
  const fresh = newPassword();
  const submit = h("button", { type: "submit" }, "Change password");
  const form = h("form", { class: "card stack" }, h("h2", {}, "Password"), current, fresh.boxes, submit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    current.fail();
    if (!fresh.agree()) return;
    act(submit, async () => {
      try {
        await account.changePassword(current.input.value, fresh.value);
        form.reset();
        toast("The password is changed. All other sessions have ended.");
      } catch (error) {
        if (error.slug === "invalid-credentials") current.fail("This is not your current password.");
        else if (error.status === 400) fresh.boxes[0].fail(error.errors[0]?.message ?? error.message);
        else throw error;
      }
    });
  });
  box.append(h("div", { class: "card" }, facts), form);
  return { view: box, title: "Account" };
}
