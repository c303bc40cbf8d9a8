// What several pages show: the deployment, the user, the user's bots. Fetched once, again after a change.
import { account, all, api } from "./api.js";

let config = null;
let loading = null;
let me = null;
let bots = null;
const watchers = new Set();

const once = (promise, drop) => { promise.catch(drop); return promise; };

export const store = {
  /** `GET /api/config`, fetched at start; null while the server could not be reached. */
  get config() { return config; },
  loadConfig() {
    return loading ??= once(account.config().then((answer) => { config = answer; return answer; }), () => { loading = null; });
  },
  /** The signed-in user. */
  me() { return me ??= once(api.get("/api/me"), () => { me = null; }); },
  /** The user's bots, newest first. A deployment's largest plan has fifty. */
  bots() { return bots ??= once(all("/api/bots"), () => { bots = null; }); },
  /** After a bot or the user has changed: watchers are told and fetch again. */
  changed() {
    me = null;
    bots = null;
    for (const watcher of watchers) watcher();
  },
  watch(watcher) { watchers.add(watcher); },
  /** At the end of a session: nothing of one user is left for the next. */
  clear() { me = null; bots = null; },
};
