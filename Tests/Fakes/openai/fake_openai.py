"""A scripted chat completions endpoint for the end-to-end tests.

Speaks OpenAI's protocol: bearer authentication, streaming with `[DONE]`, usage when asked for, tool calls in fragments, errors in the
vendor's shape, and 400 for what the vendor refuses. What it answers follows from the last words of the user, by the rules of
`fake_anthropic.py`, and:

    reason: TEXT                reasoning_content first, then TEXT
    tagged: TEXT                the same, but inline as <think>…</think>
    pictures?                   how many images the last message holds

Models: `fake-1`; `fake-old` says `max_tokens`, knows no `stream_options` and reports no usage; `gpt-5-fake` takes
`max_completion_tokens` only. The stream has comment lines and, for `fake-1`, CRLF ends, as real servers do.

    python fake_openai.py --port 0 --key sk-test
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "anthropic"))
from fake_anthropic import ApiError, Fake, Turn, main, said  # noqa: E402

MODELS = ("fake-1", "fake-old", "gpt-5-fake", "fake-2")
TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error", 429: "requests", 500: "server_error"}
CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def validate(body: dict) -> None:
    """Refuses what the vendor refuses (https://platform.openai.com/docs/api-reference/chat/create)."""
    model = body.get("model")
    if model not in MODELS:
        raise ApiError(404, f"The model `{model}` does not exist or you do not have access to it.")
    if model == "gpt-5-fake" and "max_tokens" in body:
        raise ApiError(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
    if model == "fake-old":
        for name in ("stream_options", "max_completion_tokens", "reasoning_effort"):
            if name in body:
                raise ApiError(400, f"Unrecognized request argument supplied: {name}")
    if "stream_options" in body and not body.get("stream"):
        raise ApiError(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body and body[name] > 100_000:
            raise ApiError(400, f"max_tokens is too large: {body[name]}. This model supports at most 100000 completion tokens, whereas you provided {body[name]}.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "Invalid 'messages': empty array. Expected an array with minimum length 1.")
    if len(json.dumps(messages)) > 4_000_000:
        raise ApiError(400, "This model's maximum context length is 1000000 tokens. Please reduce the length of the messages.")
    for tool in body.get("tools", []):
        function = tool.get("function") or {}
        if tool.get("type") != "function" or not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", function.get("name") or ""):
            raise ApiError(400, "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.")
        if (function.get("parameters") or {"type": "object"}).get("type") != "object":
            raise ApiError(400, "Invalid schema for function: schema must be of type \"object\".")
    waiting: list[str] = []
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                raise ApiError(400, "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")
            waiting.remove(message["tool_call_id"])
            if not isinstance(content, str):
                raise ApiError(400, f"Invalid type for 'messages[{index}].content': expected a string.")
            continue
        if waiting:
            raise ApiError(400, f"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}")
        if role == "assistant":
            calls = message.get("tool_calls") or []
            if content is None and not calls:
                raise ApiError(400, f"Invalid value for 'content': expected a string, got null (messages[{index}]).")
            for call in calls:
                json.loads(call["function"]["arguments"])
            waiting = [call["id"] for call in calls]
        elif role in ("user", "system", "developer"):
            for part in content if isinstance(content, list) else []:
                if part.get("type") == "image_url":
                    if not re.match(r"(https://|data:image/(png|jpeg|gif|webp);base64,)", part["image_url"]["url"]):
                        raise ApiError(400, "Invalid image data.")
                elif part.get("type") != "text":
                    raise ApiError(400, f"Invalid value: '{part.get('type')}'. Supported values are: 'text', 'image_url'.")
            if not isinstance(content, (str, list)):
                raise ApiError(400, f"Invalid type for 'messages[{index}].content'.")
        else:
            raise ApiError(400, f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.")
    if waiting:
        raise ApiError(400, "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.")


def as_messages(body: dict) -> tuple[str, list[dict]]:
    """The conversation in the shape in which the rules read it."""
    system, messages = "", []
    for message in body["messages"]:
        content = message.get("content")
        if message["role"] in ("system", "developer"):
            system += content if isinstance(content, str) else ""
        elif message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content, "is_error": content.startswith("Error: ")}
            if messages and messages[-1]["role"] == "user" and messages[-1]["content"][0]["type"] == "tool_result":
                messages[-1]["content"].append(result)
            else:
                messages.append({"role": "user", "content": [result]})
        elif message["role"] == "assistant":
            calls = [
                {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": json.loads(call["function"]["arguments"])}
                for call in message.get("tool_calls") or []]
            messages.append({"role": "assistant", "content": ([{"type": "text", "text": content}] if content else []) + calls})
        else:
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else [
                part if part["type"] == "text" else {"type": "image"} for part in content]
            messages.append({"role": "user", "content": parts})
    return system, messages


class FakeOpenAI(Fake):
    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes([
            web.post("/v1/chat/completions", self.completions), web.get("/v1/models", self.models),
            web.get("/control/requests", self.list_requests), web.delete("/control/requests", self.clear_requests),
            web.put("/control/script", self.put_script), web.get("/control/health", self.health),
        ])
        return app

    def check_key(self, request: web.Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("api-key")
        if self.key is not None and given != self.key:
            raise ApiError(401, f"Incorrect API key provided: {given}. You can find your API key at https://platform.openai.com/account/api-keys.")

    def error(self, error: ApiError) -> web.Response:
        headers = {"x-request-id": f"req_{self.counter}"}
        if error.retry_after is not None:
            headers["retry-after"] = str(error.retry_after)
        shape = {"error": {"message": error.message, "type": TYPES.get(error.status, "server_error"), "param": None, "code": CODES.get(error.status)}}
        return web.json_response(shape, status=error.status, headers=headers)

    async def models(self, request: web.Request) -> web.Response:
        try:
            self.check_key(request)
        except ApiError as error:
            return self.error(error)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "fake"} for name in MODELS]})

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.counter += 1
        entry = {"path": request.path, "headers": {name.lower(): value for name, value in request.headers.items()}, "status": 200}
        self.requests.append(entry)
        try:
            self.check_key(request)
            try:
                body = json.loads(await request.read())
            except ValueError:
                raise ApiError(400, "We could not parse the JSON body of your request.") from None
            entry["body"] = body
            validate(body)
            system, messages = as_messages(body)
            thought, turn = self.decide(body, system, messages)
        except ApiError as error:
            entry["status"] = error.status
            return self.error(error)
        if turn.failure == "hang":
            await asyncio.sleep(3600)
        if body.get("stream"):
            return await self.chunks(request, body, turn, thought)
        message = {"role": "assistant", "content": turn.text or None, "refusal": None}
        if thought:
            message["reasoning_content"] = thought
        if turn.tools:
            message["tool_calls"] = [self.tool_call(tool) for tool in turn.tools]
        answer = {
            "id": f"chatcmpl-{self.counter}", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if turn.tools else "stop"}],
        }
        if turn.usage and body["model"] != "fake-old":
            answer["usage"] = self.chat_usage(body, turn)
        return web.json_response(answer)

    def decide(self, body: dict, system: str, messages: list[dict]) -> tuple[str, Turn]:
        words, results = said(messages)
        if match := re.match(r"(reason|tagged): (.*)", words, re.S):
            thought = "Let me think about that."
            return (thought, Turn(match[2])) if match[1] == "reason" else ("", Turn(f"<think>\n{thought}\n</think>\n\n{match[2]}"))
        if words.endswith("pictures?"):
            return "", Turn(f"{sum(block['type'] == 'image' for message in messages for block in message['content'])} pictures")
        return "", self.turn({"system": system, "messages": messages, "tools": body.get("tools", [])})

    @staticmethod
    def tool_call(tool: dict) -> dict:
        return {"id": tool["id"].replace("toolu_", "call.", 1), "type": "function", "function": {"name": tool["name"], "arguments": json.dumps(tool["input"])}}

    def chat_usage(self, body: dict, turn: Turn) -> dict:
        prompt, completion = len(json.dumps(body["messages"])) // 4 + 1, self.output_tokens(turn)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, "prompt_tokens_details": {"cached_tokens": prompt // 2}}

    async def chunks(self, request: web.Request, body: dict, turn: Turn, thought: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-request-id": f"req_{self.counter}"})
        await response.prepare(request)
        end = "\r\n" if body["model"] == "fake-1" else "\n"
        asked = (body.get("stream_options") or {}).get("include_usage", False)

        async def send(choices: list, **more) -> None:
            chunk = {"id": f"chatcmpl-{self.counter}", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices, **more}
            if asked and "usage" not in chunk:
                chunk["usage"] = None
            await response.write(f"data: {json.dumps(chunk)}{end}{end}".encode())

        async def delta(**fields) -> None:
            await send([{"index": 0, "delta": fields, "logprobs": None, "finish_reason": None}])

        try:
            await response.write(f": keep-alive{end}{end}".encode())
            await delta(role="assistant", content="", refusal=None)
            if turn.failure == "malformed":
                await response.write(b"data: {\"choices\": [{\"del\n\n")
            for word in re.findall(r"\S+\s*", thought):
                await delta(reasoning_content=word)
            for sent, word in enumerate(re.findall(r"\S+\s*|\s+", turn.text), 1):
                await delta(content=word)
                if turn.pace:
                    await asyncio.sleep(turn.pace)
                if sent == 5 and turn.failure == "cut":
                    request.transport.abort()
                    return response
                if sent == 5 and turn.failure == "silent":
                    await response.write_eof()
                    return response
                if sent == 5 and turn.failure == "error event":
                    await response.write(b"data: {\"error\": {\"message\": \"The server is overloaded.\", \"type\": \"server_error\", \"code\": null}}\n\n")
                    await response.write_eof()
                    return response
            for index, tool in enumerate(turn.tools):
                call = self.tool_call(tool)
                text = call["function"]["arguments"]
                await delta(tool_calls=[{"index": index, "id": call["id"], "type": "function", "function": {"name": tool["name"], "arguments": ""}}])
                for start in range(0, len(text), 13):
                    await delta(tool_calls=[{"index": index, "function": {"arguments": text[start:start + 13]}}])
            await send([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls" if turn.tools else "stop"}])
            if asked and turn.usage:
                await send([], usage=self.chat_usage(body, turn))
            await response.write(f"data: [DONE]{end}{end}".encode())
            await response.write_eof()
        except (ConnectionResetError, asyncio.CancelledError):
            self.requests[-1]["hung_up"] = True
            raise
        return response


if __name__ == "__main__":
    sys.exit(main(FakeOpenAI, "A scripted chat completions endpoint."))
