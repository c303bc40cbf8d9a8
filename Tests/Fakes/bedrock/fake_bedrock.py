"""A scripted Bedrock runtime for the tests: InvokeModel, InvokeModelWithResponseStream and CountTokens for Anthropic's models.

Every request's Signature Version 4 is checked with botocore's own signer; streams are `application/vnd.amazon.eventstream`. What it
answers follows from the last words of the user, by the rules of `fake_anthropic.py`.

Credentials: access key AKIDFAKE, secret `--key` (default sk-test). Besides, it serves credentials as a container's endpoint
(GET /credentials, with the token `pod-token`) and as an instance's metadata service; both hand out ASIAFAKE, which signs with the
session token `session-token` and the same secret.

    python fake_bedrock.py --port 0 --key sk-test
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import re
import struct
import sys
import urllib.parse
import zlib
from pathlib import Path

import botocore.auth
from aiohttp import web
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "anthropic"))
from fake_anthropic import ApiError, Fake, main, validate  # noqa: E402

REGION = "us-west-2"
# Anthropic models, their inference profiles and full names: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
MODEL = re.compile(r"(arn:aws:bedrock:[a-z0-9-]+:\d{12}:(application-)?inference-profile/)?(us\.|eu\.|global\.)?(anthropic\.[a-z0-9.:-]+|fake-\d|[a-z0-9]{12})")
CODES = {
    400: "ValidationException", 403: "AccessDeniedException", 404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
    429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException", 529: "ServiceUnavailableException",
}


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message: https://smithy.io/2.0/aws/amazon-eventstream.html"""
    packed = b"".join(bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode() for name, value in headers.items())
    prelude = struct.pack(">II", len(packed) + len(payload) + 16, len(packed))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + packed + payload
    return message + struct.pack(">I", zlib.crc32(message))


def chunk(event: dict) -> bytes:
    payload = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefghij"}
    return frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, json.dumps(payload).encode())


def exception(code: str, message: str) -> bytes:
    return frame({":exception-type": code, ":content-type": "application/json", ":message-type": "exception"}, json.dumps({"message": message}).encode())


class BedrockFake(Fake):
    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes([
            web.get("/control/requests", self.list_requests), web.delete("/control/requests", self.clear_requests),
            web.put("/control/script", self.put_script), web.get("/control/health", self.health),
            web.get("/credentials", self.container), web.put("/latest/api/token", self.metadata), web.get("/latest/{path:.*}", self.metadata),
            web.post("/model/{path:.*}", self.model),
        ])
        return app

    # -- credentials

    @property
    def secret(self) -> str:
        return self.key or "sk-test"

    def role(self) -> dict:
        expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
        return {
            "Code": "Success", "AccessKeyId": "ASIAFAKE", "SecretAccessKey": self.secret, "Token": "session-token",
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}

    async def container(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != "pod-token":
            return web.json_response({"message": "no"}, status=401)
        return web.json_response(self.role())

    async def metadata(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            return web.Response(text="metadata-token" if request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") else "", status=200)
        if request.headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return web.Response(status=401)
        path = request.match_info["path"]
        if path == "meta-data/placement/region":
            return web.Response(text=REGION)
        if path == "meta-data/iam/security-credentials/":
            return web.Response(text="fake-role")
        return web.json_response(self.role()) if path.endswith("/fake-role") else web.Response(status=404)

    # -- the API

    def authenticate(self, request: web.Request, raw: bytes) -> None:
        """Signs what arrived with botocore, and compares."""
        given = request.headers.get("authorization", "")
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=[0-9a-f]{64}", given)
        if not match:
            raise ApiError(403, "Missing Authentication Token")
        key, _, region, service, names = match.groups()
        stamp = request.headers.get("x-amz-date", "")
        token = {"AKIDFAKE": None, "ASIAFAKE": "session-token"}.get(key, "?")
        if token == "?" or service != "bedrock":
            raise ApiError(403, "The security token included in the request is invalid.")
        now = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
        headers = {name: request.headers[name] for name in names.split(";") if name in request.headers and name not in ("x-amz-date", "x-amz-security-token")}
        again = AWSRequest(method=request.method, url=f"http://{request.headers['host']}{request.raw_path}", data=raw, headers=headers)
        before = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda *_, **__: now
        try:
            botocore.auth.SigV4Auth(Credentials(key, self.secret, token), service, region).add_auth(again)
        finally:
            botocore.auth.get_current_datetime = before
        if again.headers["Authorization"] != given or abs((datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - now).total_seconds()) > 300:
            raise ApiError(403, "The request signature we calculated does not match the signature you provided. User: arn:aws:iam::123456789012:role/fake")

    def error(self, error: ApiError) -> web.Response:
        code = CODES.get(error.status, "InternalServerException")
        status = 503 if error.status == 529 else error.status
        return web.json_response({"message": error.message}, status=status, headers={"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/com.amazon.bedrock/"})

    async def model(self, request: web.Request) -> web.StreamResponse:
        self.counter += 1
        raw = await request.read()
        entry = {"path": request.raw_path, "headers": {name.lower(): value for name, value in request.headers.items()}, "bytes": len(raw), "status": 200}
        self.requests.append(entry)
        try:
            self.authenticate(request, raw)
            match = re.fullmatch(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)", request.raw_path)
            if not match:
                raise ApiError(404, "The resource you requested does not exist")
            model = urllib.parse.unquote(match[1])
            if not MODEL.fullmatch(model):
                raise ApiError(400, "The provided model identifier is invalid.")
            body = json.loads(raw)
            if match[2] == "count-tokens":
                inner = json.loads(base64.b64decode(body["input"]["invokeModel"]["body"]))
                return web.json_response({"inputTokens": self.tokens(inner)})
            entry["body"] = body
            for name in ("model", "stream"):
                if name in body:
                    raise ApiError(400, f"{name}: Extra inputs are not permitted")
            if body.get("anthropic_version") != "bedrock-2023-05-31":
                raise ApiError(400, "anthropic_version: Field required")
            validate({**body, "model": "fake-1"})
            turn = self.turn(body)
        except ApiError as error:
            entry["status"] = error.status
            return self.error(error)
        body = {**body, "model": model}
        if turn.failure == "hang":
            await asyncio.sleep(3600)
        if match[2] == "invoke":
            message = self.message(body, turn)
            message |= {"content": self.content(turn), "stop_reason": "tool_use" if turn.tools else "end_turn"}
            message["usage"]["output_tokens"] = self.output_tokens(turn)
            return web.json_response(message)
        return await self.frames(request, body, turn)

    async def frames(self, request: web.Request, body: dict, turn) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/vnd.amazon.eventstream", "x-amzn-bedrock-content-type": "application/json"})
        await response.prepare(request)
        try:
            await response.write(chunk({"type": "message_start", "message": self.message(body, turn)}))
            if turn.failure == "malformed":
                await response.write(chunk({"type": "ping"})[:-1] + b"\x00")
            index = 0
            if turn.text:
                await response.write(chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}))
                for sent, word in enumerate(re.findall(r"\S+\s*", turn.text) or [turn.text], 1):
                    await response.write(chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}))
                    if turn.pace:
                        await asyncio.sleep(turn.pace)
                    if sent == 5 and turn.failure == "cut":
                        request.transport.abort()
                        return response
                    if sent == 5 and turn.failure == "silent":
                        await response.write_eof()
                        return response
                    if sent == 5 and turn.failure == "error event":
                        await response.write(exception("modelStreamErrorException", "The model failed."))
                        await response.write_eof()
                        return response
                await response.write(chunk({"type": "content_block_stop", "index": 0}))
                index = 1
            for tool in turn.tools:
                await response.write(chunk({"type": "content_block_start", "index": index, "content_block": {**tool, "input": {}}}))
                text = json.dumps(tool["input"])
                for start in range(0, len(text), 17):
                    delta = {"type": "input_json_delta", "partial_json": text[start:start + 17]}
                    await response.write(chunk({"type": "content_block_delta", "index": index, "delta": delta}))
                await response.write(chunk({"type": "content_block_stop", "index": index}))
                index += 1
            delta = {"stop_reason": "tool_use" if turn.tools else "end_turn", "stop_sequence": None}
            usage = {"output_tokens": self.output_tokens(turn)} if turn.usage else {}
            await response.write(chunk({"type": "message_delta", "delta": delta, "usage": usage}))
            metrics = {"inputTokenCount": 1, "outputTokenCount": self.output_tokens(turn), "invocationLatency": 1, "firstByteLatency": 1}
            await response.write(chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}))
            await response.write_eof()
        except (ConnectionResetError, asyncio.CancelledError):
            self.requests[-1]["hung_up"] = True
            raise
        return response


if __name__ == "__main__":
    sys.exit(main(BedrockFake, "A scripted Bedrock runtime."))
