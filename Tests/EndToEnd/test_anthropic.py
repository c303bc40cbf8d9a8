"""A bot on an Anthropic-compatible endpoint: a fake that speaks the real protocol, with everything that goes wrong out there."""

import json

import pytest
import requests

from clawbot import Clawbot, EventStream, eventually
from fakes import anthropic_environment


@pytest.fixture(scope="module")
def world(tmp_path_factory, anthropic):
    server = Clawbot(tmp_path_factory.mktemp("anthropic") / "clawbot", env=anthropic_environment(anthropic)).start()
    admin = server.sign_in()
    user = server.new_user(admin, "user@example.test")
    yield user, anthropic
    server.stop()


@pytest.fixture
def chat(world):
    user, base = world
    requests.delete(base + "/control/requests")
    bots = user.get("/api/bots").json()["items"]
    bot = bots[0]["botId"] if bots else user.bot("Claude")
    chat = user.chat(bot, conversation=f"c{id(object())}")
    chat.fake = base
    return chat


def sent_requests(chat):
    return requests.get(chat.fake + "/control/requests").json()


def test_a_plain_answer_and_the_key_stays_with_the_gateway(chat):
    assert chat.reply("echo: hello there") == "hello there"
    last = sent_requests(chat)[-1]
    assert "sk-test" not in json.dumps(last.get("body", last)), "the key travelled in the body"


def test_tool_use_over_several_turns(chat):
    assert "42" in chat.reply("use bash: echo $((6*7))")
    assert chat.reply("chain 4").startswith("chained 4")
    assert chat.reply('both: Write {"file_path":"/workspace/group/a.txt","content":"A"} && Bash {"command":"echo B"}')


def test_429_and_529_are_waited_out(chat):
    assert chat.reply("fail 429 2") == "recovered"
    assert chat.reply("fail 529 2") == "recovered"
    assert chat.reply("fail 500 1") == "recovered"


def test_a_cut_connection_is_tried_again_and_answered_once(chat):
    replies = chat.ask("cut 1")
    assert [m["content"] for m in replies] == ["recovered"]
    assert chat.reply("silent 1") == "recovered"
    assert chat.reply("malformed 1") == "recovered"
    assert chat.reply("error event 1") == "recovered"


def test_a_provider_that_stays_broken_is_named_in_one_clear_message(chat):
    message_id = chat.send("fail 400")
    eventually(lambda: chat.state(message_id) == "failed", 90)
    row = next(m for m in chat.messages() if m["messageId"] == message_id)
    assert row["failure"] == "provider-unavailable"
    said = [m["content"] for m in chat.messages() if m["isBotMessage"]][-1]
    assert "provider" in said.lower() and "invalid_request" not in said


def test_usage_is_metered_from_the_stream(world, chat):
    user, _ = world
    before = user.get("/api/usage").json()
    chat.reply("echo: counted")
    after = eventually(lambda: (u := user.get("/api/usage").json())["invocations"] > before["invocations"] and u)
    assert after["tokens"] > before["tokens"]


def test_stop_ends_a_run_that_never_would(chat):
    message_id = chat.send("hang")
    eventually(lambda: chat.state(message_id) == "running")
    chat.send("/stop")
    eventually(lambda: chat.state(message_id) == "stopped", 10)
    assert chat.reply("echo: next") == "next"


def test_memory_files_reach_the_prompt_and_survive_clear(chat):
    chat.reply('use Write: {"file_path":"/workspace/group/CLAUDE.md","content":"COLOUR=teal"}')
    chat.reply("/clear")
    assert "COLOUR" in chat.reply("remembered?")


def test_a_tool_that_prints_a_gigabyte_and_one_that_never_ends_do_no_harm(chat):
    reply = chat.reply("use bash: head -c 1000000000 /dev/zero | tr '\\0' 'x'; echo; echo the-end", timeout=120)
    assert "the-end" in reply and len(reply) < 100_000
    reply = chat.reply('use Bash: {"command":"sleep 1000","timeout":1000}', timeout=60)
    assert "time" in reply.lower()
    assert chat.reply("echo: alive") == "alive"


def test_deltas_are_gapless_and_the_message_supersedes_them(world, chat):
    user, _ = world
    stream = EventStream(user, chat.bot, chat.conversation)
    chat.send("slow 12")
    stream.until(lambda e: e["event"] == "status" and e["data"]["state"] == "done", 60)
    deltas = [e["data"] for e in stream.seen if e["event"] == "delta"]
    message = [e["data"] for e in stream.seen if e["event"] == "message" and e["data"]["isBotMessage"]][-1]
    own = [d for d in deltas if d["messageId"] == message["messageId"]]
    assert [d["index"] for d in own] == list(range(len(own))) and len(own) >= 2
    assert "".join(d["text"] for d in own) == message["content"]
    stream.close()


def test_a_stream_resumes_after_the_last_event_it_saw(world, chat):
    user, _ = world
    stream = EventStream(user, chat.bot, chat.conversation)
    chat.reply("echo: one")
    first = stream.until(lambda e: e["event"] == "message" and e["data"]["isBotMessage"])
    stream.close()
    chat.reply("echo: two")
    again = EventStream(user, chat.bot, chat.conversation, last_event_id=first["id"])
    again.until(lambda e: e["event"] == "message" and e["data"].get("content") == "two")
    assert not [e for e in again.seen if e["event"] == "message" and e["data"]["content"] == "one"]
    again.close()
