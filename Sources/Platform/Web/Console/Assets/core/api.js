// The API client: tokens, refresh, errors as sentences. The access token lives in memory only; the refresh token also in
// sessionStorage, bound to this tab (SEC-101). Paths are absolute: the API is where the console came from (SEC-104).
import { currentLanguage, has, t } from "./i18n.js";

const KEY = "clawbot.refresh";
// Of the exchange that is under way: a page that is loaded anew before the answer arrives asks again with the same, and gets it.
const RETRY = "clawbot.refresh.retry";
let access = null;
let accessEnds = 0;
let refresh = sessionStorage.getItem(KEY);
let refreshing = null;
const watchers = new Set();

/** A refusal of the server (or, with status 0, its absence) as a sentence in the user's language. */
export class APIError extends Error {
  constructor(status, problem, retryAfter) {
    super(sentence(status, problem, retryAfter));
    this.status = status;
    /** The last part of the problem's type: `validation-failed`, `quota-exceeded`, … */
    this.slug = (problem?.type ?? "").split(":").pop();
    /** `[{field, message}]` of a 400. */
    this.errors = problem?.errors ?? [];
    /** Seconds. */
    this.retryAfter = Number(retryAfter) || 0;
  }
}

// The server's own sentence knows more; where it would be in the wrong language, the catalogue's sentence of its kind is better.
function sentence(status, problem, retryAfter) {
  if (status === 0) return t("problem.unreachable");
  if (problem?.errors?.length) return problem.errors.map((one) => one.message).join(" ");
  const slug = (problem?.type ?? "").split(":").pop();
  if (["rate-limited", "too-many-attempts"].includes(slug)) return t(`problem.${slug}`, { count: Number(retryAfter) || 60 });
  if (currentLanguage() === "en" && problem?.detail) return problem.detail;
  if (has(`problem.${slug}`)) return t(`problem.${slug}`);
  return problem?.detail ?? t("problem.status", { status: String(status) });
}

/** Every part of a path that is not fixed goes through here. */
export const part = encodeURIComponent;

export const session = {
  get signedIn() { return Boolean(access || refresh); },
  /** Called when the session ends, with the sentence for someone who did not sign out by hand. */
  onEnd(watcher) { watchers.add(watcher); },
  /** Forgets an access token that the server called expired before its time. */
  expire() { access = null; },
};

// Whether the server was there when it was last asked.
let reachable = true;
const reachWatchers = new Set();
export function onReach(watcher) { reachWatchers.add(watcher); }
function reached(now) {
  if (now === reachable) return;
  reachable = now;
  for (const watcher of reachWatchers) watcher(now);
}

// Tabs opened by duplication share one refresh token: whoever rotates it tells the others, and tells it again to one that was
// loading just then and asks.
const tabs = "BroadcastChannel" in self ? new BroadcastChannel("clawbot") : null;
const followed = new Set();
tabs?.addEventListener("message", ({ data }) => {
  if (data?.wanted && refresh && followed.has(data.wanted)) tabs.postMessage({ old: data.wanted, fresh: refresh });
  if (data?.old && data.old === refresh) {
    followed.add(data.old);
    refresh = data.fresh;
    sessionStorage.removeItem(RETRY);
    if (refresh) sessionStorage.setItem(KEY, refresh); else end(false, t("session.otherTab"));
  }
});

function keep(pair) {
  const old = refresh;
  access = pair.accessToken;
  accessEnds = Date.now() + (pair.expiresIn - 60) * 1000;
  refresh = pair.refreshToken;
  sessionStorage.setItem(KEY, refresh);
  sessionStorage.removeItem(RETRY);
  if (!old) return;
  followed.add(old);
  tabs?.postMessage({ old, fresh: refresh });
}

// Forgets the session. `reason` is the sentence for someone who did not sign out by hand.
function end(tell = true, reason = null) {
  access = null;
  if (tell && refresh) tabs?.postMessage({ old: refresh, fresh: null });
  refresh = null;
  followed.clear();
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(RETRY);
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
    reached(false);
    throw new APIError(0);
  }
  reached(true);
  if (response.ok || response.status === 304) return response;
  let problem = null;
  try { problem = await response.json(); } catch { problem = null; }
  throw new APIError(response.status, problem, response.headers.get("Retry-After"));
}

async function rotate() {
  const rotateOnce = async () => {
    const mine = refresh;
    if (!mine) throw new APIError(401, { type: "urn:clawbot:problem:unauthenticated" });
    try {
      const retryKey = sessionStorage.getItem(RETRY) ?? crypto.randomUUID();
      sessionStorage.setItem(RETRY, retryKey);
      keep(await (await send("POST", "/auth/refresh", { body: { refreshToken: mine, retryKey } })).json());
    } catch (error) {
      // Another tab was faster: its newer token has arrived, or arrives when asked for.
      if (error.slug === "token-superseded") {
        if (refresh === mine) tabs?.postMessage({ wanted: mine });
        for (let wait = 0; wait < 20 && refresh === mine; wait++) await new Promise((done) => setTimeout(done, 50));
        if (refresh && refresh !== mine) return rotateOnce();
      }
      if (error.status === 401) end(true, t("session.ended"));
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

/** A signed-in request: the response. One refresh when the token has died early. */
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

const json = (response) => (response.status === 204 ? null : response.json());

/** Signed-in JSON calls; `options` may hold `signal` and `headers`. Every one throws `APIError`. */
export const api = {
  async get(path, options) { return json(await call("GET", path, options)); },
  async post(path, body = {}, options = {}) { return json(await call("POST", path, { ...options, body })); },
  async put(path, body, options = {}) { return json(await call("PUT", path, { ...options, body })); },
  async remove(path, options) { await call("DELETE", path, options); },
};

/** Every item of a list that is known to be short. */
export async function all(path, options) {
  const items = [];
  for (let cursor = null; ;) {
    const page = await api.get(`${path}${path.includes("?") ? "&" : "?"}limit=200${cursor ? `&cursor=${part(cursor)}` : ""}`, options);
    items.push(...page.items);
    cursor = page.nextCursor;
    if (!cursor) return items;
  }
}

/** What needs no session, or begins or ends one. */
export const account = {
  async config() {
    // The one request that index.html preloads: its options must match the preload's.
    const response = await fetch("/api/config").catch(() => { reached(false); throw new APIError(0); });
    if (!response.ok) throw new APIError(response.status);
    return response.json();
  },
  /** Whether the server is there; `onReach` is told too. */
  async ping() {
    return send("GET", "/health").then(() => true, (error) => error.status !== 0);
  },
  /** Null when the session has begun, else the challenge that must be answered first. */
  async login(email, password) {
    return begin(await send("POST", "/auth/login", { body: { email, password } }));
  },
  async chooseFirstPassword(challengeToken, newPassword) {
    return begin(await send("POST", "/auth/change-password", { body: { challengeToken, newPassword } }));
  },
  /** The six digits of an authenticator app, or a recovery code. */
  async totp(challengeToken, code) {
    return begin(await send("POST", "/auth/totp", { body: { challengeToken, code } }));
  },
  /** A new secret for an authenticator app: `{secret, otpauthUri}`. */
  async enrol(challengeToken) {
    return (await send("POST", "/auth/totp/enrol", { body: { challengeToken } })).json();
  },
  async changePassword(currentPassword, newPassword) {
    keep(await (await call("POST", "/auth/change-password", { body: { currentPassword, newPassword } })).json());
  },
  async logout(everywhere = false) {
    const mine = refresh;
    end();
    if (mine) await send("POST", "/auth/logout", { body: { refreshToken: mine, ...(everywhere ? { everywhere } : {}) } }).catch(() => null);
  },
};

async function begin(response) {
  const answer = await response.json();
  if (!answer.accessToken) return answer;
  keep(answer);
  return null;
}

const rawPath = (botId, key) => `/api/bots/${part(botId)}/files/raw?key=${part(key)}`;

/** A file of a bot as a blob, with the token in its header: links could not carry it. */
export async function fileBlob(botId, key, { signal } = {}) {
  return (await call("GET", `${rawPath(botId, key)}&disposition=attachment`, { signal })).blob();
}

/** Hands a file to the browser's downloads. */
export async function download(botId, key, fileName, options) {
  const url = URL.createObjectURL(await fileBlob(botId, key, options));
  const link = document.createElement("a");
  link.href = url;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * Puts a file. `progress(sent, total)` counts bytes; headers may hold `If-Match` or `If-None-Match`. XMLHttpRequest, because fetch
 * tells nothing about an upload on its way.
 */
export async function upload(botId, key, blob, { progress, signal, headers = {} } = {}) {
  for (let attempt = 0; ; attempt++) {
    const bearer = await token();
    try {
      return await transfer("PUT", rawPath(botId, key), blob, { Authorization: `Bearer ${bearer}`, "Content-Type": blob.type || "application/octet-stream", ...headers }, progress, signal);
    } catch (error) {
      if (error.status !== 401 || attempt > 0) throw error;
      access = null;
    }
  }
}

/** Posts a form with a file; options as in `upload`. */
export async function uploadForm(path, data, { progress, signal, headers = {} } = {}) {
  for (let attempt = 0; ; attempt++) {
    const bearer = await token();
    try {
      return await transfer("POST", path, data, { Authorization: `Bearer ${bearer}`, ...headers }, progress, signal);
    } catch (error) {
      if (error.status !== 401 || attempt > 0) throw error;
      access = null;
    }
  }
}

function transfer(method, path, blob, headers, progress, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress?.(event.loaded, event.lengthComputable ? event.total : blob.size);
    request.onload = () => {
      reached(true);
      if (request.status < 300) done(request.response);
      else fail(new APIError(request.status, request.response, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => { reached(false); fail(new APIError(0)); };
    request.onabort = () => fail(new DOMException("", "AbortError"));
    const abort = () => request.abort();
    if (signal?.aborted) return fail(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", abort);
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    request.send(blob);
  });
}
