"""The fake is checked with the vendor's own SDK, so that we do not test our misunderstanding."""

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
    system = [{"type": "text", "text": "You are " + "very " * 500 + "kind.", "cache_control": {"type": "ephemeral"}}]
    first = ask(client, "echo: one", system=system).usage
    second = ask(client, "echo: two", system=system).usage
    assert first.cache_creation_input_tokens > 0 and first.cache_read_input_tokens == 0
    assert second.cache_read_input_tokens >= first.cache_creation_input_tokens * 0.9


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
