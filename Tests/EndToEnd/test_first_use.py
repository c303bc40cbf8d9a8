"""What a stranger does first: sign in, make a bot, talk to it. Everything on the demo provider, in the real sandbox."""

import re
import subprocess
import time

import requests

from clawbot import BINARY, PASSWORD, EventStream, eventually


def test_the_console_is_served_and_the_health_route_says_nothing_but_ok(server):
    assert requests.get(server.base + "/health").json() == {"status": "ok"}
    page = requests.get(server.base + "/", headers={"Accept": "text/html"})
    assert page.status_code == 200 and "text/html" in page.headers["Content-Type"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]


def test_a_bot_on_the_demo_provider_does_what_the_issue_promises(server, admin):
    bot = admin.bot("Claw", timezone="Europe/Berlin")
    chat = admin.chat(bot)
    stream = EventStream(admin, bot)

    hello = chat.reply("Hello!")
    assert "demo" in hello.lower()

    assert "demo" in chat.reply("Remember that my favourite colour is teal").lower()
    assert "reset" in chat.reply("/clear").lower()
    assert "teal" in chat.reply("What do you remember?")

    chat.reply("Write a file notes.txt with seven green bottles")
    sent = chat.ask("Send me the file notes.txt")
    files = [file for message in sent for file in message.get("attachments", [])]
    assert files, sent
    content = admin.get(f"/api/bots/{bot}/files/raw", params={"key": files[0]["key"]})
    assert content.status_code == 200 and "seven green bottles" in content.text

    shell = chat.reply("Run id -u; hostname; ls /workspace")
    assert "agent" in shell and "group" in shell

    # Deltas and tool activity were live, and every run ended with exactly one final status.
    stream.until(lambda e: e["event"] == "status" and e["data"]["state"] == "done")
    eventually(lambda: sum(e["event"] == "status" and e["data"]["state"] == "done" for e in drain(stream)) >= 6)
    kinds = {e["event"] for e in stream.seen}
    assert {"message", "status", "delta", "tool"} <= kinds, kinds
    for run in {e["data"].get("invocationId") for e in stream.seen if e["event"] == "status"} - {None}:
        ends = [e for e in stream.seen if e["event"] == "status" and e["data"].get("invocationId") == run and e["data"]["state"] in ("done", "failed", "stopped")]
        assert len(ends) == 1, (run, ends)
    stream.close()


def drain(stream):
    while not stream.events.empty():
        event = stream.events.get()
        if event:
            stream.seen.append(event)
    return stream.seen


def test_a_reminder_arrives_in_its_minute(server, admin):
    bot = admin.bot("Claw", timezone="Asia/Shanghai")
    chat = admin.chat(bot)
    asked = time.time()
    assert "demo" in chat.reply("Remind me in 1 minute to water the plants").lower()
    tasks = admin.get(f"/api/bots/{bot}/tasks").json()["items"]
    assert len(tasks) == 1 and tasks[0]["scheduleType"] == "once" and "nextRun" in tasks[0]
    arrived = eventually(lambda: [m for m in chat.messages() if m["isBotMessage"] and "water the plants" in m["content"] and m is not chat.messages()[0]
                                  and time.time() - asked > 20 and admin.get(f"/api/bots/{bot}/tasks").json()["items"][0]["status"] == "completed"], 150)
    assert arrived
    task = admin.get(f"/api/bots/{bot}/tasks").json()["items"][0]
    assert task["lastStatus"] == "success"


def test_the_terminal_chat_sends_one_message_and_prints_the_answer(server, admin):
    admin.bot("Claw")
    done = subprocess.run(
        [BINARY, "chat", "--server", server.base, "--email", "admin@example.test", "--message", "Hello!"],
        env={**server.env, "CLAWBOT_PASSWORD": PASSWORD}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout.lower()
    wrong = subprocess.run(
        [BINARY, "chat", "--server", server.base, "--email", "admin@example.test", "--message", "x"],
        env={**server.env, "CLAWBOT_PASSWORD": "wrong wrong wrong"}, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 1 and wrong.stderr.strip() and "Traceback" not in wrong.stderr


def test_help_texts_and_exit_codes(tmp_path):
    for command in ["serve", "agent", "chat", "doctor", "migrate", "version"]:
        shown = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True)
        assert shown.returncode == 0 and "OVERVIEW" in shown.stdout, command
    assert subprocess.run([BINARY, "nonsense"], capture_output=True).returncode == 64
    assert re.search(r"\d+\.\d+\.\d+", subprocess.run([BINARY, "version"], capture_output=True, text=True).stdout)
    bad = tmp_path / "bad.yaml"
    bad.write_text("serverr:\n  port: 1\n")
    refused = subprocess.run([BINARY, "serve", "--config", str(bad)], capture_output=True, text=True)
    assert refused.returncode == 78 and "serverr" in refused.stderr and "bad.yaml" in refused.stderr
