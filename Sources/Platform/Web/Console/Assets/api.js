// The API client: tokens, refresh, errors as sentences, and the event stream.
// The access token lives in memory only; the refresh token also in sessionStorage, bound to this tab (SEC-101).
const KEY = "clawbot.refresh";
let access = null;
let accessEnds = 0;
let refresh = sessionStorage.getItem(KEY);
let refreshing = null;
const watchers = new Set();

export class APIError extends Error {
  constructor(status, problem, retryAfter) {
    super(sentence(status, problem));
    this.status = status;
    this.slug = (problem?.type ?? "").split(":").pop();
    this.errors = problem?.errors ?? [];
    this.retryAfter = Number(retryAfter) || 0;
  }
}

function sentence(status, problem) {
  if (problem?.errors?.length) return problem.errors.map((e) => `${e.field}: ${e.message}`).join(" ");
  if (problem?.detail) return problem.detail;
  return status === 0 ? "The server cannot be reached. Check the connection." : `The server answered with status ${status}.`;
}

// Every part of a path that is not fixed goes through here.
export const part = encodeURIComponent;

export const session = {
  get signedIn() { return Boolean(access || refresh); },
  onEnd(watcher) { watchers.add(watcher); },
};

// Tabs opened by duplication share one refresh token: whoever rotates it tells the others.
const tabs = "BroadcastChannel" in self ? new BroadcastChannel("clawbot") : null;
tabs?.addEventListener("message", ({ data }) => {
  if (data?.old && data.old === refresh) {
    refresh = data.fresh;
    if (refresh) sessionStorage.setItem(KEY, refresh); else end(false, "You signed out in another tab.");
  }
});

function keep(pair) {
  const old = refresh;
  access = pair.accessToken;
  accessEnds = Date.now() + (pair.expiresIn - 60) * 1000;
  refresh = pair.refreshToken;
  sessionStorage.setItem(KEY, refresh);
  if (old) tabs?.postMessage({ old, fresh: refresh });
}

// Forgets the session. `reason` is the sentence for someone who did not sign out by hand.
function end(tell = true, reason = null) {
  access = null;
  if (tell && refresh) tabs?.postMessage({ old: refresh, fresh: null });
  refresh = null;
  sessionStorage.removeItem(KEY);
  for (const watcher of watchers) watcher(reason);
}

async function send(method, path, { body, headers = {}, raw, signal } = {}) {
  const options = { method, headers: { ...headers }, signal, cache: "no-store", credentials: "omit" };
  if (raw !== undefined) options.body = raw;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new APIError(0);
  }
  if (response.ok) return response;
  let problem = null;
  try { problem = await response.json(); } catch { problem = null; }
  throw new APIError(response.status, problem, response.headers.get("Retry-After"));
}

async function rotate() {
  const rotateOnce = async () => {
    const mine = refresh;
    if (!mine) throw new APIError(401, { detail: "Please sign in." });
    try {
      keep(await (await send("POST", "/auth/refresh", { body: { refreshToken: mine } })).json());
    } catch (error) {
      // Another tab was faster: its newer token has arrived, or arrives now.
      if (error.slug === "token-superseded") {
        for (let wait = 0; wait < 20 && refresh === mine; wait++) await new Promise((done) => setTimeout(done, 50));
        if (refresh && refresh !== mine) return rotateOnce();
      }
      if (error.status === 401) end(true, "Your session has ended. Please sign in again.");
      throw error;
    }
  };
  refreshing ??= (navigator.locks ? navigator.locks.request("clawbot-refresh", rotateOnce) : rotateOnce()).finally(() => { refreshing = null; });
  return refreshing;
}

async function token() {
  if (!access || Date.now() > accessEnds) await rotate();
  return access;
}

// A signed-in request; one refresh when the token has died early.
export async function call(method, path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    const bearer = await token();
    try {
      return await send(method, path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${bearer}` } });
    } catch (error) {
      if (error.status !== 401 || attempt > 0) throw error;
      access = null;
    }
  }
}

export const api = {
  async get(path) { return (await call("GET", path)).json(); },
  async post(path, body = {}, headers) { return (await call("POST", path, { body, headers })).json(); },
  async put(path, body, headers) { return (await call("PUT", path, { body, headers })).json(); },
  async remove(path) { await call("DELETE", path); },
  async config() { return (await send("GET", "/api/config")).json(); },
  async login(email, password) {
    const answer = await (await send("POST", "/auth/login", { body: { email, password } })).json();
    if (answer.accessToken) keep(answer);
    return answer;
  },
  async chooseFirstPassword(challengeToken, newPassword) {
    keep(await (await send("POST", "/auth/change-password", { body: { challengeToken, newPassword } })).json());
  },
  async changePassword(currentPassword, newPassword) {
    keep(await (await call("POST", "/auth/change-password", { body: { currentPassword, newPassword } })).json());
  },
  async logout() {
    const mine = refresh;
    end();
    if (mine) await send("POST", "/auth/logout", { body: { refreshToken: mine } }).catch(() => null);
  },
  // A file's bytes, with the token in its header: links could not carry it.
  async file(botId, key) {
    return (await call("GET", `/api/bots/${part(botId)}/files/raw?key=${part(key)}&disposition=attachment`)).blob();
  },
  async upload(botId, key, blob) {
    return (await call("PUT", `/api/bots/${part(botId)}/files/raw?key=${part(key)}`, {
      raw: blob, headers: { "Content-Type": blob.type || "application/octet-stream" },
    })).json();
  },
};

// Reads a bot's events until stopped: reconnects by itself and resumes after the last event seen.
// on.event(name, data), on.state("open" | "waiting" | "ended", sentence)
export function follow(botId, conversationId, on) {
  const stop = new AbortController();
  let lastId = null;
  (async () => {
    let pause = 1000;
    while (!stop.signal.aborted) {
      let last = null;
      try {
        const headers = { Accept: "text/event-stream" };
        if (lastId) headers["Last-Event-ID"] = lastId;
        const response = await call("GET", `/api/bots/${part(botId)}/chat/events?conversationId=${part(conversationId)}`, { headers, signal: stop.signal });
        on.state("open");
        pause = 1000;
        await readEvents(response, stop.signal, (event) => {
          if (event.id) lastId = event.id;
          if (event.name === "error") last = event.data.code;
          if (last === "resume-gap") lastId = null;
          on.event(event.name, event.data);
        });
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error.status === 404) return on.state("ended", "This bot no longer exists.");
        if (error.status === 401) return on.state("ended", "Please sign in again.");
        last = error.slug ?? null;
        if (error.retryAfter) pause = Math.max(pause, error.retryAfter * 1000);
      }
      if (stop.signal.aborted) return;
      if (last === "bot-unavailable") return on.state("ended", "The bot is paused.");
      if (last === "token-expired") { access = null; continue; }
      on.state("waiting", "The connection was lost. Trying again …");
      await sleep(pause + Math.random() * 500, stop.signal);
      pause = Math.min(pause * 2, 15000);
    }
  })();
  return () => stop.abort();
}

// Waits, but not while the page could go on at once: back online or visible again.
function sleep(milliseconds, signal) {
  return new Promise((done) => {
    const finish = () => {
      clearTimeout(timer);
      removeEventListener("online", finish);
      document.removeEventListener("visibilitychange", seen);
      signal.removeEventListener("abort", finish);
      done();
    };
    const seen = () => { if (!document.hidden) finish(); };
    const timer = setTimeout(finish, milliseconds);
    addEventListener("online", finish);
    document.addEventListener("visibilitychange", seen);
    signal.addEventListener("abort", finish);
  });
}

// The server pings every 15 s: a line that is silent for 40 s is dead, whatever the network says.
async function readEvents(response, signal, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let watchdog;
  const silence = () => new Promise((_, fail) => { watchdog = setTimeout(() => fail(new Error("silent")), 40000); });
  try {
    while (!signal.aborted) {
      const { value, done } = await Promise.race([reader.read(), silence()]);
      clearTimeout(watchdog);
      if (done) return;
      text += value;
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        const block = text.slice(0, end);
        text = text.slice(end + 2);
        const event = { id: null, name: "message", data: "" };
        for (const line of block.split("\n")) {
          if (line.startsWith("id: ")) event.id = line.slice(4);
          else if (line.startsWith("event: ")) event.name = line.slice(7);
          else if (line.startsWith("data: ")) event.data += line.slice(6);
        }
        if (event.data) take({ ...event, data: JSON.parse(event.data) });
      }
    }
  } finally {
    clearTimeout(watchdog);
    reader.cancel().catch(() => null);
  }
}
