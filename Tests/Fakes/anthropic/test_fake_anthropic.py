"""The fake is checked with the vendor's own SDK, so that we do not test our misunderstanding."""

import base64
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import anthropic
import pytest

KEY = "sk-test"
BASH = {"name": "Bash", "description": "run", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fake_anthropic.py")), "--key", KEY, "--pace", "0.001"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def client(url):
    with anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0) as client:
        yield client


def ask(client, words, **more):
    return client.messages.create(model="fake-1", max_tokens=1000, messages=[{"role": "user", "content": words}], **more)


def stream(client, words, **more):
    with client.messages.stream(model="fake-1", max_tokens=1000, messages=[{"role": "user", "content": words}], **more) as events:
        return events.get_final_message()


def control(url, path, method="GET", body=None):
    request = urllib.request.Request(url + path, method=method, data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def test_text_and_usage(client):
    message = ask(client, "echo: hello there")
    assert message.content[0].text == "hello there" and message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0


def test_streamed_text_is_the_same(client):
    message = stream(client, "echo: hello streamed world")
    assert message.content[0].text == "hello streamed world"
    assert message.usage.output_tokens == ask(client, "echo: hello streamed world").usage.output_tokens


def test_envelope_is_taken_off(client):
    words = '<context timezone="UTC" now="2026-03-01T09:00:00" />\n<messages><message sender="A" time="x">echo: a &lt; b</message></messages>'
    assert ask(client, words).content[0].text == "a < b"


def test_tool_use_over_turns(client):
    messages = [{"role": "user", "content": "chain 3"}]
    for step in range(3):
        with client.messages.stream(model="fake-1", max_tokens=1000, messages=messages, tools=[BASH]) as events:
            message = events.get_final_message()
        assert message.stop_reason == "tool_use"
        call = message.content[-1]
        assert call.name == "Bash" and call.input["command"] == f"echo step {step + 1}"
        messages += [
            {"role": "assistant", "content": [block.model_dump(exclude_none=True, include={"type", "id", "name", "input", "text"}) for block in message.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": f"step {step + 1}"}]},
        ]
    message = client.messages.create(model="fake-1", max_tokens=1000, messages=messages, tools=[BASH])
    assert message.content[0].text == "chained 3: step 1 step 2 step 3"


def test_parallel_tools(client):
    message = stream(client, 'both: Bash {"command": "a"} && Bash {"command": "b"}', tools=[BASH])
    assert [block.input["command"] for block in message.content] == ["a", "b"]
    assert len({block.id for block in message.content}) == 2


def test_slow(client):
    assert stream(client, "slow 20").content[0].text.split() == [f"w{number}" for number in range(20)]


def test_failures_are_the_vendors(client, url):
    with pytest.raises(anthropic.RateLimitError) as limited:
        ask(client, "fail 429")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        ask(client, "fail 529")
    assert overloaded.value.status_code == 529
    with pytest.raises(anthropic.InternalServerError):
        ask(client, "fail 500")
    with anthropic.Anthropic(api_key="sk-wrong", base_url=url, max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            ask(stranger, "echo: x")
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="gpt-4", max_tokens=1, messages=[{"role": "user", "content": "x"}])


def test_the_sdk_recovers_from_a_counted_failure(url):
    control(url, "/control/requests", "DELETE")
    with anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=2) as client:
        assert ask(client, "fail 529 1").content[0].text == "recovered"
    assert [entry["status"] for entry in control(url, "/control/requests")] == [529, 200]


def test_cut_streams(client):
    for words in ["cut 1", "error event 1", "malformed 1"]:
        with pytest.raises(Exception):
            stream(client, words)
        assert stream(client, words).content[0].text == "recovered"
    with client.messages.stream(model="fake-1", max_tokens=9, messages=[{"role": "user", "content": "silent 1"}]) as events:
        assert not any(event.type == "message_stop" for event in events)


@pytest.mark.parametrize("messages, said", [
    ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "alternate"),
    ([{"role": "assistant", "content": "a"}], "first message"),
    ([{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]}, {"role": "user", "content": "b"}], "without `tool_result`"),
    ([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t9", "content": "x"}]}], "unexpected `tool_use_id`"),
    ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "non-whitespace"),
    ([{"role": "user", "content": ""}], "non-empty"),
])
def test_what_the_vendor_refuses(client, messages, said):
    with pytest.raises(anthropic.BadRequestError, match=said):
        client.messages.create(model="fake-1", max_tokens=10, messages=messages, tools=[BASH])


def test_the_cache_is_read_by_the_next_turn(client):
    system = [{"type": "text", "text": "You are " + "very " * 1200 + "kind.", "cache_control": {"type": "ephemeral"}}]
    first = ask(client, "echo: one", system=system).usage
    second = ask(client, "echo: two", system=system).usage
    assert first.cache_creation_input_tokens > 0 and first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens >= first.cache_creation_input_tokens * 0.9


MARK = {"cache_control": {"type": "ephemeral"}}


def usage(client, content, system=(), tools=(), **more):
    """Usage of one request whose user message has these blocks."""
    return client.messages.create(
        model=more.pop("model", "fake-1"), max_tokens=more.pop("max_tokens", 5000), messages=[{"role": "user", "content": content}],
        **({"system": list(system)} if system else {}), **({"tools": list(tools)} if tools else {}), **more).usage


def filler(name, tokens=1200, mark=True):
    return {"type": "text", "text": f"{name} " + "abc " * tokens, **(MARK if mark else {})}


def test_short_prefixes_are_not_cached_and_the_minimum_depends_on_the_model(client):
    for model, enough, short in [("fake-1", 1100, 900), ("claude-3-5-haiku-20241022", 2200, 1500), ("claude-haiku-4-5-20251001", 4300, 3900)]:
        assert usage(client, [filler(f"short {model}", short)], model=model).cache_creation_input_tokens == 0
        assert usage(client, [filler(f"long {model}", enough)], model=model).cache_creation_input_tokens > 0


def test_a_prefix_is_read_whole_or_not_at_all(client):
    system = [filler("whole")]
    assert usage(client, "x", system).cache_read_input_tokens == 0
    assert usage(client, "y", system).cache_read_input_tokens > 1000
    changed = [{"type": "text", "text": "W" + system[0]["text"][1:], **MARK}]
    assert usage(client, "x", changed).cache_read_input_tokens == 0
    # The tools stand before the system text: another tool is another prefix. So is another model.
    assert usage(client, "x", system, [BASH]).cache_read_input_tokens == 0
    assert usage(client, "x", system, model="fake-2").cache_read_input_tokens == 0


def test_a_breakpoint_looks_back_over_twenty_blocks(client):
    def blocks(count, mark):
        return [filler("back", mark=mark == 0)] + [{"type": "text", "text": f"block {n}", **(MARK if n == mark else {})} for n in range(1, count + 1)]
    usage(client, blocks(0, 0))
    assert usage(client, blocks(19, 19)).cache_read_input_tokens > 1000
    # 21 blocks from the next written prefix, the breakpoint's own included.
    fresh = [filler("far")]
    usage(client, fresh)
    far = [{**fresh[0]}] + [{"type": "text", "text": f"block {n}"} for n in range(1, 21)]
    del far[0]["cache_control"]
    far[-1] = {**far[-1], **MARK}
    assert usage(client, far).cache_read_input_tokens == 0


def test_at_most_four_breakpoints(client):
    with pytest.raises(anthropic.BadRequestError, match="maximum of 4"):
        usage(client, [filler(str(n), 2) for n in range(5)])


def test_entries_live_five_minutes_after_their_last_use(client, url):
    system = [filler("clock")]
    usage(client, "x", system)
    for ahead, hit in [(200, True), (400, True), (900, False)]:
        control(url, "/control/clock", "PUT", ahead)
        assert (usage(client, "x", system).cache_read_input_tokens > 0) == hit
    control(url, "/control/clock", "PUT", 0)


def test_thinking_changes_the_prefixes_of_messages_only(client):
    system, content = [filler("level")], [filler("content")]
    usage(client, content, system)
    both = usage(client, content, system).cache_read_input_tokens
    thinking = usage(client, content, system, thinking={"type": "enabled", "budget_tokens": 2000}).cache_read_input_tokens
    assert 1000 < thinking < both


def test_thinking_is_signed_by_its_model_and_must_come_back_as_it_was(client):
    thinking = {"type": "enabled", "budget_tokens": 2000}
    first = client.messages.create(
        model="fake-1", max_tokens=5000, thinking=thinking, tools=[BASH], messages=[{"role": "user", "content": "use bash: ls"}])
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use"]

    def again(content, model="fake-1", thinking=thinking):
        return client.messages.create(model=model, max_tokens=5000, tools=[BASH], **({"thinking": thinking} if thinking else {}), messages=[
            {"role": "user", "content": "use bash: ls"}, {"role": "assistant", "content": content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": content[-1]["id"], "content": "a.txt"}]}])

    content = [block.model_dump(exclude_none=True, include={"type", "id", "name", "input", "text", "thinking", "signature"}) for block in first.content]
    assert again(content).content[-1].text == "tool said: a.txt"
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        again([{**content[0], "thinking": "something else"}, *content[1:]])
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        again(content, model="fake-2")
    with pytest.raises(anthropic.BadRequestError, match="must start with a thinking block"):
        again(content[1:])
    assert again(content[1:], thinking=None).content[-1].text == "tool said: a.txt"
    for bad in [{"type": "enabled", "budget_tokens": 100}, {"type": "enabled", "budget_tokens": 5000}, {"type": "much"}]:
        with pytest.raises(anthropic.BadRequestError):
            again(content, thinking=bad)


def test_files_that_cannot_be_read_are_refused(client):
    def file(kind, media_type, data):
        return [{"type": kind, "source": {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}}, {"type": "text", "text": "pdf?"}]
    assert ask(client, file("document", "application/pdf", b"%PDF-1.4 %%EOF")).content[0].text == "document"
    with pytest.raises(anthropic.BadRequestError, match="Could not process PDF"):
        ask(client, file("document", "application/pdf", b"%PDF-1.4"))
    with pytest.raises(anthropic.BadRequestError, match="Could not process image"):
        ask(client, file("image", "image/png", b"BROKEN"))


def test_stop_reasons_and_overloaded_models(client, url):
    assert ask(client, "refuse").stop_reason == "refusal"
    assert ask(client, "long answer 100").stop_reason == "max_tokens"
    control(url, "/control/overloaded", "PUT", ["fake-1"])
    with pytest.raises(anthropic.APIStatusError):
        ask(client, "echo: x")
    assert client.messages.create(model="fake-2", max_tokens=10, messages=[{"role": "user", "content": "echo: x"}]).content[0].text == "x"
    control(url, "/control/overloaded", "PUT", [])


def test_counting_and_records(client, url):
    control(url, "/control/requests", "DELETE")
    assert client.messages.count_tokens(model="fake-1", messages=[{"role": "user", "content": "hello"}]).input_tokens > 0
    entry = control(url, "/control/requests")[0]
    # The SDK sends the key as a bearer token since 2.0, as x-api-key before.
    assert entry["path"] == "/v1/messages/count_tokens" and KEY in (entry["headers"].get("x-api-key"), entry["headers"].get("authorization", "")[7:])


@pytest.mark.parametrize("headers, status", [
    ({"x-api-key": KEY, "anthropic-version": "2023-06-01"}, 200), ({"authorization": f"Bearer {KEY}", "anthropic-version": "2023-06-01"}, 200),
    ({"x-api-key": "wrong", "anthropic-version": "2023-06-01"}, 401), ({"anthropic-version": "2023-06-01"}, 401), ({"x-api-key": KEY}, 400),
])
def test_headers(url, headers, status):
    body = json.dumps({"model": "fake-1", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}).encode()
    request = urllib.request.Request(url + "/v1/messages", data=body, headers={"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        assert error.code == status and json.load(error)["type"] == "error"


def test_script(client, url):
    control(url, "/control/script", "PUT", [{"tools": [{"name": "Bash", "input": {"command": "ls"}}]}, {"status": 529}, {"text": "done"}])
    assert ask(client, "anything", tools=[BASH]).content[0].input == {"command": "ls"}
    with pytest.raises(anthropic.APIStatusError):
        ask(client, "anything")
    assert ask(client, "anything").content[0].text == "done"
