"""The built binary as a test sees it: started on a free port with a directory of its own, killed, started again."""

import json
import os
import pathlib
import queue
import re
import signal
import socket
import subprocess
import threading
import time
import uuid

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CLAWBOT_BINARY", str(ROOT / ".build/debug/clawbot"))
PASSWORD = "violet-harbour-tango-81"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def eventually(what, timeout=30.0, interval=0.05):
    """Waits for a condition; answers its value. The limit is generous: it is only reached when something is broken."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = what()
            if last:
                return last
        except (requests.ConnectionError, AssertionError) as problem:
            last = problem
        time.sleep(interval)
    raise AssertionError(f"did not happen within {timeout} s; last: {last!r}")


class Clawbot:
    """One `clawbot serve`."""

    def __init__(self, directory, env=None, port=None, config=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.config = config
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "CLAWBOT_SERVER_PORT": str(self.port),
            "CLAWBOT_DATA_DIRECTORY": str(self.directory / "data"),
            "CLAWBOT_LOG_FORMAT": "json",
            "ADMIN_EMAIL": "admin@example.test",
            "ADMIN_PASSWORD": PASSWORD,
            "CLAWBOT_LIMITS_API_PER_MINUTE": "100000",
            "CLAWBOT_LIMITS_CHAT_PER_MINUTE": "100000",
            "CLAWBOT_LIMITS_LOGIN_PER_MINUTE": "100000",
            "CLAWBOT_LIMITS_PROVIDER_CALLS_PER_MINUTE": "100000",
            "CLAWBOT_LIMITS_UNAUTHENTICATED_PER_MINUTE": "100000",
            "CLAWBOT_LIMITS_WEBHOOK_PER_MINUTE": "1000000",
            **(env or {}),
        }
        if "LD_LIBRARY_PATH" in os.environ:
            self.env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        self.process = None
        self.log = self.directory / "serve.log"

    def start(self, wait=True):
        arguments = [BINARY, "serve"] + (["--config", str(self.config)] if self.config else [])
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(arguments, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=60):
        def ready():
            assert self.process.poll() is None, f"clawbot serve ended with {self.process.returncode}:\n{self.output()[-4000:]}"
            return requests.get(self.base + "/health", timeout=2).status_code == 200

        eventually(ready, timeout)

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self):
        """SIGKILL to the control plane alone: agents must die with it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout=40):
        """A graceful end; answers the exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"clawbot serve did not end within {timeout} s after SIGTERM")

    def restart(self):
        self.kill()
        return self.start()

    def agents(self):
        """Process ids of this server's agents, found by the data directory in their launcher's arguments or environment."""
        return descendants(self.process.pid)

    # -- clients

    def sign_in(self, email="admin@example.test", password=PASSWORD):
        answer = requests.post(self.base + "/auth/login", json={"email": email, "password": password}, timeout=30)
        assert answer.status_code == 200, answer.text
        return Client(self, answer.json()["accessToken"], email, password)

    def new_user(self, admin, email, plan="enterprise"):
        """Makes a user, goes through the forced change, answers a signed-in client."""
        made = admin.post("/api/admin/users", {"email": email, "plan": plan})
        assert made.status_code == 201, made.text
        body = made.json()
        answer = requests.post(self.base + "/auth/login", json={"email": email, "password": body["temporaryPassword"]}, timeout=30).json()
        changed = requests.post(self.base + "/auth/change-password", json={"challengeToken": answer["challengeToken"], "newPassword": PASSWORD}, timeout=30)
        assert changed.status_code == 200, changed.text
        client = Client(self, changed.json()["accessToken"], email, PASSWORD)
        client.user_id = body["userId"]
        return client


def descendants(pid):
    found, edges = [], {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                parent = int(stat.rsplit(")", 1)[1].split()[1])
                edges.setdefault(parent, []).append(int(entry.name))
            except (OSError, ValueError, IndexError):
                pass
    todo = [pid]
    while todo:
        for child in edges.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


class Client:
    """A signed-in user of the REST API."""

    def __init__(self, server, token, email, password):
        self.server, self.token, self.email, self.password = server, token, email, password
        self.session = requests.Session()

    def request(self, method, path, body=None, headers=None, **more):
        head = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.session.request(method, self.server.base + path, json=body, headers=head, timeout=more.pop("timeout", 30), **more)

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, {} if body is None else body, **more)

    def put(self, path, body, **more):
        return self.request("PUT", path, body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    def bot(self, name="Claw", **fields):
        answer = self.post("/api/bots", {"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["botId"]

    def chat(self, bot, conversation="main"):
        return Chat(self, bot, conversation)


class Chat:
    """One web chat conversation with its event stream."""

    def __init__(self, client, bot, conversation="main"):
        self.client, self.bot, self.conversation = client, bot, conversation
        self.group = f"web%3A{conversation}"

    def send(self, text, attachments=None, key=None):
        body = {"content": text, "conversationId": self.conversation}
        if attachments:
            body["attachments"] = [{"key": k} for k in attachments]
        answer = self.client.post(f"/api/bots/{self.bot}/chat", body, headers={"Idempotency-Key": key or uuid.uuid4().hex})
        assert answer.status_code == 202, answer.text
        return answer.json()["messageId"]

    def messages(self, limit=200):
        answer = self.client.get(f"/api/bots/{self.bot}/groups/{self.group}/messages?limit={limit}")
        return list(reversed(answer.json()["items"])) if answer.status_code == 200 else []

    def state(self, message_id):
        return next((m["state"] for m in self.messages() if m["messageId"] == message_id), None)

    def ask(self, text, timeout=60, **more):
        """Sends, waits for the settlement, answers the bot's messages that came after it."""
        message_id = self.send(text, **more)
        eventually(lambda: self.state(message_id) in ("answered", "failed", "stopped"), timeout)
        rows = self.messages()
        index = next(i for i, m in enumerate(rows) if m["messageId"] == message_id)
        return [m for m in rows[index + 1 :] if m["isBotMessage"]]

    def reply(self, text, timeout=60, **more):
        """The text of the last answer."""
        replies = self.ask(text, timeout, **more)
        assert replies, f"no answer to {text!r}; {self.client.server.output()[-2000:]}"
        return replies[-1]["content"]


class EventStream:
    """Server-sent events of a bot, read on a thread."""

    def __init__(self, client, bot, conversation=None, last_event_id=None):
        query = f"?conversationId={conversation}" if conversation else ""
        head = {"Authorization": f"Bearer {client.token}", "Accept": "text/event-stream"}
        if last_event_id:
            head["Last-Event-ID"] = last_event_id
        self.response = requests.get(client.server.base + f"/api/bots/{bot}/chat/events{query}", headers=head, stream=True, timeout=(10, 60))
        self.status = self.response.status_code
        self.events = queue.Queue()
        self.seen = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        if self.status == 200:
            self.thread.start()

    def _read(self):
        event = {}
        try:
            for line in self.response.iter_lines(chunk_size=1, decode_unicode=True):
                if line == "":
                    if "data" in event:
                        event["data"] = json.loads(event["data"])
                        self.events.put(event)
                    event = {}
                elif line and not line.startswith(":"):
                    name, _, value = line.partition(":")
                    event[name] = value.removeprefix(" ")
        except (requests.RequestException, AttributeError, ValueError):
            pass
        self.events.put(None)

    def until(self, match, timeout=60):
        """Reads on until an event matches; answers it."""
        end = time.monotonic() + timeout
        while True:
            event = self.events.get(timeout=max(0.01, end - time.monotonic()))
            if event is None:
                raise AssertionError(f"the stream ended; seen {self.seen}")
            self.seen.append(event)
            if match(event):
                return event

    def close(self):
        self.response.close()


def launch_fake(script, *arguments):
    """Starts a fake vendor; it prints its port on the first line."""
    import sys

    process = subprocess.Popen([sys.executable, str(ROOT / script), "--port", "0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    line = process.stdout.readline()
    numbers = re.findall(r"\d+", line)
    assert numbers, f"{script} said {line!r} {process.stdout.read() if process.poll() is not None else ''}"
    threading.Thread(target=lambda: [None for _ in process.stdout], daemon=True).start()
    return process, f"http://127.0.0.1:{numbers[-1]}"
