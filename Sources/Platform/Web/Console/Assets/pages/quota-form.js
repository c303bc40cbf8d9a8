// The five numbers of an allowance.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { field, form } from "../components/form.js";

export const QUOTA = ["maxBots", "maxGroupsPerBot", "maxTasksPerBot", "maxConcurrentAgents", "maxMonthlyTokens"];
const MOST = 1_000_000_000_000;

/** Fields named by `prefix` and the API's names; `value()` answers the whole allowance. */
export function quotaFields(quota, prefix = "") {
  const boxes = QUOTA.map((key) => field(t(`quota.${key}`), h("input", { type: "number", required: true, min: 0, max: MOST, step: 1, inputmode: "numeric", value: quota[key] }), { name: `${prefix}${key}` }));
  return { boxes, value: () => Object.fromEntries(QUOTA.map((key, index) => [key, Number(boxes[index].input.value)])) };
}

export function quotaForm({ quota, label, submit }) {
  const fields = quotaFields(quota);
  return form({ children: fields.boxes, label, submit: () => submit(fields.value()) });
}
