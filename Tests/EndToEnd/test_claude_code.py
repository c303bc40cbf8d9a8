"""The same conversations with both engines: the native one, and the real `claude` CLI in the real sandbox. Then what is the CLI's alone."""

import importlib.util
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import uuid

import pytest
import requests

from clawbot import BINARY, Clawbot, descendants, eventually
from fakes import anthropic_environment

KEY = "sk-test"
CLI = pathlib.Path(importlib.util.find_spec("claude_agent_sdk").origin).parent / "_bundled" / "claude"


@pytest.fixture(scope="module")
def world(tmp_path_factory, anthropic):
    environment = {**anthropic_environment(anthropic), "CLAWBOT_COMPUTE_CLAUDE_CLI": str(CLI)}
    server = Clawbot(tmp_path_factory.mktemp("engines") / "clawbot", env=environment).start()
    user = server.new_user(server.sign_in(), "user@example.test")
    user.fake, user.running, user.bots = anthropic, server, {}
    yield user
    server.stop()


def conversation(world, engine, **fields):
    requests.delete(world.fake + "/control/requests")
    requests.put(world.fake + "/control/script", json=[])
    key = engine + json.dumps(fields, sort_keys=True)
    if key not in world.bots:
        world.bots[key] = world.bot(f"Bot {len(world.bots)}", engine=engine, **fields)
    chat = world.chat(world.bots[key], conversation=uuid.uuid4().hex[:12])
    chat.fake = world.fake
    return chat


@pytest.fixture(params=["native", "claude-code"])
def engine(request):
    return request.param


@pytest.fixture
def chat(world, engine):
    return conversation(world, engine)


@pytest.fixture
def claude(world):
    return conversation(world, "claude-code")


def script(chat, *turns):
    requests.put(chat.fake + "/control/script", json=list(turns)).raise_for_status()


def calls(chat):
    return [entry["body"] for entry in requests.get(chat.fake + "/control/requests").json() if "body" in entry]


def spoken(body):
    """All text of the conversation as the model was given it."""
    return json.dumps(body["messages"])


def use(name, **given):
    return {"tools": [{"name": name, "input": given}]}


def command_line(process):
    try:
        return pathlib.Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


# -- what both do


def test_a_hello(chat):
    assert chat.reply("echo: hello there", timeout=120) == "hello there"


def test_a_tool_call(chat):
    assert "42" in chat.reply("use bash: echo $((6*7))", timeout=120)
    assert chat.reply("chain 3", timeout=120).startswith("chained 3")


def test_the_platforms_tools(chat):
    rows = chat.ask('use mcp__clawbot__send_message: {"text":"on my way"}', timeout=120)
    assert [row["content"] for row in rows][0] == "on my way" and len(rows) == 2
    given = {"prompt": "water the plants", "schedule_type": "interval", "value": "3600000"}
    chat.reply("use mcp__clawbot__schedule_task: " + json.dumps(given), timeout=120)
    tasks = chat.client.get(f"/api/bots/{chat.bot}/tasks").json()["items"]
    assert any(task["prompt"] == "water the plants" for task in tasks)


def test_what_the_whitelist_does_not_have_is_neither_offered_nor_run(world, engine):
    chat = conversation(
        world, engine, toolWhitelist={"mcpToolsEnabled": True, "skillsEnabled": False, "allowedMcpTools": ["mcp__clawbot__list_tasks"], "allowedSkills": []})
    rows = chat.ask('use mcp__clawbot__send_message: {"text":"leaked"}', timeout=120)
    assert all(row["content"] != "leaked" for row in rows)
    names = {tool["name"] for body in calls(chat) for tool in body.get("tools", [])}
    assert "mcp__clawbot__list_tasks" in names and "mcp__clawbot__send_message" not in names
    assert chat.reply("use mcp__clawbot__list_tasks: {}", timeout=120).startswith("tool said")


def test_memory_is_in_the_prompt_and_can_be_written(chat):
    chat.reply('use Write: {"file_path":"/workspace/group/CLAUDE.md","content":"COLOUR=teal"}', timeout=120)
    chat.reply("/clear", timeout=120)
    assert "COLOUR=teal" in chat.reply("remembered?", timeout=120)


def test_a_conversation_goes_on_after_a_restart(world, chat):
    chat.reply("echo: the password is heron", timeout=120)
    world.running.restart()
    assert chat.reply("echo: still here", timeout=120) == "still here"
    assert "the password is heron" in spoken(calls(chat)[-1])


def test_a_session_that_is_gone_is_a_new_one(world, chat):
    chat.reply("echo: before the loss", timeout=120)
    world.running.kill()
    sessions = list((world.running.directory / "data").rglob("transcripts"))
    for folder in sessions:
        for file in folder.rglob("*.jsonl"):
            file.unlink()
    world.running.start()
    assert chat.reply("echo: after the loss", timeout=120) == "after the loss"
    assert "before the loss" not in spoken(calls(chat)[-1])


def test_stop_ends_a_run_that_never_would(chat):
    message = chat.send("hang")
    eventually(lambda: chat.state(message) == "running")
    eventually(lambda: calls(chat), 60)
    chat.send("/stop")
    eventually(lambda: chat.state(message) == "stopped", 15)
    assert chat.reply("echo: next", timeout=120) == "next"


def test_compaction_archives_the_conversation(chat):
    assert "nothing to compact" in chat.reply("/compact", timeout=120).lower()
    chat.reply("echo: a fact about otters", timeout=120)
    assert "ompacted" in chat.reply("/compact", timeout=120)
    listed = chat.reply("use bash: cat /workspace/group/conversations/*.md", timeout=120)
    assert "a fact about otters" in listed


def test_a_provider_that_stays_broken_is_named(chat):
    message = chat.send("fail 400")
    eventually(lambda: chat.state(message) == "failed", 120)
    row = next(m for m in chat.messages() if m["messageId"] == message)
    assert row["failure"] == "provider-unavailable"
    assert chat.reply("echo: well again", timeout=120) == "well again"


def test_a_provider_that_recovers_is_waited_for(chat):
    assert chat.reply(f"fail 529 1", timeout=120) == "recovered"
    assert [m["content"] for m in chat.ask("cut 1", timeout=120)][-1] == "recovered"


def test_usage_is_what_the_gateway_counted(world, chat):
    before = world.get("/api/usage").json()
    chat.reply("echo: counted", timeout=120)
    after = eventually(lambda: (u := world.get("/api/usage").json())["invocations"] > before["invocations"] and u)
    assert after["tokens"] > before["tokens"]


# -- what is the CLI's alone


def test_sub_agents_are_held_to_the_whitelist_too(world):
    chat = conversation(
        world, "claude-code", toolWhitelist={"mcpToolsEnabled": True, "skillsEnabled": False, "allowedMcpTools": [], "allowedSkills": []})
    script(
        chat, use("Task", description="try it", prompt="send it", subagent_type="general-purpose", run_in_background=False),
        use("mcp__clawbot__send_message", text="leaked by a sub-agent"), {"text": "the sub-agent is done"}, {"text": "all done"})
    rows = chat.ask("go", timeout=120)
    assert [row["content"] for row in rows] == ["all done"]
    assert not any(tool["name"].startswith("mcp__") for body in calls(chat) for tool in body.get("tools", []))


def test_the_sandbox_holds_no_key_and_no_grant_and_the_cli_read_only(claude):
    said = claude.reply("use bash: env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'; touch /opt/clawbot/claude 2>&1; true", timeout=120)
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in said
    assert KEY not in said and "v1.ey" not in said, "a provider's key or the grant was to be seen"
    assert "Read-only file system" in said or "Permission denied" in said


def test_only_the_tools_that_we_name_are_offered(claude):
    claude.reply("echo: hi", timeout=120)
    names = {tool["name"] for tool in calls(claude)[-1]["tools"]}
    assert {"Bash", "Read", "Write", "Edit", "mcp__clawbot__schedule_task"} <= names
    assert not [name for name in names if "Cron" in name or "Remote" in name or "Wakeup" in name or name == "Skill"]


def test_SEC_68_planted_settings_of_the_cli_do_not_take_effect(claude):
    canary = "touch /workspace/group/CANARY"
    hooks = {kind: [{"hooks": [{"type": "command", "command": canary}]}] for kind in ["SessionStart", "UserPromptSubmit", "Stop"]}
    hooks["PreToolUse"] = [{"matcher": "*", "hooks": [{"type": "command", "command": canary}]}]
    settings = json.dumps({"hooks": hooks, "apiKeyHelper": canary, "env": {"PLANTED": "1", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, "permissions": {"deny": ["Bash"]}})
    servers = json.dumps({"mcpServers": {"planted": {"command": "/bin/sh", "args": ["-c", canary]}}})
    agent = f"---\nname: planted\ndescription: planted\nhooks:\n  Stop:\n    - hooks:\n        - type: command\n          command: {canary}\n---\nx"
    files = {
        "/workspace/group/.claude/settings.json": settings, "/workspace/group/.claude/settings.local.json": settings, "/home/agent/.claude/settings.json": settings,
        "/home/agent/.claude/settings.local.json": settings, "/workspace/group/.mcp.json": servers, "/home/agent/.claude.json": servers,
        "/home/agent/.claude/.claude.json": servers, "/workspace/group/.claude/agents/planted.md": agent, "/home/agent/.claude/agents/planted.md": agent,
        "/workspace/group/.claude/skills/planted/SKILL.md": agent, "/workspace/group/.claude/commands/compact.md": "!`" + canary + "`",
        "/workspace/group/.env": "PLANTED=1\nANTHROPIC_CUSTOM_HEADERS=X-Planted: 1\n", "/workspace/group/bunfig.toml": 'preload = ["./planted.js"]\n',
        "/workspace/group/planted.js": "require('fs').writeFileSync('/workspace/group/CANARY', '')",
    }
    script(claude, *[use("Bash", command=f"mkdir -p {path.rpartition('/')[0]} && cat > {path} <<'END'\n{text}\nEND") for path, text in files.items()], {"text": "planted"})
    assert claude.reply("go", timeout=240) == "planted"
    claude.reply("/clear", timeout=120)
    requests.delete(claude.fake + "/control/requests")
    said = claude.reply("use bash: ls -a /workspace/group/.claude; ls /workspace/group; env | grep PLANTED; true", timeout=120)
    assert "settings.json" in said, "the settings were not planted"
    assert "CANARY" not in said and "PLANTED" not in said
    sent = json.dumps(requests.get(claude.fake + "/control/requests").json())
    assert not [word for word in ("mcp__planted", "x-planted", "- planted") if word in sent.lower()]


def test_a_try_that_brought_no_answer_is_no_part_of_the_conversation(world, claude):
    claude.reply("echo: first", timeout=120)
    message = claude.send("slow 100")
    eventually(lambda: any("slow 100" in spoken(body) for body in calls(claude)), 60)
    agents = [process for process in descendants(world.running.process.pid) if "/opt/clawbot/clawbot agent" in command_line(process)]
    assert agents, "there is no agent to kill"
    for process in agents:
        # One may end with the other.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    eventually(lambda: claude.state(message) == "answered", 180)
    last = [body for body in calls(claude) if "slow 100" in spoken(body)][-1]
    assert spoken(last).count("slow 100") == 1 and "first" in spoken(last)


def test_commands_have_the_same_way_out_with_either_engine(world, chat):
    """The bot's policy and the credential proxy, whatever the engine: refused with a sentence's status, and the owner sees it."""
    said = chat.reply(
        "use bash: curl -gsS -m 30 -o /dev/null -w 'clear=%{http_code} ' http://169.254.169.254/; curl -sS -m 30 -o /dev/null -w 'rule=%{http_code}' $CLAWBOT_PROXY_URL/nothing/x",
        timeout=120)
    assert "clear=403" in said and "rule=403" in said, said
    assert "169.254.169.254" in [row["target"] for row in world.get(f"/api/bots/{chat.bot}/denials").json()["items"]]


def test_SEC_89_the_clis_own_plans_and_remote_triggers_are_not_offered(world, claude):
    claude.reply("echo: plans", timeout=120)
    offered = {tool["name"] for body in calls(claude) for tool in body.get("tools", [])}
    assert {"Bash", "mcp__clawbot__schedule_task"} <= offered
    assert [name for name in offered if re.search("cron|schedul|remote|trigger|wakeup|monitor", name, re.I) and not name.startswith("mcp__clawbot__")] == []


def test_it_works_with_the_demo_provider_as_well(tmp_path):
    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_COMPUTE_CLAUDE_CLI": str(CLI)}).start()
    try:
        user = server.new_user(server.sign_in(), "user@example.test")
        assert "demo" in user.chat(user.bot("Demo", engine="claude-code")).reply("hello", timeout=120).lower()
    finally:
        server.stop()


def test_a_server_without_the_cli_refuses_the_engine_and_its_doctor_says_so(tmp_path, anthropic):
    environment = {"CLAWBOT_COMPUTE_CLAUDE_CLI": str(tmp_path / "nothing-here")}
    server = Clawbot(tmp_path / "clawbot", env=environment).start()
    try:
        user = server.new_user(server.sign_in(), "user@example.test")
        answer = user.post("/api/bots", {"name": "Claude", "engine": "claude-code"})
        assert answer.status_code == 400 and "claude CLI" in answer.text
        report = json.loads(subprocess.run([BINARY, "doctor", "--json"], env=server.env, capture_output=True, text=True).stdout)
        probe = next(probe for probe in report["probes"] if probe["name"] == "claude-code")
        assert probe["status"] == "broken" and "nothing-here" in probe["detail"]
    finally:
        server.stop()
