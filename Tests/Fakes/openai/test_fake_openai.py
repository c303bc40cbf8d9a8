"""The fake is checked with the vendor's own SDK, so that we do not test our misunderstanding."""

import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest

KEY = "sk-test"
BASH = {"type": "function", "function": {"name": "Bash", "description": "run", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}}}}


@pytest.fixture(scope="module")
def url():
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fake_openai.py")), "--key", KEY, "--pace", "0.001"], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def client(url):
    with openai.OpenAI(api_key=KEY, base_url=url, max_retries=0) as client:
        yield client


def ask(client, words, model="fake-1", **more):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": words}], **more)


def gathered(stream):
    """What the SDK's chunks add up to."""
    text, calls, reason, usage, thought = "", {}, None, None, ""
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            text += choice.delta.content or ""
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
                known["arguments"] += call.function.arguments or ""
    return text, list(calls.values()), reason, usage, thought


def test_text_and_usage(client):
    answer = ask(client, "echo: hello there")
    assert answer.choices[0].message.content == "hello there" and answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0 and answer.usage.prompt_tokens_details.cached_tokens > 0


def test_streamed_text_is_the_same_with_crlf_and_comments(client):
    text, _, reason, usage, _ = gathered(ask(client, "echo: hello streamed world", stream=True, stream_options={"include_usage": True}))
    assert text == "hello streamed world" and reason == "stop"
    assert usage.completion_tokens == ask(client, "echo: hello streamed world").usage.completion_tokens


def test_usage_is_told_only_to_who_asks(client):
    assert gathered(ask(client, "echo: x", stream=True))[3] is None


def test_tool_calls_over_turns(client):
    messages = [{"role": "user", "content": "chain 2"}]
    for step in range(2):
        _, calls, reason, _, _ = gathered(client.chat.completions.create(model="fake-1", messages=messages, tools=[BASH], stream=True))
        assert reason == "tool_calls" and json.loads(calls[0]["arguments"])["command"] == f"echo step {step + 1}"
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": calls[0]["id"], "type": "function", "function": {"name": calls[0]["name"], "arguments": calls[0]["arguments"]}}]},
            {"role": "tool", "tool_call_id": calls[0]["id"], "content": f"step {step + 1}"},
        ]
    assert client.chat.completions.create(model="fake-1", messages=messages, tools=[BASH]).choices[0].message.content == "chained 2: step 1 step 2"


def test_parallel_tool_calls_have_numbers(client):
    words = 'both: Bash {"command": "echo A"} && Bash {"command": "echo B"}'
    _, calls, _, _, _ = gathered(ask(client, words, tools=[BASH], stream=True))
    assert [json.loads(call["arguments"])["command"] for call in calls] == ["echo A", "echo B"] and calls[0]["id"] != calls[1]["id"]


def test_reasoning_comes_in_a_field_of_its_own(client):
    text, _, _, _, thought = gathered(ask(client, "reason: 42", stream=True))
    assert text == "42" and thought.startswith("Let me think")


def test_a_wrong_key_is_refused(url):
    with openai.OpenAI(api_key="sk-wrong", base_url=url, max_retries=0) as client, pytest.raises(openai.AuthenticationError):
        ask(client, "hi")


def test_errors_are_the_vendor_s(client):
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client, "fail 429")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(openai.InternalServerError):
        ask(client, "fail 500")
    with pytest.raises(openai.NotFoundError):
        ask(client, "hi", model="nothing")
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fake-1", messages=[{"role": "tool", "tool_call_id": "x", "content": "y"}])


def test_models_differ_in_what_they_take(client):
    with pytest.raises(openai.BadRequestError, match="max_completion_tokens"):
        ask(client, "hi", model="gpt-5-fake", max_tokens=5)
    assert ask(client, "echo: x", model="gpt-5-fake", max_completion_tokens=5).choices[0].message.content == "x"
    with pytest.raises(openai.BadRequestError, match="stream_options"):
        ask(client, "hi", model="fake-old", stream=True, stream_options={"include_usage": True})


def test_failures_in_mid_stream(client):
    with pytest.raises(openai.APIError):
        gathered(ask(client, "error event", stream=True))
    with pytest.raises(Exception):
        gathered(ask(client, "cut", stream=True))


def test_models_are_listed(client):
    assert "fake-1" in [model.id for model in client.models.list()]
