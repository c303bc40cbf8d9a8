"""A few thousand generated requests over the served OpenAPI document: no 5xx, and no answer that the document does not declare."""

import json
import os
import pathlib
import re
import subprocess
import sys

from clawbot import eventually

CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance", "response_headers_conformance",
    "bad_bodies_are_refused", "unsupported_method", "ignored_auth",
]

# The same requests every time; another number asks other questions.
SEED = os.environ.get("CLAWBOT_TEST_SEED", "1")

# These end the session that the run itself uses, or never end.
LEFT_OUT = r"^/auth/|^/agent/|/reset-password$|/api/admin/users/\{userId\}$|/api/bots/\{botId\}$|chat/events$|^/api/admin/users/\{userId\}/status$"


def ids(admin):
    """A bot with a conversation, a message, a task and a file."""
    bot = admin.bot("Fuzz")
    chat = admin.chat(bot)
    message = chat.send("hello")
    group = "web:main"
    eventually(lambda: admin.get(f"/api/bots/{bot}/groups/{chat.group}").status_code == 200)
    task = admin.post(f"/api/bots/{bot}/tasks", {
        "groupJid": group, "prompt": "Say hello.", "scheduleType": "cron", "scheduleValue": "0 9 * * *"}).json()["taskId"]
    return {"botId": bot, "groupJid": group, "messageId": message, "taskId": task, "channelType": "web"}


def run(server, admin, directory, *more):
    here = pathlib.Path(__file__).parent
    environment = {**os.environ, "CLAWBOT_KNOWN_IDS": json.dumps(ids(admin)), "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(here)}
    done = subprocess.run(
        [pathlib.Path(sys.executable).parent / "schemathesis", "run", server.base + "/api/openapi.json", "-H", f"Authorization: Bearer {admin.token}",
         "--exclude-tag", "agent-runtime", "-c", ",".join(CHECKS), "--phases", "coverage,fuzzing", "--seed", SEED, "--continue-on-failure",
         "--no-color", "--request-timeout", "30", "--output-truncate", "true", *more],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=1500)
    return done.returncode, re.sub(r".{400,}", lambda long: long[0][:400] + " …", done.stdout + done.stderr)


def test_generated_requests_get_declared_answers(server, admin, tmp_path):
    code, output = run(server, admin, tmp_path, "--exclude-path-regex", LEFT_OUT, "-n", "10")
    generated = int(re.search(r"(\d+) generated", output)[1])
    assert code == 0, output[-20000:]
    assert generated > 1500
    # The run was signed in to its end: what it met was the API, not the door.
    assert admin.get("/api/me").status_code == 200
    assert not [line for line in server.output().splitlines() if '"level":"error"' in line]


def test_generated_requests_at_the_sign_in_get_declared_answers(server, admin, tmp_path):
    code, output = run(server, admin, tmp_path, "--include-path-regex", "^/auth/", "-n", "20")
    assert code == 0, output[-20000:]
    assert not [line for line in server.output().splitlines() if '"level":"error"' in line]
