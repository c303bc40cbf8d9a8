// A bot's server-sent events, read with fetch because the token belongs into a header (SEC-102).
import { call, part, session } from "./api.js";
import { t } from "./i18n.js";

/**
 * Reads a bot's events until the returned function is called: reconnects by itself and resumes after the last event seen.
 * `on.event(name, data)`; `on.state("open" | "waiting" | "ended", sentence)`.
 */
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
        if (error.status === 404) return on.state("ended", t("stream.gone"));
        if (error.status === 401) return on.state("ended", t("stream.signIn"));
        last = error.slug ?? null;
        if (error.retryAfter) pause = Math.max(pause, error.retryAfter * 1000);
      }
      if (stop.signal.aborted) return;
      if (last === "bot-unavailable") return on.state("ended", t("stream.paused"));
      if (last === "token-expired") { session.expire(); continue; }
      on.state("waiting", t("stream.lost"));
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
