"""MCP with real peers: servers of others used by a bot in its sandbox, and our own server used by the official client."""

import asyncio
import json
import os
import pathlib
import re
import subprocess
import sysconfig

import pytest
import requests
from aiohttp import web

from clawbot import BINARY, ROOT, Clawbot, eventually
from fakes import anthropic_environment

PACKAGES = pathlib.Path(sysconfig.get_paths()["purelib"])
PYTHON = "/usr/bin/python3"
pytestmark = pytest.mark.skipif(not (PACKAGES / "mcp_types").exists(), reason="needs Tests/requirements.txt")


def same_python():
    """Whether the system's Python, which the sandbox sees, can load what pip installed for the tests."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGES)!r}); import mcp_server_time, mcp_server_git, mcp_server_fetch"
    return subprocess.run([PYTHON, "-c", code], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def world(tmp_path_factory, anthropic):
    # The operator shows sandboxes a directory with the servers' packages, read-only.
    env = {**anthropic_environment(anthropic), "CLAWBOT_COMPUTE_READ_ONLY_PATHS": str(PACKAGES)}
    server = Clawbot(tmp_path_factory.mktemp("mcp") / "clawbot", env=env).start()
    admin = server.sign_in()
    user = server.new_user(admin, "user@example.test")
    yield admin, user, anthropic
    server.stop()


def python_server(module, *args):
    return {
        "type": "stdio", "command": PYTHON, "args": ["-m", module, *args],
        "envVars": [{"name": "PYTHONPATH", "template": str(PACKAGES)}],
    }


def add(user, bot, name, definition):
    made = user.post(f"/api/bots/{bot}/mcp-servers/custom", {"name": name, **definition})
    assert made.status_code == 201, made.text
    return made.json()["mcpServerId"]


def use(chat, tool, arguments, **more):
    return chat.reply(f"use {tool}: {json.dumps(arguments)}", **more)


@pytest.mark.skipif(not same_python(), reason="the system's Python cannot load the tests' packages")
class TestServersFromPyPI:
    def test_time_from_the_library(self, world):
        admin, user, _ = world
        made = admin.post("/api/admin/mcp-servers", {"name": "time", **python_server("mcp_server_time", "--local-timezone", "UTC")})
        assert made.status_code == 201, made.text
        bot = user.bot("Clock")
        chosen = user.put(f"/api/bots/{bot}/mcp-servers", {"mcpServers": [made.json()["mcpServerId"]]})
        assert chosen.status_code == 200, chosen.text
        assert user.get(f"/api/bots/{bot}").json()["mcpServers"] == [made.json()["mcpServerId"]]
        reply = use(user.chat(bot), "mcp__time__convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, timeout=120)
        assert "21:00" in reply

    def test_git_in_the_workspace(self, world):
        _, user, _ = world
        bot = user.bot("Historian")
        add(user, bot, "git", python_server("mcp_server_git"))
        chat = user.chat(bot)
        command = "git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m 'first words' && pwd"
        path = re.search(r"(/\S*/r)\b", chat.reply(f"use bash: {command}", timeout=120)).group(1)
        assert "first words" in use(chat, "mcp__git__git_log", {"repo_path": path}, timeout=120)

    def test_fetch_starts_and_fails_with_a_sentence_without_a_network(self, world):
        _, user, _ = world
        bot = user.bot("Reader")
        add(user, bot, "fetch", python_server("mcp_server_fetch", "--ignore-robots-txt"))
        reply = use(user.chat(bot), "mcp__fetch__fetch", {"url": "https://example.com/"}, timeout=120)
        assert "example.com" in reply or "connection" in reply.lower() or "failed" in reply.lower(), reply

    def test_whitelist_denies_by_default(self, world):
        _, user, base = world
        bot = user.bot("Strict", toolWhitelist={"mcpToolsEnabled": True, "skillsEnabled": False, "allowedMcpTools": ["mcp__time__get_current_time"], "allowedSkills": []})
        add(user, bot, "time", python_server("mcp_server_time", "--local-timezone", "UTC"))
        chat = user.chat(bot)
        reply = use(chat, "mcp__time__convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, timeout=120)
        assert "not allowed" in reply and "21:00" not in reply
        assert "UTC" in use(chat, "mcp__time__get_current_time", {"timezone": "UTC"}, timeout=120)


def test_a_server_that_does_not_start_is_told_to_the_model_and_the_run_goes_on(world):
    _, user, base = world
    bot = user.bot("Unlucky")
    add(user, bot, "missing", {"type": "stdio", "command": "no-such-program"})
    add(user, bot, "locked", {"type": "stdio", "command": PYTHON, "envVars": [{"name": "KEY", "required": True}]})
    requests.delete(base + "/control/requests")
    assert user.chat(bot).reply("echo: still here", timeout=120) == "still here"
    sent = json.dumps(requests.get(base + "/control/requests").json()[-1])
    assert "there is no program no-such-program" in sent and "has not given it KEY" in sent


def test_a_crashing_server_harms_its_own_calls_only(world):
    _, user, _ = world
    bot = user.bot("Patient")
    script = (ROOT / "Tests/Fakes/mcp/hostile.py").read_text()
    add(user, bot, "h", {"type": "stdio", "command": PYTHON, "args": ["/workspace/group/hostile.py", "crash-call"]})
    chat = user.chat(bot)
    chat.reply("use Write: " + json.dumps({"file_path": "/workspace/group/hostile.py", "content": script}), timeout=120)
    reply = use(chat, "mcp__h__act", {}, timeout=120)
    assert "not available" in reply and "status 3" in reply
    assert chat.reply("echo: alive") == "alive"


# -- our server, the official client


class Gateway:
    """What `clawbot mcp` talks to: just enough of /agent/v1, on a unix socket."""

    def __init__(self, path):
        self.path, self.replies, self.tasks = path, [], []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/agent/v1/replies", self.reply)
        app.router.add_get("/agent/v1/tasks", self.list_tasks)
        app.router.add_post("/agent/v1/tasks", self.create_task)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.UnixSite(self.runner, self.path).start()
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def reply(self, request):
        assert request.headers["authorization"].startswith("Bearer v1.")
        body = await request.json()
        # The engine of the run has used number 0 already.
        if body["sequence"] <= len(self.replies):
            return web.json_response({"type": "urn:clawbot:problem:idempotency-mismatch", "title": "", "status": 422, "detail": ""}, status=422)
        self.replies.append(body)
        return web.json_response({"messageId": body["messageId"]}, status=202)

    async def list_tasks(self, _):
        return web.json_response({"items": self.tasks})

    async def create_task(self, request):
        body = await request.json()
        if body["scheduleType"] == "cron" and body["scheduleValue"] == "bad":
            return web.json_response({"type": "urn:clawbot:problem:validation-failed", "title": "", "status": 400, "detail": "The schedule is not valid."}, status=400)
        self.tasks.append({**body, "taskId": "t1", "status": "active"})
        return web.json_response(self.tasks[-1], status=201)


def grant():
    import base64

    body = {
        "userId": "u", "botId": "01J00000000000000000000B0T", "groupJid": "web:main", "channelType": "web", "invocationId": "01J00000000000000000000INV",
        "sessionEpoch": 1, "scopes": ["reply", "tasks", "history", "objects"], "issuedAt": "2026-01-01T00:00:00.000Z", "expiresAt": "2099-01-01T00:00:00.000Z",
        "memoryWritable": True,
    }
    return "v1." + base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=") + ".c2ln"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_official_client_lists_and_calls_the_platform_tools(tmp_path, mode):
    from mcp.client.client import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    async def talk():
        async with Gateway(str(tmp_path / "gw.sock")) as gateway:
            environment = {"CLAWBOT_GATEWAY": f"unix:{gateway.path}", "CLAWBOT_GRANT": grant(), "PATH": os.environ["PATH"]}
            if "LD_LIBRARY_PATH" in os.environ:
                environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
            parameters = StdioServerParameters(command=BINARY, args=["mcp"], env=environment)
            async with Client(stdio_client(parameters), mode=mode) as client:
                names = {tool.name for tool in (await client.list_tools()).tools}
                assert {"send_message", "send_file", "schedule_task", "list_tasks", "cancel_task", "search_history"} <= names
                sent = await client.call_tool("send_message", {"text": "hello"})
                assert not sent.is_error and sent.content[0].text == "Sent."
                assert gateway.replies[0]["text"] == "hello" and gateway.replies[0]["sequence"] == 1
                made = await client.call_tool("schedule_task", {"prompt": "p", "schedule_type": "once", "value": "2099-01-01T00:00:00"})
                assert not made.is_error and "t1" in made.content[0].text
                refused = await client.call_tool("schedule_task", {"prompt": "p", "schedule_type": "cron", "value": "bad"})
                assert refused.is_error and "not valid" in refused.content[0].text
                assert "t1" in (await client.call_tool("list_tasks", {})).content[0].text

    asyncio.run(talk())


def test_wrongly_started_it_says_so():
    for env in ({}, {"CLAWBOT_GATEWAY": "http://x"}, {"CLAWBOT_GATEWAY": "unix:/x", "CLAWBOT_GRANT": "nonsense"}):
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""), **env}
        done = subprocess.run([BINARY, "mcp"], env=environment, input=b"", capture_output=True, timeout=60)
        assert done.returncode == 64 and b"CLAWBOT_" in done.stderr
