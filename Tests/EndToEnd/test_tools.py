"""Every tool of the native engine, driven by a scripted model through the real gateway and the real sandbox: what it does, where it ends,
and what it says when it cannot."""

import base64
import http.server
import json
import re
import threading
import uuid
import zlib

import pytest
import requests

from clawbot import Clawbot, eventually
from fakes import anthropic_environment

GROUP = "/workspace/group"
SEARCH = "SEARCH-KEY-8812"


class SearchEngine:
    """A SearXNG-like search API on loopback."""

    def __init__(self):
        self.seen = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("Authorization")))
                broken = "broken" in self.path
                body = b"oops" if broken else json.dumps({"results": [
                    {"title": "Plum", "url": "https://fruit.example/plum", "content": "A <b>fruit</b>."},
                    {"title": "Ad", "url": "https://ads.example/x", "content": ""}, {"title": "bad", "url": "javascript:1"}]}).encode()
                self.send_response(503 if broken else 200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}/search"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def search():
    engine = SearchEngine()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, anthropic, search):
    environment = {**anthropic_environment(anthropic), "CLAWBOT_TOOLS_SEARCH_BASE_URL": search.base, "CLAWBOT_TOOLS_SEARCH_API_KEY": SEARCH}
    server = Clawbot(tmp_path_factory.mktemp("tools") / "clawbot", env=environment).start()
    user = server.new_user(server.sign_in(), "user@example.test")
    user.fake, user.running = anthropic, server
    yield user
    server.stop()


@pytest.fixture(scope="module")
def bot(world):
    return world.bot("Tools")


@pytest.fixture
def chat(world, bot):
    requests.delete(world.fake + "/control/requests")
    requests.put(world.fake + "/control/script", json=[])
    requests.put(world.fake + "/control/overloaded", json=[])
    chat = world.chat(bot, conversation=uuid.uuid4().hex[:12])
    chat.fake = world.fake
    return chat


def script(chat, *turns):
    requests.put(chat.fake + "/control/script", json=list(turns)).raise_for_status()


def call(name, **given):
    return {"name": name, "input": given}


def calls(chat):
    """Bodies of the model calls so far."""
    return [entry["body"] for entry in requests.get(chat.fake + "/control/requests").json() if "body" in entry]


def results(body):
    return [block for block in body["messages"][-1]["content"] if block["type"] == "tool_result"]


def said(result):
    return "\n".join(part.get("text", "") for part in result["content"]) if isinstance(result["content"], list) else result["content"]


def use(chat, *tools, timeout=120):
    """Runs these calls in one turn; answers their results as (text, is_error)."""
    script(chat, {"tools": list(tools)}, {"text": "done"})
    assert chat.reply("go", timeout=timeout) == "done"
    return [(said(result), result.get("is_error", False)) for result in results(calls(chat)[-1])]


def one(chat, name, **given):
    return use(chat, call(name, **given))[0]


# -- Bash


def test_bash_keeps_its_directory_and_tells_exit_codes_and_time_outs(chat):
    script(
        chat, {"tools": [call("Bash", command="mkdir -p sub && cd sub && pwd")]}, {"tools": [call("Bash", command="pwd; echo oops >&2; exit 3")]},
        {"tools": [call("Bash", command="sleep 1000", timeout=500)]}, {"text": "done"})
    assert chat.reply("go", timeout=120) == "done"
    texts = [said(results(body)[0]) for body in calls(chat)[1:]]
    assert texts[0] == f"{GROUP}/sub"
    assert texts[1] == f"Exit code 3\n{GROUP}/sub\noops"
    assert texts[2].startswith("Timed out after 500 ms")


def test_bash_cuts_long_output_and_keeps_the_whole_in_a_file(chat):
    text, _ = one(chat, "Bash", command="seq 1 100000")
    path = re.search(r"whole output is in (\S+)\]", text)[1]
    assert len(text) < 35_000 and text.startswith("1\n2\n") and text.endswith("100000")
    assert one(chat, "Bash", command=f"tail -n 1 {path}; wc -l < {path}")[0] == "100000\n100000"


def test_bash_in_the_background_over_messages(chat):
    text, _ = one(chat, "Bash", command="while [ ! -e go ]; do sleep 0.05; done; echo finished; sleep 1000", run_in_background=True)
    job = re.search(r"id (bash_\d+)", text)[1]
    assert one(chat, "BashOutput", bash_id=job)[0] == "Status: running\n(no new output)"
    one(chat, "Bash", command="touch go")
    eventually(lambda: "finished" in one(chat, "BashOutput", bash_id=job, filter="fin.*")[0])
    assert one(chat, "KillBash", shell_id=job)[0] == f"Killed {job}."
    assert one(chat, "BashOutput", bash_id=job)[0].startswith("Status: killed")
    assert one(chat, "BashOutput", bash_id="bash_99")[1] and one(chat, "KillShell", shell_id=job)[1]


# -- files


def test_write_read_and_edit_with_their_rules(chat):
    path = f"{GROUP}/note.txt"
    (made, _), (read, _) = use(chat, call("Write", file_path=path, content="one\ntwo\nthree\n"), call("Read", file_path=path, offset=2, limit=1))
    assert made.startswith("Made") and read.startswith("     2\ttwo")
    assert "(2 places)" not in one(chat, "Edit", file_path=path, old_string="two", new_string="2")[0]
    errors = use(
        chat, call("Edit", file_path=path, old_string="absent", new_string="x"), call("Edit", file_path=path, old_string="e", new_string="x"),
        call("Write", file_path="/usr/x", content="x"), call("Read", file_path="/workspace/absent"), call("Read", file_path=GROUP))
    assert all(is_error for _, is_error in errors)
    assert ["is not in", "times", "read-only", "does not exist", "is a directory"] == [
        next(word for word in ["is not in", "times", "read-only", "does not exist", "is a directory", "permission"] if word in text) for text, _ in errors]
    one(chat, "Bash", command=f"echo changed > {path}")
    text, is_error = one(chat, "Write", file_path=path, content="x")
    assert is_error and "has changed since it was read" in text


def test_read_shows_images_pdfs_and_notebooks(chat):
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes([0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0])) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    notebook = {"cells": [{"cell_type": "code", "id": "a1", "metadata": {}, "outputs": [], "execution_count": None, "source": ["1+1"]}],
                "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    one(chat, "Bash", command=f"echo {base64.b64encode(png).decode()} | base64 -d > p.png; printf '%%PDF-1.4\\n%%%%EOF' > a.pdf; printf '%%PDF-1.4' > broken.pdf; echo '{json.dumps(notebook)}' > n.ipynb")
    use(chat, call("Read", file_path="p.png"), call("Read", file_path="a.pdf"), call("Read", file_path="n.ipynb"))
    image, document, cells = results(calls(chat)[-1])
    assert image["content"][1]["source"]["data"] == base64.b64encode(png).decode()
    assert document["content"][1]["type"] == "document" and document["content"][1]["source"]["media_type"] == "application/pdf"
    assert '<cell id="a1" type="code">' in said(cells)
    assert "Replaced cell a1" in one(chat, "NotebookEdit", notebook_path="n.ipynb", cell_id="a1", new_source="2+2")[0]
    assert one(chat, "NotebookEdit", notebook_path="n.ipynb", cell_id="zz", new_source="x")[1]
    assert "2+2" in one(chat, "Bash", command="cat n.ipynb")[0]
    # What the model refuses costs the file, not the conversation.
    assert one(chat, "Read", file_path="broken.pdf")[1] is False
    assert chat.reply("pdf?") == "no files"
    assert chat.reply("echo: alive") == "alive"


def test_glob_and_grep(chat):
    one(chat, "Bash", command="mkdir -p src && echo 'let a = 1' > src/a.swift && echo 'Let B' > src/b.txt && touch -d 2001-01-01 src/b.txt")
    (files, _), (listed, _), (counted, _), (content, _), (nothing, _), (bad, is_error), (absent, absent_error) = use(
        chat, call("Glob", pattern="**/*.{swift,txt}"), call("Grep", pattern="let", **{"-i": True}), call("Grep", pattern="let", output_mode="count"),
        call("Grep", pattern="let", output_mode="content", glob="*.swift", **{"-n": True}), call("Grep", pattern="nowhere"), call("Grep", pattern="("),
        call("Glob", pattern="*", path="/absent"))
    assert files == f"{GROUP}/src/a.swift\n{GROUP}/src/b.txt" and listed == "src/a.swift\nsrc/b.txt"
    assert counted == "src/a.swift:1" and content == "src/a.swift:1:let a = 1" and nothing == "No matches."
    assert is_error and "no regular expression" in bad or "failed" in bad
    assert absent_error and "no directory" in absent


# -- the plan, sub-agents, skills


def test_todo_list(chat):
    item = {"content": "Test", "status": "in_progress", "activeForm": "Testing"}
    assert one(chat, "TodoWrite", todos=[item])[0] == "The list is now:\n[>] Test"
    assert one(chat, "TodoWrite", todos=[{**item, "status": "done"}])[1]


def test_sub_agents_run_side_by_side_and_report(chat):
    tasks = [
        {"description": "one", "prompt": "use bash: echo from the first; touch first; until [ -e second ]; do sleep 0.1; done"},
        {"description": "two", "prompt": "use bash: touch second; until [ -e first ]; do sleep 0.1; done; ls first second"},
        {"description": "three", "prompt": 'use Task: {"description": "deeper", "prompt": "x"}', "subagent_type": "general-purpose"},
        {"description": "four", "prompt": 'use Write: {"file_path": "/workspace/group/x", "content": "x"}', "subagent_type": "Explore"}]
    message = chat.reply("both: " + " && ".join("Task " + json.dumps(task) for task in tasks), timeout=200)
    assert "tool said: from the first" in message and "tool said: first\nsecond" in message
    assert "There is no tool Task." in message and "There is no tool Write." in message
    used = chat.client.get("/api/usage").json()
    assert used["tokens"] > 0


def test_a_skill_is_absent_where_there_is_none(chat):
    text, is_error = one(chat, "Skill", skill="tea")
    assert is_error and text == "There is no tool Skill."
    assert "Skill" not in {tool["name"] for tool in calls(chat)[0]["tools"]}


# -- the web


def test_web_search_goes_through_the_platform_and_its_key_stays_there(chat, search):
    (found, _), (filtered, _), (nothing, _) = use(
        chat, call("WebSearch", query="plums"), call("WebSearch", query="plums", blocked_domains=["ads.example"]),
        call("WebSearch", query="plums", allowed_domains=["other.example"]))
    assert found == "Results for “plums”:\n- Plum: https://fruit.example/plum\n  A fruit.\n- Ad: https://ads.example/x"
    assert "ads.example" not in filtered and nothing.startswith("Nothing was found")
    assert search.seen[-1][1] == f"Bearer {SEARCH}" and "q=plums" in search.seen[-1][0]
    assert SEARCH not in json.dumps(calls(chat))
    assert one(chat, "WebSearch", query="p")[1]


def test_web_fetch_reaches_nothing_private(chat, search):
    (private, first), (scheme, second), (metadata, third) = use(
        chat, call("WebFetch", url=search.base), call("WebFetch", url="file:///etc/passwd"), call("WebFetch", url="http://169.254.169.254/latest/"))
    assert first and second and third and "fruit.example" not in private
    assert "169.254.169.254" in metadata and "URL" in scheme


# -- the platform's tools


def test_messages_files_and_history(chat):
    chat.reply("echo: the secret word is plum")
    script(
        chat, {"tools": [call("mcp__clawbot__send_message", text="first"), call("Bash", command="echo a,b > t.csv"), call("mcp__clawbot__send_file", file_path="t.csv", caption="the table"),
                         call("mcp__clawbot__send_file", file_path="absent"), call("mcp__clawbot__search_history", query="SECRET word"), call("mcp__clawbot__search_history", query="x" * 300)]},
        {"text": "last"})
    replies = chat.ask("go")
    assert [m["content"] for m in replies][0] == "first" and replies[-1]["content"] == "last"
    assert any(a["fileName"] == "t.csv" for m in replies for a in m.get("attachments") or [])
    found = results(calls(chat)[-1])
    assert [r.get("is_error", False) for r in found] == [False, False, False, True, False, True]
    assert "the secret word is plum" in said(found[4])


def test_history_reaches_back_over_clear_and_compaction(chat):
    chat.reply("echo: CODE=4711")
    for number in range(6):
        chat.reply(f"echo: filler {number}")
    chat.reply("/clear")
    text, _ = one(chat, "mcp__clawbot__search_history", query="code=", limit=5)
    assert "CODE=4711" in text and "4711" not in json.dumps(calls(chat)[-2]["messages"])


def test_tasks(chat):
    (made, _), (bad, bad_error) = use(
        chat, call("mcp__clawbot__schedule_task", prompt="water", schedule_type="cron", value="0 9 * * 1"),
        call("mcp__clawbot__schedule_task", prompt="x", schedule_type="cron", value="never"))
    task = re.search(r"id (\S+),", made)[1]
    assert bad_error and "Scheduled." in made
    (paused, _), (resumed, _), (updated, _), (listed, _), (gone, _), (again, again_error) = use(
        chat, call("mcp__clawbot__pause_task", task_id=task), call("mcp__clawbot__resume_task", task_id=task),
        call("mcp__clawbot__update_task", task_id=task, prompt="water the plums"), call("mcp__clawbot__list_tasks"),
        call("mcp__clawbot__cancel_task", task_id=task), call("mcp__clawbot__cancel_task", task_id=task))
    assert "paused" in paused and "active" in resumed and "plums" in updated and "plums" in listed
    assert "deleted" in gone and again_error


# -- calls that are none


def test_unknown_tools_and_malformed_input_are_told_and_the_run_goes_on(chat):
    found = use(chat, call("Teleport", to="Mars"), call("Bash"), call("Read", file_path=7), call("TodoWrite", todos="no"), call("Grep", pattern="x", output_mode="all"), call("Bash", command="echo fine"))
    assert [is_error for _, is_error in found] == [True] * 5 + [False]
    assert found[0][0] == "There is no tool Teleport." and "`command` is missing" in found[1][0]


def test_results_that_are_too_large_together_are_cut(chat):
    one(chat, "Bash", command="for i in 1 2 3 4; do yes $(seq -s' ' 1 30) | head -c 190000 > big$i.txt; done")
    texts = [text for text, _ in use(chat, *[call("Read", file_path=f"big{n}.txt", limit=20000) for n in range(1, 5)])]
    assert sum(map(len, texts)) < 420_000 and all("left out" in text for text in texts)


# -- the engine


def test_the_second_turn_of_a_long_conversation_reads_nine_tenths_from_the_cache(chat):
    words = " ".join(f"word{n}" for n in range(4000))
    chat.reply("note: " + words[:30_000])
    for number in range(3):
        chat.reply(f"use bash: seq {number} 200")
    requests.delete(chat.fake + "/control/requests")
    chat.reply("use bash: echo and now")
    usages = requests.get(chat.fake + "/control/usage").json()
    assert len(usages) == 2
    for usage in usages:
        whole = usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
        assert whole > 10_000 and usage["cache_read_input_tokens"] >= 0.9 * whole, usage


def test_the_cache_holds_over_a_new_process(world, chat):
    chat.reply("note: " + "plum " * 6000)
    world.running.restart()
    requests.delete(chat.fake + "/control/requests")
    assert chat.reply("echo: again") == "again"
    usage = requests.get(chat.fake + "/control/usage").json()[-1]
    whole = usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
    assert usage["cache_read_input_tokens"] >= 0.9 * whole, usage


def test_thinking_is_asked_for_and_survives_tool_loops_and_turns(chat):
    assert chat.reply("chain 3").startswith("chained 3")
    assert chat.reply("echo: next") == "next"
    bodies = calls(chat)
    assert all(body["thinking"]["type"] in ("enabled", "adaptive") for body in bodies)
    kinds = [block["type"] for message in bodies[-1]["messages"] if message["role"] == "assistant" for block in message["content"]]
    assert kinds.count("thinking") == 4


def test_compaction_by_command_keeps_what_matters_and_archives_the_rest(chat):
    chat.reply("echo: CODE=4711 " + "plum " * 3000)
    script(chat, {"text": "SUMMARY: the code is 4711"})
    assert chat.reply("/compact keep the code").startswith("Compacted the conversation")
    assert "keep the code" in json.dumps(calls(chat)[-1]["messages"])
    requests.delete(chat.fake + "/control/requests")
    text, _ = one(chat, "Bash", command="grep -l CODE=4711 conversations/*.md")
    assert text.startswith("conversations/")
    assert "SUMMARY: the code is 4711" in json.dumps(calls(chat)[0]["messages"]) and "plum plum" not in json.dumps(calls(chat)[0]["messages"])


def test_context_is_told_by_part(chat):
    chat.reply("echo: hello")
    report = chat.reply("/context")
    for part in ["System prompt", "Bot manual", "Tools", "Messages of people", "Own messages", "of 200.0k tokens"]:
        assert part in report, report


def test_a_long_answer_is_continued_and_a_refusal_is_taken_back(chat):
    assert chat.reply("long answer 100").split() == [f"w{n}" for n in range(100)]
    assert chat.reply("refuse") == "I can't help with that request."
    chat.reply("echo: next")
    assert "refuse" not in json.dumps(calls(chat)[-1]["messages"])


def test_max_turns_end_a_run_with_a_word(world, chat):
    bot = world.bot("Brief", containerConfig={"maxTurns": 3, "timeoutSeconds": 600})
    brief = world.chat(bot)
    assert "I stopped after 3 steps" in brief.reply("chain 9")


def test_the_token_budget_ends_a_run_with_a_word(world, chat):
    bot = world.bot("Thrifty", containerConfig={"maxTurns": 50, "timeoutSeconds": 600, "maxRunTokens": 60_000})
    thrifty = world.chat(bot)
    thrifty.fake = chat.fake
    # Calls of ten thousand tokens each.
    script(chat, {"text": "I begin.", "tools": [call("Bash", command="true")]}, *[{"tools": [call("Bash", command="true # " + "x" * 40_000)]} for _ in range(20)])
    reply = thrifty.reply("go", timeout=120)
    assert reply.startswith("I begin.") and "token budget for one message is used up" in reply
    assert 3 <= len(calls(chat)) <= 8
    script(chat)
    assert thrifty.reply("echo: next") == "next"


def test_the_deadline_ends_a_run_with_a_word(world, chat):
    bot = world.bot("Hasty", containerConfig={"maxTurns": 50, "timeoutSeconds": 60})
    hasty = world.chat(bot)
    message_id = hasty.send("use bash: sleep 1000")
    eventually(lambda: hasty.state(message_id) == "failed", 200)
    row = next(m for m in hasty.messages() if m["messageId"] == message_id)
    assert row["failure"] == "agent-timeout"


@pytest.mark.parametrize("words", ["use bash: touch started; sleep 1000", "slow 100000", 'use Task: {"description": "d", "prompt": "use bash: touch started; sleep 1000"}', "hang"])
def test_stop_ends_a_run_anywhere_and_the_conversation_goes_on(chat, words):
    chat.reply("echo: before")
    message_id = chat.send(words)
    eventually(lambda: chat.state(message_id) == "running")
    if "started" in words:
        # The command runs: it has made its file.
        eventually(lambda: list((chat.client.running.directory / "data").rglob(f"*{chat.conversation}/started")))
    chat.send("/stop")
    eventually(lambda: chat.state(message_id) == "stopped", 30)
    # The fake refuses every conversation that is not valid.
    assert chat.reply("echo: after") == "after"
    assert all(entry["status"] == 200 for entry in requests.get(chat.fake + "/control/requests").json())


def test_messages_that_arrive_meanwhile_steer_the_run_where_the_bot_wants_that(world, chat):
    bot = world.bot("Steered", duringRun="steer")
    steered = world.chat(bot)
    steered.fake = chat.fake
    script(chat, {"tools": [call("Bash", command="while [ ! -e go ]; do sleep 0.05; done")]}, {"text": "both answered"})
    first = steered.send("begin")
    eventually(lambda: len(calls(chat)) == 1)
    second = steered.send("and hurry")
    eventually(lambda: steered.state(second) == "queued")
    group = next((world.running.directory / "data").rglob(f"{bot}/workspace/*"), None)
    assert group is not None
    (group / "go").touch()
    eventually(lambda: steered.state(first) == "answered" and steered.state(second) == "answered", 60)
    assert [m["content"] for m in steered.messages() if m["isBotMessage"]] == ["both answered"]
    assert "and hurry" in json.dumps(calls(chat)[-1]["messages"][-1]) and "arrived while you were working" in json.dumps(calls(chat)[-1])


def test_the_fallback_model_answers_when_the_model_stays_overloaded(world, anthropic):
    admin = world.running.sign_in()
    made = admin.post("/api/admin/providers", {
        "providerName": "Two", "providerType": "anthropic-compatible-api", "baseUrl": anthropic, "authType": "api-key", "apiKey": "sk-test",
        "modelIds": ["claude-sonnet-4-5", "fake-2"], "fallbackModelId": "fake-2"})
    assert made.status_code == 201, made.text
    bot = world.bot("Fallback", providerId=made.json()["providerId"], modelId="claude-sonnet-4-5")
    chat = world.chat(bot)
    chat.fake = world.fake
    requests.put(world.fake + "/control/overloaded", json=[])
    # A tool loop whose first answer is the first model's, thinking and all; the second model goes on with it.
    assert chat.reply("echo: one") == "one"
    requests.put(world.fake + "/control/overloaded", json=["claude-sonnet-4-5"])
    requests.delete(world.fake + "/control/requests")
    try:
        assert chat.reply("use bash: echo two", timeout=120) == "tool said: two"
    finally:
        requests.put(world.fake + "/control/overloaded", json=[])
    assert {"claude-sonnet-4-5", "fake-2"} == {body["model"] for body in calls(chat)}
