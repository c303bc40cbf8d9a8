"""A scripted Messages API endpoint for the end-to-end tests.

Speaks the vendor's protocol: x-api-key or bearer authentication, streaming SSE with usage, tool use over several turns,
count_tokens, errors in the vendor's shape, and 400 for what the vendor refuses. What it answers follows from the last
words of the user (rules below) or from a script file.

Rules, read from the last user message that is no tool result:
    echo: TEXT                  text TEXT
    note: TEXT                  text "noted"
    use TOOL: {json}            one tool call, then "tool said: RESULT"
    use bash: COMMAND           the same with Bash
    both: TOOL {json} && TOOL {json}   two tool calls in one turn, then the results
    chain N                     N Bash turns (`echo step I`) one after the other, then "chained N"
    slow N                      N words, 50 ms apart (--pace)
    long N                      N words at once
    remembered?                 what of `NAME=VALUE` the system prompt holds
    fail 429 [N] | fail 529 [N] | fail 500 [N] | fail 400
                                that status, N times (default: always), then "recovered"
    cut [N]                     hangs up in mid-stream N times (default: always), then "recovered"
    silent [N]                  ends the stream cleanly but without message_stop, N times
    malformed [N]               sends a stream that is no JSON, N times
    error event [N]             an `error` event in mid-stream, N times
    hang                        never answers
    lie                         reports no usage at all
    pdf?                        how many images and documents the last tool results and user message hold
    refuse                      stop_reason refusal
    long answer N               N words, cut by max_tokens every 40 words, continued when asked
Anything else is echoed: "you said: …".

Control (no key needed): GET /control/requests, DELETE /control/requests, PUT /control/script (JSON list of turns, each
`{"text": …}`, `{"tools": [{"name", "input"}]}`, `{"stop_reason": …}` or `{"status": 529, "message": …, "retry_after": 1}`; used up one by one
before the rules), PUT /control/overloaded (JSON list of models that answer 529), PUT /control/clock (seconds that the cache's clock is ahead),
GET /control/usage (the usage of each message, oldest first), GET /control/health.

Caching follows https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching: see `PromptCache`. Thinking follows
https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking: asked for, an answer begins with a signed block; blocks that come
back must carry the signature that this model gave them, and the answer whose calls are being answered must begin with one.

    python fake_anthropic.py --port 0 --key sk-test --ready-file /tmp/port
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import html
import json
import re
import sys
import time
from pathlib import Path

from aiohttp import web

# What a model id looks like here; anything else is not found.
MODEL = re.compile(r"claude-[a-z0-9-]+|fake-\d")
ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
}


class ApiError(Exception):
    def __init__(self, status: int, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


class Turn:
    """What the assistant does: text, tool calls, or a way to fail."""

    def __init__(self, text: str = "", tools: list[dict] | None = None, pace: float = 0.0, failure: str | None = None, usage: bool = True,
                 stop_reason: str | None = None):
        self.text, self.tools, self.pace, self.failure, self.usage = text, tools or [], pace, failure, usage
        self.stop_reason = stop_reason or ("tool_use" if self.tools else "end_turn")
        self.thinking: dict | None = None


class PromptCache:
    """The prompt cache as documented.

    - A prompt is a sequence of blocks: tools, then system, then the messages'. A prefix is known by a hash over all its blocks, in order;
      `tool_choice`, thinking parameters and whether there are images belong to every prefix that reaches into the messages.
    - `cache_control` marks at most four breakpoints. Only at them prefixes are written, and only those of at least the model's minimum.
    - For each breakpoint a hit is looked for at it and at up to 20 blocks before it (the breakpoint's own included), the longest wins.
    - An entry lives five minutes (`ttl: 1h`: an hour) after its last use. It is there once the answer has begun.
    """

    LOOKBACK = 20

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.entries: dict[str, tuple[float, float]] = {}

    @staticmethod
    def minimum(model: str) -> int:
        """Tokens below which a prefix is not cached."""
        if re.search(r"haiku-4-5|opus-4-[5-9]", model):
            return 4096
        return 2048 if "haiku" in model else 1024

    @staticmethod
    def sequence(body: dict) -> list[tuple[str, dict]]:
        system = body.get("system") or []
        return (
            [("tools", tool) for tool in body.get("tools", [])]
            + [("system", block) for block in blocks(system)]
            + [(message["role"], block) for message in body["messages"] for block in blocks(message["content"])]
        )

    @staticmethod
    def size(block: dict) -> int:
        """Tokens of a block: four characters each; images and documents by what they show."""
        plain = {name: value for name, value in block.items() if name != "cache_control"}
        if plain.get("type") in ("image", "document"):
            return 1600
        content = plain.get("content")
        if isinstance(content, list):
            return sum(PromptCache.size(part) for part in content) + 10
        return len(json.dumps(plain, ensure_ascii=False)) // 4 + 1

    def account(self, body: dict) -> dict:
        """Reads and writes for one request; answers its input usage."""
        now = self.clock()
        self.entries = {key: entry for key, entry in self.entries.items() if entry[0] > now}
        sequence = self.sequence(body)
        digest = hashlib.sha256(body["model"].encode())
        hashes, totals, marks, total = [], [], [], 0
        in_messages = False
        has_images = any(part.get("type") == "image" for message in body["messages"] for block in blocks(message["content"])
                         for part in [block] + (block["content"] if isinstance(block.get("content"), list) else []))
        for level, block in sequence:
            if level not in ("tools", "system") and not in_messages:
                in_messages = True
                digest.update(json.dumps([body.get("tool_choice"), body.get("thinking"), has_images], sort_keys=True).encode())
            plain = {name: value for name, value in block.items() if name != "cache_control"}
            digest.update(json.dumps([level, plain], sort_keys=True).encode())
            total += self.size(block)
            hashes.append(digest.hexdigest())
            totals.append(total)
            if "cache_control" in block:
                marks.append((len(hashes) - 1, 3600.0 if block["cache_control"].get("ttl") == "1h" else 300.0))
        read = 0
        for index, _ in marks:
            for back in range(index, max(-1, index - self.LOOKBACK), -1):
                if hashes[back] in self.entries:
                    read = max(read, totals[back])
                    until, ttl = self.entries[hashes[back]]
                    self.entries[hashes[back]] = (now + ttl, ttl)
                    break
        written = 0
        for index, ttl in marks:
            if totals[index] >= self.minimum(body["model"]):
                if hashes[index] not in self.entries:
                    written = max(written, totals[index] - read)
                self.entries[hashes[index]] = (now + ttl, ttl)
        return {
            "input_tokens": total - read - written, "cache_creation_input_tokens": written, "cache_read_input_tokens": read,
        }


def sign(model: str, thought: str) -> str:
    return hmac.new(model.encode(), thought.encode(), hashlib.sha256).hexdigest()


def check_thinking(body: dict) -> None:
    """What the vendor refuses about thinking."""
    wanted = body.get("thinking") or {"type": "disabled"}
    kind = wanted.get("type")
    if kind not in ("enabled", "disabled", "adaptive"):
        raise ApiError(400, "thinking.type: Input should be 'disabled', 'enabled' or 'adaptive'")
    if kind == "enabled":
        budget = wanted.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            raise ApiError(400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= body.get("max_tokens", 0):
            raise ApiError(400, "`max_tokens` must be greater than `thinking.budget_tokens`")
    if kind != "disabled" and body.get("temperature", 1) != 1:
        raise ApiError(400, "`temperature` may only be set to 1 when thinking is enabled")
    for index, message in enumerate(body["messages"]):
        for at, block in enumerate(blocks(message["content"])):
            if block.get("type") == "thinking":
                if message["role"] != "assistant":
                    raise ApiError(400, f"messages.{index}: `thinking` blocks can only be in `assistant` messages")
                if "cache_control" in block:
                    raise ApiError(400, f"messages.{index}.content.{at}.thinking.cache_control: Extra inputs are not permitted")
                if block.get("signature") != sign(body["model"], block.get("thinking", "")):
                    raise ApiError(400, f"messages.{index}.content.{at}: Invalid `signature` in `thinking` block")
        kinds = [block.get("type") for block in blocks(message["content"])]
        if message["role"] == "assistant" and kinds and kinds[-1] in ("thinking", "redacted_thinking"):
            raise ApiError(400, f"messages.{index}: The final block in an assistant message cannot be `thinking`.")
    last = next((m for m in reversed(body["messages"]) if m["role"] == "assistant"), None)
    if kind == "enabled" and last is not None:
        kinds = [block.get("type") for block in blocks(last["content"])]
        if "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
            raise ApiError(400, f"messages: Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block.")


def check_media(body: dict) -> None:
    """Files that the vendor cannot read."""
    def walk(content):
        for block in blocks(content or []):
            if block.get("type") in ("image", "document") and (block.get("source") or {}).get("type") == "base64":
                yield block["type"], block["source"]
            if isinstance(block.get("content"), list):
                yield from walk(block["content"])

    for message in body["messages"]:
        for kind, source in walk(message["content"]):
            try:
                data = base64.b64decode(source.get("data", ""), validate=True)
            except ValueError:
                raise ApiError(400, f"{kind}: invalid base64 data") from None
            if kind == "image" and len(source["data"]) > 5 * 1024 * 1024:
                raise ApiError(400, "image exceeds 5 MB maximum")
            if kind == "document" and source.get("media_type") == "application/pdf" and b"%%EOF" not in data[-2048:]:
                raise ApiError(400, "Could not process PDF")
            if kind == "image" and b"BROKEN" in data:
                raise ApiError(400, "Could not process image")


def blocks(content) -> list[dict]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def validate(body: dict, counting: bool = False) -> None:
    """Refuses what the vendor refuses (https://docs.anthropic.com/en/api/messages)."""
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "model: Field required")
    if not MODEL.fullmatch(body["model"]):
        raise ApiError(404, f"model: {body['model']}")
    if not counting and (not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1):
        raise ApiError(400, "max_tokens: Field required")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages: at least one message is required")
    if messages[0].get("role") != "user":
        raise ApiError(400, "messages: first message must use the \"user\" role")
    names = [tool.get("name") for tool in body.get("tools", [])]
    if len(set(names)) != len(names):
        raise ApiError(400, "tools: Tool names must be unique.")
    for tool in body.get("tools", []):
        if "type" in tool and tool["type"] != "custom":
            continue
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", tool.get("name") or ""):
            raise ApiError(400, "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
        if (tool.get("input_schema") or {}).get("type") != "object":
            raise ApiError(400, "tools.0.custom.input_schema.type: Field required")
    cached = 0
    system = body.get("system") or []
    for block in (system if isinstance(system, list) else []) + body.get("tools", []):
        cached += "cache_control" in block
    open_ids: list[str] = []
    previous = None
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            raise ApiError(400, f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if role == previous:
            # The vendor joins them; our engine is meant to alternate, so a test should hear of it.
            raise ApiError(400, f"messages: roles must alternate between \"user\" and \"assistant\", but found multiple \"{role}\" roles in a row")
        previous = role
        if not isinstance(content, (str, list)):
            raise ApiError(400, f"messages.{index}.content: Input should be a valid string or list")
        if content in ("", []) and not (role == "assistant" and index == len(messages) - 1):
            raise ApiError(400, f"messages.{index}: all messages must have non-empty content except for the optional final assistant message")
        for at, block in enumerate(blocks(content)):
            kind = block.get("type")
            cached += "cache_control" in block
            if kind == "text":
                if not isinstance(block.get("text"), str) or not block["text"].strip():
                    raise ApiError(400, f"messages: text content blocks must contain non-whitespace text (messages.{index}.content.{at})")
            elif kind == "tool_use" and role != "assistant":
                raise ApiError(400, f"messages.{index}: `tool_use` blocks can only be in `assistant` messages")
            elif kind == "tool_result" and role != "user":
                raise ApiError(400, f"messages.{index}: `tool_result` blocks can only be in `user` messages")
            elif kind not in ("text", "tool_use", "tool_result", "image", "document", "thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"):
                raise ApiError(400, f"messages.{index}.content.{at}: unknown type {kind!r}")
        results = [block["tool_use_id"] for block in blocks(content) if block.get("type") == "tool_result"]
        if role == "user":
            unknown = [one for one in results if one not in open_ids]
            if unknown:
                raise ApiError(400, f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks: {unknown[0]}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.")
            missing = [one for one in open_ids if one not in results]
            if missing:
                raise ApiError(400, f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.")
            kinds = [block.get("type") for block in blocks(content)]
            if results and kinds[: len(results)] != ["tool_result"] * len(results):
                raise ApiError(400, f"messages.{index}: `tool_result` blocks must come first in the content")
            open_ids = []
        else:
            open_ids = [block["id"] for block in blocks(content) if block.get("type") == "tool_use"]
            if len(set(open_ids)) != len(open_ids):
                raise ApiError(400, "messages: `tool_use` ids must be unique")
    if open_ids:
        raise ApiError(400, f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(open_ids)}.")
    if not counting:
        check_thinking(body)
    check_media(body)
    if cached > 4:
        raise ApiError(400, f"A maximum of 4 blocks with cache_control may be provided. Found {cached}.")


def said(messages: list[dict]) -> tuple[str, list[dict]]:
    """The user's last own words, and the tool results since."""
    for index in range(len(messages) - 1, -1, -1):
        content = blocks(messages[index]["content"])
        # Results may stand before new words: those of a run that was stopped. What arrived while the assistant worked is no new beginning.
        begins = any(block["type"] == "text" and "<messages>" in block["text"] for block in content)
        if messages[index]["role"] == "user" and (begins or not any(block["type"] == "tool_result" for block in content)):
            words = "\n".join(block["text"] for block in content if block["type"] == "text")
            results = [block for later in messages[index + 1:] for block in blocks(later["content"]) if block["type"] == "tool_result"]
            return unwrap(words), results
    return "", []


def unwrap(words: str) -> str:
    """Takes the words out of the platform's `<messages>` envelope."""
    inside = re.findall(r"<message\b[^>]*>(.*?)</message>", words, re.S)
    words = inside[-1] if inside else re.sub(r"<context\b[^>]*/?>(</context>)?", "", words)
    return html.unescape(words).strip()


def result_text(block: dict) -> str:
    return "\n".join(part.get("text", "") for part in blocks(block.get("content") or "")).strip()


class Fake:
    def __init__(self, key: str | None, pace: float = 0.05):
        self.key, self.pace = key, pace
        self.requests: list[dict] = []
        self.script: list[dict] = []
        self.failed: dict[str, int] = {}
        self.counter = 0
        self.usages: list[dict] = []
        self.overloaded: list[str] = []
        self.ahead = 0.0
        self.cache = PromptCache(lambda: time.monotonic() + self.ahead)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes([
            web.post("/v1/messages", self.messages), web.post("/v1/messages/count_tokens", self.count_tokens),
            web.get("/control/requests", self.list_requests), web.delete("/control/requests", self.clear_requests),
            web.put("/control/script", self.put_script), web.get("/control/health", self.health), web.get("/control/usage", self.list_usage),
            web.put("/control/overloaded", self.put_overloaded), web.put("/control/clock", self.put_clock),
        ])
        return app

    # -- control

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def list_requests(self, _: web.Request) -> web.Response:
        return web.json_response(self.requests)

    async def clear_requests(self, _: web.Request) -> web.Response:
        self.requests.clear()
        self.failed.clear()
        self.usages.clear()
        return web.Response(status=204)

    async def list_usage(self, _: web.Request) -> web.Response:
        return web.json_response(self.usages)

    async def put_overloaded(self, request: web.Request) -> web.Response:
        self.overloaded = await request.json()
        return web.Response(status=204)

    async def put_clock(self, request: web.Request) -> web.Response:
        self.ahead = float(await request.json())
        return web.Response(status=204)

    async def put_script(self, request: web.Request) -> web.Response:
        self.script = await request.json()
        return web.Response(status=204)

    # -- the API

    def authenticate(self, request: web.Request) -> None:
        if "anthropic-version" not in request.headers:
            raise ApiError(400, "anthropic-version: header is required")
        if self.key is None:
            return
        given = request.headers.get("x-api-key")
        bearer = request.headers.get("authorization", "")
        if given is None and bearer.lower().startswith("bearer "):
            given = bearer[7:]
        if given != self.key:
            raise ApiError(401, f"invalid x-api-key: {given}")

    async def read(self, request: web.Request, counting: bool) -> dict:
        raw = await request.read()
        entry = {
            "path": request.path, "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(raw), "status": 200,
        }
        self.requests.append(entry)
        try:
            self.authenticate(request)
            try:
                body = json.loads(raw)
            except ValueError:
                raise ApiError(400, "The request body is not valid JSON") from None
            entry["body"] = body
            validate(body, counting)
            return body
        except ApiError as error:
            entry["status"] = error.status
            raise

    def error(self, error: ApiError) -> web.Response:
        headers = {"request-id": f"req_{self.counter}"}
        if error.retry_after is not None:
            headers["retry-after"] = str(error.retry_after)
        shape = {"type": "error", "error": {"type": ERROR_TYPES.get(error.status, "api_error"), "message": error.message}, "request_id": headers["request-id"]}
        return web.json_response(shape, status=error.status, headers=headers)

    async def count_tokens(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await self.read(request, counting=True)
        except ApiError as error:
            return self.error(error)
        return web.json_response({"input_tokens": self.tokens(body)})

    async def messages(self, request: web.Request) -> web.StreamResponse:
        self.counter += 1
        try:
            body = await self.read(request, counting=False)
            if body["model"] in self.overloaded:
                raise ApiError(529, "Overloaded")
            turn = self.turn(body)
            if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive") and (turn.text or turn.tools):
                thought = f"Thought {self.counter}: the person wants something."
                turn.thinking = {"type": "thinking", "thinking": thought, "signature": sign(body["model"], thought)}
        except ApiError as error:
            self.requests[-1]["status"] = error.status
            return self.error(error)
        if turn.failure == "hang":
            await asyncio.sleep(3600)
        if body.get("stream"):
            return await self.stream(request, body, turn)
        message = self.message(body, turn)
        message["content"] = self.content(turn)
        message["stop_reason"] = turn.stop_reason
        message["usage"]["output_tokens"] = self.output_tokens(turn)
        return web.json_response(message)

    # -- what to answer

    def times(self, words: str, count: str | None) -> bool:
        """Whether this failure is still due: always without a count, else so many times."""
        if not count:
            return True
        done = self.failed.get(words, 0)
        self.failed[words] = done + 1
        return done < int(count)

    def turn(self, body: dict) -> Turn:
        if self.script:
            step = self.script.pop(0)
            if "status" in step:
                raise ApiError(step["status"], step.get("message", "scripted"), step.get("retry_after"))
            return Turn(
                text=step.get("text", ""), tools=[self.call(tool["name"], tool["input"]) for tool in step.get("tools", [])], failure=step.get("failure"),
                stop_reason=step.get("stop_reason"))
        words, results = said(body["messages"])
        if match := re.match(r"fail (\d{3})(?: (\d+))?$", words):
            if self.times(words, match[2]):
                status = int(match[1])
                raise ApiError(status, {429: "This request would exceed your rate limit.", 529: "Overloaded"}.get(status, "scripted failure"), 1 if status == 429 else None)
            return Turn("recovered")
        if match := re.match(r"(cut|silent|malformed|error event)(?: (\d+))?$", words):
            return Turn("recovered " * 20, failure=match[1]) if self.times(words, match[2]) else Turn("recovered")
        if words == "hang":
            return Turn(failure="hang")
        if words == "lie":
            return Turn("lie " * 50, usage=False)
        if match := re.match(r"echo: (.*)", words, re.S):
            return Turn(match[1])
        if words.startswith("note: "):
            return Turn("noted")
        if match := re.match(r"use bash: (.*)", words, re.S):
            return self.after(results) or Turn("I will run that.", [self.call("Bash", {"command": match[1], "description": "scripted"})])
        if match := re.match(r"use ([A-Za-z0-9_-]+): (\{.*\})$", words, re.S):
            return self.after(results) or Turn(tools=[self.call(match[1], json.loads(match[2]))])
        if match := re.match(r"both: (.*)", words, re.S):
            calls = [part.strip().split(" ", 1) for part in match[1].split("&&")]
            return self.after(results) or Turn(tools=[self.call(name, json.loads(given)) for name, given in calls])
        if match := re.match(r"chain (\d+)$", words):
            done = len(results)
            if done < int(match[1]):
                return Turn(tools=[self.call("Bash", {"command": f"echo step {done + 1}", "description": "chain"})])
            return Turn(f"chained {done}: " + " ".join(result_text(block) for block in results))
        if match := re.match(r"(slow|long) (\d+)$", words):
            return Turn(" ".join(f"w{number}" for number in range(int(match[2]))), pace=self.pace if match[1] == "slow" else 0)
        if words == "refuse":
            return Turn("I would rather", stop_reason="refusal")
        if words == "pdf?":
            kinds = [part["type"] for message in body["messages"] for block in blocks(message["content"])
                     for part in [block] + (block["content"] if isinstance(block.get("content"), list) else []) if part.get("type") in ("image", "document")]
            return Turn(", ".join(kinds) or "no files")
        if "Your reply was cut at its length limit" in words or (match := re.match(r"long answer (\d+)$", words)):
            return self.long_answer(body)
        if words == "remembered?":
            system = "\n".join(block.get("text", "") for block in blocks(body.get("system") or ""))
            return Turn(", ".join(re.findall(r"\b[A-Z_]+=\S+", system)) or "nothing")
        return Turn(f"you said: {words}")

    def long_answer(self, body: dict) -> Turn:
        """Forty words a turn, from where the conversation has come to."""
        texts = [unwrap("\n".join(b["text"] for b in blocks(m["content"]) if b["type"] == "text")) for m in body["messages"]]
        start = max(i for i, text in enumerate(texts) if re.match(r"long answer \d+$", text))
        wanted = int(texts[start].split()[-1])
        said = sum(len(text.split()) for m, text in zip(body["messages"][start:], texts[start:]) if m["role"] == "assistant")
        words = [f"w{n}" for n in range(said, min(wanted, said + 40))]
        return Turn(" ".join(words) + (" " if said + 40 < wanted else ""), stop_reason="max_tokens" if said + 40 < wanted else "end_turn")

    def after(self, results: list[dict]) -> Turn | None:
        if not results:
            return None
        flag = " (error)" if any(block.get("is_error") for block in results) else ""
        return Turn(f"tool said{flag}: " + " | ".join(result_text(block) for block in results))

    def call(self, name: str, given: dict) -> dict:
        digest = hashlib.sha256(f"{self.counter}{name}{json.dumps(given)}{len(self.requests)}".encode()).hexdigest()[:24]
        self.counter += 1
        return {"type": "tool_use", "id": f"toolu_{digest}", "name": name, "input": given}

    # -- the wire

    def tokens(self, body: dict) -> int:
        return sum(PromptCache.size(block) for _, block in PromptCache.sequence(body))

    def output_tokens(self, turn: Turn) -> int:
        return max(1, (len(turn.text) + sum(len(json.dumps(tool["input"])) for tool in turn.tools)) // 4)

    def message(self, body: dict, turn: Turn) -> dict:
        usage = {**self.cache.account(body), "output_tokens": 1, "service_tier": "standard"}
        self.usages.append({"model": body["model"], **usage})
        if not turn.usage:
            usage = {"input_tokens": 0, "output_tokens": 0}
        return {
            "id": f"msg_{self.counter:08d}", "type": "message", "role": "assistant", "model": body["model"], "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }

    def content(self, turn: Turn) -> list[dict]:
        return ([turn.thinking] if turn.thinking else []) + ([{"type": "text", "text": turn.text}] if turn.text else []) + turn.tools

    async def stream(self, request: web.Request, body: dict, turn: Turn) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "request-id": f"req_{self.counter}"})
        await response.prepare(request)

        async def send(name: str, data: dict) -> None:
            await response.write(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode())

        try:
            await send("message_start", {"message": self.message(body, turn)})
            if turn.failure == "malformed":
                await response.write(b"event: content_block_delta\ndata: {\"type\": \"content_block_de\n\n:\xff\xfe\n\n")
            index, sent = 0, 0
            if turn.thinking:
                await send("content_block_start", {"index": index, "content_block": {"type": "thinking", "thinking": "", "signature": ""}})
                await send("content_block_delta", {"index": index, "delta": {"type": "thinking_delta", "thinking": turn.thinking["thinking"]}})
                await send("content_block_delta", {"index": index, "delta": {"type": "signature_delta", "signature": turn.thinking["signature"]}})
                await send("content_block_stop", {"index": index})
                index += 1
            if turn.text:
                await send("content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}})
                await send("ping", {})
                for word in re.findall(r"\S+\s*", turn.text) or [turn.text]:
                    await send("content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": word}})
                    sent += 1
                    if turn.pace:
                        await asyncio.sleep(turn.pace)
                    if sent == 5 and turn.failure == "cut":
                        request.transport.abort()
                        return response
                    if sent == 5 and turn.failure == "silent":
                        await response.write_eof()
                        return response
                    if sent == 5 and turn.failure == "error event":
                        await send("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})
                        await response.write_eof()
                        return response
                await send("content_block_stop", {"index": index})
                index += 1
            for tool in turn.tools:
                await send("content_block_start", {"index": index, "content_block": {**tool, "input": {}}})
                await send("content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": ""}})
                text = json.dumps(tool["input"])
                for start in range(0, len(text), 17):
                    await send("content_block_delta", {"index": index, "delta": {"type": "input_json_delta", "partial_json": text[start:start + 17]}})
                await send("content_block_stop", {"index": index})
                index += 1
            delta = {"delta": {"stop_reason": turn.stop_reason, "stop_sequence": None}}
            await send("message_delta", {**delta, "usage": {"output_tokens": self.output_tokens(turn)} if turn.usage else {}})
            await send("message_stop", {})
            await response.write_eof()
        except (ConnectionResetError, asyncio.CancelledError):
            # Whether a client that hung up was noticed is something a test may ask for.
            self.requests[-1]["hung_up"] = True
            raise
        return response


async def serve(arguments: argparse.Namespace, kind: type[Fake]) -> None:
    fake = kind(arguments.key, arguments.pace)
    if arguments.script:
        fake.script = json.loads(Path(arguments.script).read_text())
    runner = web.AppRunner(fake.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    if arguments.ready_file:
        Path(arguments.ready_file).write_text(str(port))
    print(port, flush=True)
    await asyncio.Event().wait()


def main(kind: type[Fake] = Fake, description: str = "Scripted Messages API endpoint") -> int:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the key that is accepted; without it any is")
    parser.add_argument("--pace", type=float, default=0.05, help="seconds between the words of `slow`")
    parser.add_argument("--script", help="JSON file with turns")
    parser.add_argument("--ready-file", help="gets the port once it listens")
    try:
        asyncio.run(serve(parser.parse_args(), kind))
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
