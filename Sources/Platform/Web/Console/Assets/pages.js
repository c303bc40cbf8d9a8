// The pages: sign-in, bots, one bot with its tabs, shared memory, account.
import { api, call, part } from "./api.js";
import { chat } from "./chat.js";
import { avatar, busy, empty, field, h, note, replace, when } from "./dom.js";
import { channels } from "./telegram.js";

export function signIn(done, reason) {
  const box = h("div", { class: "signin card" });
  const email = field("E-mail", h("input", { type: "email", name: "email", autocomplete: "username", required: true, autofocus: true }));
  const password = field("Password", h("input", { type: "password", name: "password", autocomplete: "current-password", required: true, maxlength: 128 }));
  const submit = h("button", { class: "main", type: "submit" }, "Sign in");
  const form = h("form", { class: "stack" },
    h("div", { class: "hello" }, h("img", { src: "/icon.svg", alt: "", width: 48, height: 48 }), h("h1", {}, "ClawBot Cloud"), h("p", { class: "hint" }, "Sign in to your assistants")),
    reason && h("p", { class: "callout", role: "alert" }, reason), email, password, submit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    password.fail();
    busy(submit, async () => {
      try {
        const answer = await api.login(email.input.value.trim(), password.input.value);
        password.input.value = "";
        if (answer.challengeName === "NEW_PASSWORD_REQUIRED") replace(box, firstPassword(answer.challengeToken, done));
        else done();
      } catch (error) {
        password.fail(error.message);
      }
    });
  });
  return replace(box, form);
}

function newPasswordFields() {
  const first = field("New password", h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 12, maxlength: 128 }), "At least 12 characters; not your e-mail, not a common password.");
  const second = field("Once more", h("input", { type: "password", autocomplete: "new-password", required: true, maxlength: 128 }));
  const agree = () => {
    second.fail(first.input.value === second.input.value ? null : "The two are not the same.");
    return first.input.value === second.input.value;
  };
  return { first, second, agree };
}

function firstPassword(challenge, done) {
  const { first, second, agree } = newPasswordFields();
  const submit = h("button", { class: "main", type: "submit" }, "Save and sign in");
  const form = h("form", { class: "stack" }, h("h1", {}, "Choose a password"), h("p", { class: "hint" }, "The one you were given works only once."), first, second, submit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    first.fail();
    if (!agree()) return;
    busy(submit, async () => {
      try { await api.chooseFirstPassword(challenge, first.input.value); done(); } catch (error) {
        if (error.status !== 400) throw error;
        first.fail(error.errors[0]?.message ?? error.message);
      }
    });
  });
  return form;
}

export function account({ done }) {
  const box = h("div", { class: "stack narrow middle" }, h("h1", {}, "Account"));
  const facts = h("dl", { class: "facts" });
  api.get("/api/me").then((me) => replace(facts,
    [["E-mail", me.email], ["Plan", me.plan], ["Bots", `${me.botCount} of ${me.quota.maxBots}`],
      ["Tokens this month", `${me.usage.tokens.toLocaleString()} of ${me.quota.maxMonthlyTokens.toLocaleString()}`], ["Runs this month", me.usage.invocations]]
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])), (error) => note(error.message, "bad"));
  const current = field("Current password", h("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 128 }));
  const { first, second, agree } = newPasswordFields();
  const submit = h("button", { type: "submit" }, "Change password");
  const form = h("form", { class: "card stack" }, h("h2", {}, "Password"), current, first, second, submit);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    current.fail(); first.fail();
    if (!agree()) return;
    busy(submit, async () => {
      try {
        await api.changePassword(current.input.value, first.input.value);
        form.reset();
        note("The password is changed. All other sessions have ended.");
      } catch (error) {
        if (error.slug === "invalid-credentials") current.fail("This is not your current password.");
        else if (error.status === 400) first.fail(error.errors[0]?.message ?? error.message);
        else throw error;
      }
    });
  });
  box.append(h("div", { class: "card" }, facts), form);
  void done;
  return { view: box, title: "Account" };
}

const CHANNELS = { telegram: "Telegram", web: "Web chat" };

export function botList({ go }) {
  const list = h("div", { class: "grid", "aria-busy": "true" });
  const place = h("div");
  const add = h("button", { type: "button", class: "main", hidden: true, onclick: () => {
    add.hidden = true;
    replace(place, createBot(go)).querySelector("input").focus();
  } }, "New bot");
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "More");
  let cursor = null;
  const load = async () => {
    const page = await api.get(`/api/bots?limit=50${cursor ? `&cursor=${part(cursor)}` : ""}`);
    cursor = page.nextCursor ?? null;
    more.hidden = !cursor;
    for (const bot of page.items) list.append(h("a", {
      class: "card bot", href: `/bots/${part(bot.botId)}`, onclick: (event) => { if (event.ctrlKey || event.metaKey) return; event.preventDefault(); go(`/bots/${part(bot.botId)}`); },
    }, h("div", { class: "head" }, avatar(bot), h("h2", {}, bot.name), h("span", { class: `tag ${bot.status}` }, bot.status === "created" ? "new" : bot.status)),
      h("p", { class: "clip" }, bot.description ?? bot.systemPrompt ?? "No description."),
      h("p", { class: "hint" }, bot.channels.length ? bot.channels.map((c) => CHANNELS[c.channelType] ?? c.channelType).join(" · ") : "Web chat is ready")));
    list.removeAttribute("aria-busy");
    add.hidden = !list.children.length || place.hasChildNodes();
    if (!list.children.length) replace(place, h("p", { class: "lead" }, "A bot is an assistant of your own, with its memory, files and tasks. Give the first one a name."), createBot(go));
  };
  more.addEventListener("click", () => busy(more, load));
  load().catch((error) => replace(list, h("p", { class: "error" }, error.message)));
  return { view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, "Your bots"), add), list, more, place), title: "Bots" };
}

function createBot(go) {
  const name = field("Name", h("input", { required: true, maxlength: 100, autocomplete: "off", placeholder: "Claw" }));
  const about = field("What is it for?", h("textarea", { rows: 3, maxlength: 10000, placeholder: "You help me keep house: notes, reminders and small files." }), "Its instructions in your words. You can change them later.");
  const model = field("Model", h("select"), "");
  api.get("/api/providers?limit=200").then(({ items }) => replace(model.input, h("option", { value: "" }, "Default"),
    items.flatMap((provider) => provider.modelIds.map((id) => h("option", { value: JSON.stringify([provider.providerId, id]) }, `${provider.providerName}: ${id}${provider.providerType === "demo" ? " (demo)" : ""}`)))),
  () => replace(model.input, h("option", { value: "" }, "Default")));
  const submit = h("button", { class: "main", type: "submit" }, "Create bot");
  const form = h("form", { class: "card stack" }, h("h2", {}, "New bot"), name, about, model, h("div", { class: "actions" }, submit));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    name.fail();
    busy(submit, async () => {
      const body = { name: name.input.value, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" };
      if (about.input.value.trim()) body.systemPrompt = about.input.value;
      if (model.input.value) [body.providerId, body.modelId] = JSON.parse(model.input.value);
      const bot = await api.post("/api/bots", body);
      go(`/bots/${part(bot.botId)}`);
    });
  });
  return form;
}

export function botPage(botId, tab, { go, config }) {
  const head = h("div", { class: "bothead" });
  const body = h("div", { class: "tabbody" }, h("p", { class: "hint" }, "Loading …"));
  const view = h("div", { class: `stack botpage ${tab}` }, head, body);
  let inner = null;
  let left = false;
  const tabs = { chat: "Chat", channels: "Channels", tasks: "Tasks", memory: "Memory", settings: "Settings" };
  api.get(`/api/bots/${part(botId)}`).then((bot) => {
    if (left) return;
    document.title = `${bot.name} · ClawBot`;
    replace(head, h("h1", {}, avatar(bot), bot.name, bot.status === "paused" && h("span", { class: "tag paused" }, "paused")),
      h("nav", { class: "tabs", "aria-label": "Bot" }, Object.entries(tabs).map(([key, label]) => h("a", {
        href: `/bots/${part(botId)}/${key}`, "aria-current": key === tab ? "page" : undefined,
        onclick: (event) => { if (event.ctrlKey || event.metaKey) return; event.preventDefault(); go(`/bots/${part(botId)}/${key}`); },
      }, label))));
    if (tab === "channels") replace(body, channels(bot, config));
    else if (tab === "tasks") replace(body, tasks(bot));
    else if (tab === "memory") replace(body, memories(bot));
    else if (tab === "settings") replace(body, settings(bot, go));
    else { inner = chat(bot); replace(body, inner.view); }
  }, (error) => replace(body, h("p", { class: "error" }, error.status === 404 ? "There is no such bot." : error.message)));
  return { view, title: "Bot", leave() { left = true; inner?.leave(); } };
}

const DAYS = { "*": "Every day", "1-5": "Every weekday", "0": "Every Sunday", "1": "Every Monday", "2": "Every Tuesday", "3": "Every Wednesday", "4": "Every Thursday", "5": "Every Friday", "6": "Every Saturday" };
// The everyday schedules in words; any other as it is written.
function cron(value) {
  const [minute, hour, day, month, weekday] = value.split(/\s+/);
  const plain = /^\d{1,2}$/.test(minute) && /^\d{1,2}$/.test(hour) && day === "*" && month === "*" && DAYS[weekday];
  return plain ? `${DAYS[weekday]} at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}` : `Cron ${value}`;
}

function tasks(bot) {
  const base = `/api/bots/${part(bot.botId)}/tasks`;
  const box = h("div", { class: "stack" });
  const describe = (task) => {
    if (task.scheduleType === "once") return `Once, ${task.scheduleValue.replace("T", " ")} (${task.timezone})`;
    if (task.scheduleType === "cron") return `${cron(task.scheduleValue)} (${task.timezone})`;
    const minutes = Number(task.scheduleValue) / 60000;
    return `Every ${minutes % 1440 === 0 ? `${minutes / 1440} d` : minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`}`;
  };
  const show = async () => {
    try {
      const { items } = await api.get(`${base}?limit=200`);
      replace(box, items.length ? items.map(row) : empty("No tasks yet", "Ask the bot in the chat, for example: Remind me every day at 9:00 to water the plants."));
    } catch (error) { replace(box, h("p", { class: "error" }, error.message)); }
  };
  const row = (task) => {
    const toggle = h("button", { type: "button", onclick: () => busy(toggle, async () => {
      await api.put(`${base}/${part(task.taskId)}`, { status: task.status === "active" ? "paused" : "active" });
      await show();
    }) }, task.status === "active" ? "Pause" : "Resume");
    const remove = h("button", { type: "button", class: "danger", onclick: () => {
      if (confirm("Delete this task?")) busy(remove, async () => { await api.remove(`${base}/${part(task.taskId)}`); await show(); });
    } }, "Delete");
    return h("article", { class: "card" }, h("h3", {}, describe(task), h("span", { class: `tag ${task.status}` }, task.status)), h("p", { class: "plain" }, task.prompt),
      h("p", { class: "hint" }, task.nextRun && `Next ${when(task.nextRun)}. `, task.lastRun && `Last ${when(task.lastRun)}: ${task.lastStatus ?? "running"}. `, task.lastResult),
      h("div", { class: "actions" }, task.status !== "completed" && toggle, remove));
  };
  show();
  return box;
}

// Editing with the version it was read in: someone else's change (the agent's) is never overwritten unseen.
function memory(path, about) {
  const text = h("textarea", { rows: 18, spellcheck: "false", "aria-label": "Memory", class: "paper", placeholder: "Nothing written yet." });
  const info = h("p", { class: "hint", role: "status" }, "Loading …");
  const save = h("button", { type: "button", class: "main", disabled: true }, "Save");
  const again = h("button", { type: "button", class: "quiet" }, "Read again");
  let etag = null;
  const load = async () => {
    const response = await call("GET", path);
    const content = await response.json();
    etag = response.headers.get("ETag");
    text.value = content.content;
    info.textContent = content.updatedAt ? `${content.size.toLocaleString()} bytes, changed ${when(content.updatedAt)}.` : "Nothing written yet.";
    save.disabled = false;
  };
  save.addEventListener("click", () => busy(save, async () => {
    try {
      const response = await call("PUT", path, { body: { content: text.value }, headers: etag ? { "If-Match": etag } : {} });
      etag = response.headers.get("ETag");
      info.textContent = "Saved.";
    } catch (error) {
      if (error.status !== 412) throw error;
      info.textContent = "It was changed meanwhile, perhaps by the bot. Copy your text, read again and merge.";
    }
  }));
  again.addEventListener("click", () => busy(again, load));
  load().catch((error) => { info.textContent = error.message; });
  return h("div", { class: "card stack" }, h("p", { class: "hint" }, about), text, info, h("div", { class: "actions" }, save, again));
}

// The bot's memory, and one per conversation: what it is told in a chat it keeps there.
function memories(bot) {
  const base = `/api/bots/${part(bot.botId)}`;
  const place = h("div");
  const everywhere = memory(`${base}/memory`, `What ${bot.name} knows in every conversation.`);
  const choice = field("Memory of", h("select", {}, h("option", { value: "" }, "All conversations")));
  choice.input.addEventListener("change", () => {
    const group = choice.input.value;
    const name = choice.input.selectedOptions[0].textContent;
    replace(place, group ? memory(`${base}/groups/${part(group)}/memory`, `What ${bot.name} knows in the conversation ${name} only.`) : everywhere);
  });
  const load = async () => {
    for (let cursor = null; ;) {
      const page = await api.get(`${base}/groups?limit=200${cursor ? `&cursor=${part(cursor)}` : ""}`);
      for (const group of page.items) choice.input.append(h("option", { value: group.groupJid }, `${CHANNELS[group.channelType] ?? group.channelType}: ${group.name || group.groupJid.replace(/^[a-z]+[:#]/, "")}`));
      cursor = page.nextCursor;
      if (!cursor) return;
    }
  };
  load().catch((error) => choice.fail(error.message));
  replace(place, everywhere);
  return h("div", { class: "stack" }, choice, place);
}

export function sharedMemory() {
  return { view: h("div", { class: "stack" }, h("h1", {}, "Shared memory"), memory("/api/shared-memory", "What all of your bots know. Only you can write it.")), title: "Memory" };
}

function settings(bot, go) {
  const path = `/api/bots/${part(bot.botId)}`;
  const name = field("Name", h("input", { value: bot.name, required: true, maxlength: 100 }));
  const about = field("Description", h("input", { value: bot.description ?? "", maxlength: 500 }));
  const prompt = field("Instructions", h("textarea", { rows: 8, maxlength: 10000, value: bot.systemPrompt ?? "" }));
  const trigger = field("Trigger", h("input", { value: bot.triggerPattern, maxlength: 100 }), "The word that calls the bot in group chats.");
  const zone = field("Time zone", h("input", { value: bot.timezone, maxlength: 64 }), "For example Europe/Berlin.");
  const fields = { name, description: about, systemPrompt: prompt, triggerPattern: trigger, timezone: zone };
  const save = h("button", { class: "main", type: "submit" }, "Save");
  const pause = h("button", { type: "button", onclick: () => busy(pause, async () => {
    await api.put(path, { status: bot.status === "paused" ? "active" : "paused" });
    go(location.pathname);
  }) }, bot.status === "paused" ? "Set active" : "Pause");
  const remove = h("button", { type: "button", class: "danger", onclick: () => {
    if (reallyDelete(bot.name)) busy(remove, async () => { await api.remove(path); note("The bot is deleted."); go("/"); });
  } }, "Delete bot");
  const form = h("form", { class: "card stack" }, Object.values(fields), h("div", { class: "actions" }, save, bot.status !== "created" && pause, remove));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    for (const box of Object.values(fields)) box.fail();
    busy(save, async () => {
      const changes = {};
      for (const [key, box] of Object.entries(fields)) {
        const value = box.input.value;
        if (value !== (bot[key] ?? "")) changes[key] = value.trim() === "" && key !== "name" ? null : value;
      }
      if (!Object.keys(changes).length) return note("Nothing was changed.");
      try { bot = await api.put(path, changes); note("Saved."); } catch (error) {
        if (error.status !== 400) throw error;
        for (const { field: place, message } of error.errors) (fields[place] ?? name).fail(message);
      }
    });
  });
  return form;
}

const reallyDelete = (name) => confirm(`Delete ${name} with its channels and tasks? Its data is purged after 30 days.`);
