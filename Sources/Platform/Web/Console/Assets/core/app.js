// Where the console begins: a session or the sign-in page. It talks to its own origin only (SEC-104).
import { account, onReach, session } from "./api.js";
import { leavePage, setTitle, show, startRouter } from "./router.js";
import { bareFrame, frame, main, showCurrent, showDeployment } from "./shell.js";
import { store } from "./store.js";
import { t } from "./i18n.js";
import { signIn } from "../pages/signin.js";

const root = document.getElementById("app");
let framed = false;
let entry = null;

function start({ reason = null, again = false } = {}) {
  if (!session.signedIn) {
    leavePage();
    framed = false;
    // Another language does not throw away what was typed or a challenge that was half answered.
    if (!again || !entry) entry = signIn({ reason, done: () => { entry = null; start(); } });
    else entry = entry.again();
    setTitle(t("signin.title"));
    bareFrame(root, entry.view, { changed });
    return;
  }
  entry = null;
  if (!framed || again) frame(root, { signOut, changed });
  framed = true;
  show({ again });
}

function signOut() {
  history.replaceState(null, "", "/");
  return account.logout();
}

// What the deployment offers; asked again when the server is back.
async function loadConfig() {
  await store.loadConfig();
  showDeployment();
}
const changed = () => start({ again: true });

startRouter(main, showCurrent);
session.onEnd((reason) => {
  store.clear();
  start({ reason });
});
onReach((now) => { if (now && !store.config) loadConfig().catch(() => null); });
loadConfig().catch(() => null);
start();
