"""Messages over many conversations while the control plane and its agents are killed with SIGKILL at random.

Afterwards every message must have been answered, in order within its conversation, none lost and none doubled. One double is allowed
and counted: a chunk that the vendor had accepted when the control plane was killed, before that could be recorded. Telegram has no
idempotency key for it. The script only accepts a repeat as such when the first copy arrived within WINDOW before a kill (or was read
within UNREAD after it) and the second after that kill.

    CLAWBOT_BINARY=.build/debug/clawbot python chaos.py --messages 300 --conversations 30 --kills 20
"""

import argparse
import collections
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from clawbot import Clawbot, descendants, eventually, launch_fake  # noqa: E402
from fakes import Telegram, anthropic_environment, connect_telegram, telegram_environment  # noqa: E402

# How long before a kill a chunk may have been accepted and still not be on record. Measured from the fake's receive time.
WINDOW = 1.5
# How long after a kill the fake may only come to read what the killed process had sent before.
UNREAD = 1.0


class Chaos:
    def __init__(self, messages, conversations, kills, seed, mode="polling"):
        self.messages, self.conversations, self.kills, self.mode = messages, conversations, kills, mode
        self.random = random.Random(seed)
        self.killed_planes, self.killed_agents = [], 0
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="clawbot-chaos-"))

    def run(self):
        model_process, model = launch_fake("Tests/Fakes/anthropic/fake_anthropic.py", "--key", "sk-test")
        vendor_process, vendor = launch_fake("Tests/Fakes/telegram/fake_telegram.py")
        self.telegram = Telegram(vendor)
        environment = {**telegram_environment(vendor), **anthropic_environment(model)}
        if self.mode == "webhook":
            environment["CLAWBOT_SERVER_PUBLIC_BASE_URL"] = "https://bot.example.test"
        self.server = Clawbot(self.directory, env=environment)
        if self.mode == "webhook":
            self.telegram.control("POST", "webhook-route", prefix="https://bot.example.test", target=self.server.base)
        try:
            self.server.start()
            admin = self.server.sign_in()
            owner = self.server.new_user(admin, "owner@example.test")
            bot = owner.bot("Claw")
            connect_telegram(owner, bot, self.telegram, self.mode)
            self.drive()
            return self.verdict()
        finally:
            self.server.stop()
            for process in (model_process, vendor_process):
                process.kill()
                process.wait()

    def drive(self):
        plan = [(1 + i % self.conversations, 1 + i // self.conversations) for i in range(self.messages)]
        over = threading.Event()
        writer = threading.Thread(target=self.write, args=(plan, over), daemon=True)
        writer.start()
        done = 0
        while done < self.kills:
            time.sleep(self.random.uniform(0.3, 1.6))
            if self.random.random() < 0.5:
                self.kill_agent()
            else:
                self.killed_planes.append(time.time())
                self.server.kill()
                time.sleep(self.random.uniform(0, 0.4))
                self.server.start()
            done += 1
        over.set()
        writer.join()
        print(f"  {self.messages} messages written, {len(self.killed_planes)} control planes and {self.killed_agents} agents killed; waiting for the rest", flush=True)
        eventually(lambda: len({m["text"] for m in self.telegram.sent() if m.get("text")}) >= self.messages, 240, 0.5)
        # Nothing may come after the last answer either: wait until everything is settled and the queues are empty.
        time.sleep(3)

    def write(self, plan, over):
        for chat, number in plan:
            self.telegram.say(f"echo: c{chat}-m{number}", chat=chat)
            # Spread over the kills, then everything at once.
            if not over.is_set():
                time.sleep(self.random.uniform(0, 2 * 1.2 * self.kills / max(1, self.messages)))

    def kill_agent(self):
        agents = [pid for pid in descendants(self.server.process.pid) if self.is_agent(pid)]
        if agents:
            self.killed_agents += 1
            try:
                os.kill(self.random.choice(agents), signal.SIGKILL)
            except ProcessLookupError:
                pass

    @staticmethod
    def is_agent(pid):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return len(words) > 1 and words[1] == b"agent"
        except OSError:
            return False

    def verdict(self):
        problems, excused = [], 0
        by_chat = collections.defaultdict(list)
        for message in self.telegram.sent():
            by_chat[int(message["chat_id"])].append((message.get("text") or "", message["received_at"]))
        per_chat = collections.Counter(1 + i % self.conversations for i in range(self.messages))
        for chat in range(1, self.conversations + 1):
            wanted = [f"c{chat}-m{n}" for n in range(1, per_chat[chat] + 1)]
            seen = []
            for text, at in by_chat.get(chat, []):
                first = next((t for known, t in seen if known == text), None)
                if first is None:
                    seen.append((text, at))
                elif any(kill <= at and -UNREAD <= kill - first <= WINDOW for kill in self.killed_planes):
                    excused += 1
                else:
                    problems.append(f"chat {chat}: {text!r} twice, {at - first:.2f} s apart, and no kill explains it")
            texts = [text for text, _ in seen]
            if texts != wanted:
                problems.append(f"chat {chat}: wanted {wanted}, got {texts}")
        print(f"  answers {sum(len(v) for v in by_chat.values())}, doubles at a kill {excused}, problems {len(problems)}", flush=True)
        return problems, excused


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--conversations", type=int, default=30)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--mode", choices=["polling", "webhook"], default="polling")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    print(f"chaos: {options.messages} messages, {options.conversations} conversations, {options.kills} kills, {options.mode}, seed {seed}", flush=True)
    chaos = Chaos(options.messages, options.conversations, options.kills, seed, options.mode)
    problems, _ = chaos.run()
    for problem in problems:
        print("  PROBLEM " + problem)
    if problems:
        print(f"  log: {chaos.server.log}")
        sys.exit(1)
    print("  every message answered once, in order")


if __name__ == "__main__":
    main()
