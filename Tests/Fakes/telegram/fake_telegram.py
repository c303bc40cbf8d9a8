"""A Telegram Bot API server for tests: speaks the protocol of https://core.telegram.org/bots/api as the real one does, for as many bots as are
registered, with a control API beside it (`/control/…`). Runs as `python fake_telegram.py --port 0` and prints its port on the first line.

Control API (JSON in and out)
  POST   /control/bots            {token, username, first_name?, can_read_all_group_messages?, can_join_groups?, revoked?}
  POST   /control/message         {token, chat_id | chat, from?, text?, …any message field} → {update_id, message_id}: as if a person had written
  POST   /control/update          {token, update} → {update_id}: any update, its number is set here unless given
  POST   /control/file            {token, content (base64), name?, path?} → {file_id, file_unique_id, file_size}: to refer to in messages
  POST   /control/chat            {chat_id, state?: normal|blocked|kicked|deactivated|restricted, migrated_to?, threads?, reactions?, type?, title?}
  POST   /control/rules           {method?, token?, chat_id?, status?, description?, retry_after?, migrate_to?, drop?: before|after, redirect?, delay?, times? = 1}
  DELETE /control/rules
  GET    /control/sent            ?token&chat_id&after: what bots sent and the server accepted, in order, with `received_at`
  GET    /control/sent/{seq}/file the bytes of a sent file
  GET    /control/wait            ?count&timeout(&token&chat_id): answers once that many were sent, `{count, reached}`
  GET    /control/calls           ?method&token: every call, accepted or not
  GET    /control/state           bots with pending updates, webhook, commands, pollers; webhook attempts
  POST   /control/webhook-route   {prefix, target}: webhooks to `prefix…` are delivered to `target…` (https names without DNS and TLS)
  POST   /control/reset           {token?}: forgets messages, updates, files, rules (bots stay)
"""

import argparse
import asyncio
import base64
import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from telegram_html import ParseError, parse as parse_html, utf16

TOKEN = re.compile(r"^\d{5,15}:[A-Za-z0-9_-]{30,60}$")
MAX_TEXT, MAX_CAPTION = 4096, 1024
MAX_UPLOAD, MAX_PHOTO, MAX_DOWNLOAD = 50_000_000, 10_000_000, 20 * 1024 * 1024
WEBHOOK_PORTS = {443, 80, 88, 8443}
DEFAULT_UPDATES_EXCLUDE = {"chat_member", "message_reaction", "message_reaction_count"}
ACTIONS = {"typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document", "choose_sticker",
           "find_location", "record_video_note", "upload_video_note"}


class ApiError(Exception):
    def __init__(self, code, description, **parameters):
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


def bad(description, **parameters):
    return ApiError(400, f"Bad Request: {description}", **parameters)


@dataclass
class Webhook:
    url: str = ""
    secret: str = ""
    max_connections: int = 40
    last_error_date: int | None = None
    last_error_message: str | None = None


@dataclass
class Bot:
    token: str
    user: dict
    revoked: bool = False
    pending: deque = field(default_factory=deque)
    next_update: int = 1
    allowed: list | None = None
    webhook: Webhook = field(default_factory=Webhook)
    commands: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    next_message: dict = field(default_factory=dict)
    messages: dict = field(default_factory=dict)
    poller: asyncio.Future | None = None
    polling: int = 0
    senders: dict = field(default_factory=dict)
    in_flight: int = 0

    @property
    def id(self):
        return self.user["id"]


@dataclass
class Chat:
    id: int
    type: str
    title: str | None = None
    first_name: str | None = None
    username: str | None = None
    state: str = "normal"
    migrated_to: int | None = None
    threads: set = field(default_factory=set)
    reactions: bool = True

    def json(self):
        return {k: v for k, v in {"id": self.id, "type": self.type, "title": self.title, "first_name": self.first_name, "username": self.username}.items() if v is not None}


@dataclass
class Rule:
    method: str | None = None
    token: str | None = None
    chat_id: int | None = None
    status: int | None = None
    description: str = ""
    retry_after: float | None = None
    migrate_to: int | None = None
    drop: str | None = None
    redirect: str | None = None
    delay: float = 0
    times: int = 1

    def matches(self, method, token, params):
        return (self.times > 0 and self.method in (None, method) and self.token in (None, token)
                and (self.chat_id is None or str(self.chat_id) == str(params.get("chat_id"))))


class Dropped(Exception):
    """The connection is to be cut without an answer."""


class FakeTelegram:
    def __init__(self, retry_base=0.2, retry_cap=5.0, allow_http_webhooks=False):
        self.bots, self.chats, self.rules, self.routes = {}, {}, [], {}
        self.sent, self.calls, self.attempts = [], [], []
        self.changed = asyncio.Condition()
        self.retry_base, self.retry_cap, self.allow_http = retry_base, retry_cap, allow_http_webhooks
        self.session = None

    # ---------------------------------------------------------------- server

    def app(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/bot{token}/{method}", self.api)
        app.router.add_get("/file/bot{token}/{path:.+}", self.file)
        for verb, path, handler in [
            ("POST", "bots", self.c_bots), ("POST", "message", self.c_message), ("POST", "update", self.c_update), ("POST", "file", self.c_file),
            ("POST", "chat", self.c_chat), ("POST", "rules", self.c_rules), ("DELETE", "rules", self.c_clear_rules), ("GET", "sent", self.c_sent),
            ("GET", "sent/{seq}/file", self.c_sent_file), ("GET", "wait", self.c_wait), ("GET", "calls", self.c_calls), ("GET", "state", self.c_state),
            ("POST", "webhook-route", self.c_route), ("POST", "reset", self.c_reset),
        ]:
            app.router.add_route(verb, "/control/" + path, handler)
        app.on_startup.append(self.started)
        app.on_cleanup.append(self.stopped)
        return app

    async def started(self, _):
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60), auto_decompress=False)

    async def stopped(self, _):
        for bot in self.bots.values():
            for task in bot.senders.values():
                task.cancel()
            if bot.poller and not bot.poller.done():
                bot.poller.set_result("stop")
        await self.session.close()

    def add_bot(self, token, username, **more):
        number = int(token.split(":")[0])
        user = {"id": number, "is_bot": True, "first_name": more.get("first_name") or username, "username": username,
                "can_join_groups": more.get("can_join_groups", True), "can_read_all_group_messages": more.get("can_read_all_group_messages", False),
                "supports_inline_queries": False}
        if token in self.bots:
            self.bots[token].user = user
        else:
            self.bots[token] = Bot(token, user)
        self.bots[token].revoked = bool(more.get("revoked", False))
        return self.bots[token]

    async def note(self):
        async with self.changed:
            self.changed.notify_all()

    # ---------------------------------------------------------------- /bot<token>/<method>

    async def api(self, request):
        token, method = request.match_info["token"], request.match_info["method"]
        try:
            bot = self.bots.get(token)
            if not TOKEN.match(token):
                raise ApiError(404, "Not Found")
            if bot is None or bot.revoked:
                raise ApiError(401, "Unauthorized")
            params, files = await self.params(request)
            call = {"at": time.time(), "token": token, "method": method, "params": params, "ok": None}
            self.calls.append(call)
            rule = next((r for r in self.rules if r.matches(method, token, params)), None)
            if rule:
                rule.times -= 1
                if rule.delay:
                    await asyncio.sleep(rule.delay)
                if rule.drop == "before":
                    raise Dropped
                if rule.redirect:
                    return web.Response(status=302, headers={"Location": rule.redirect})
                if rule.status and rule.drop != "after":
                    extra = {"retry_after": rule.retry_after, "migrate_to_chat_id": rule.migrate_to}
                    raise ApiError(rule.status, rule.description or self.default_description(rule), **{k: v for k, v in extra.items() if v is not None})
            handler = getattr(self, "m_" + method.lower(), None)
            if handler is None:
                raise ApiError(404, "Not Found")
            result = await handler(bot, params, files)
            call["ok"] = True
            if rule and rule.drop == "after":
                raise Dropped
            return web.json_response({"ok": True, "result": result})
        except ApiError as error:
            body = {"ok": False, "error_code": error.code, "description": error.description}
            if error.parameters:
                body["parameters"] = error.parameters
            return web.json_response(body, status=error.code)
        except Dropped:
            if request.transport:
                request.transport.abort()
            return web.Response(status=500)

    @staticmethod
    def default_description(rule):
        return {429: f"Too Many Requests: retry after {rule.retry_after:g}" if rule.retry_after is not None else "Too Many Requests",
                403: "Forbidden: bot was blocked by the user", 401: "Unauthorized", 500: "Internal Server Error", 502: "Bad Gateway",
                409: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                400: "Bad Request: can't parse entities: Unsupported start tag \"x\" at byte offset 0"}.get(rule.status, "error")

    async def params(self, request):
        params, files = dict(request.query), {}
        kind = request.content_type
        if request.method == "POST" and request.can_read_body:
            if kind == "application/json":
                try:
                    params |= json.loads(await request.read() or b"{}")
                except (ValueError, TypeError):
                    raise bad("can't parse JSON object") from None
            elif kind == "application/x-www-form-urlencoded":
                params |= dict(await request.post())
            elif kind == "multipart/form-data":
                async for part in await request.multipart():
                    if part.filename is not None:
                        data = bytearray()
                        while chunk := await part.read_chunk(1 << 16):
                            data += chunk
                            if len(data) > MAX_UPLOAD:
                                raise ApiError(413, "Request Entity Too Large")
                        files[part.name] = (part.filename, part.headers.get("Content-Type", "application/octet-stream"), bytes(data))
                    else:
                        params[part.name] = await part.text()
        for key, value in params.items():
            if isinstance(value, str) and value[:1] in "[{" and key not in ("text", "caption"):
                try:
                    params[key] = json.loads(value)
                except ValueError:
                    pass
        return params, files

    @staticmethod
    def integer(params, key, default=None):
        value = params.get(key, default)
        if value is None or isinstance(value, int) and not isinstance(value, bool):
            return value
        try:
            return int(str(value))
        except ValueError:
            raise bad(f"parameter \"{key}\" is not an integer") from None

    @staticmethod
    def boolean(params, key):
        return str(params.get(key, "false")).lower() in ("true", "1", "yes")

    # --- who and how updates come

    async def m_getme(self, bot, params, files):
        return bot.user

    async def m_getupdates(self, bot, params, files):
        if bot.webhook.url:
            raise ApiError(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first")
        if "allowed_updates" in params:
            bot.allowed = params["allowed_updates"] or None
        offset, limit = self.integer(params, "offset", 0), min(max(self.integer(params, "limit", 100), 1), 100)
        timeout = min(max(self.integer(params, "timeout", 0), 0), 50)
        if offset > 0:
            while bot.pending and bot.pending[0]["update_id"] < offset:
                bot.pending.popleft()
        elif offset < 0:
            while len(bot.pending) > -offset:
                bot.pending.popleft()
        if bot.poller and not bot.poller.done():
            bot.poller.set_result("conflict")
        if not bot.pending and timeout:
            mine = bot.poller = asyncio.get_running_loop().create_future()
            bot.polling += 1
            await self.note()
            try:
                outcome = await asyncio.wait_for(asyncio.shield(mine), timeout)
            except asyncio.TimeoutError:
                outcome = "timeout"
            finally:
                bot.polling -= 1
                mine.cancel()
            if outcome == "conflict":
                raise ApiError(409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
            if outcome == "webhook":
                raise ApiError(409, "Conflict: terminated by setWebhook request")
        return list(bot.pending)[:limit]

    async def m_setwebhook(self, bot, params, files):
        url = str(params.get("url", ""))
        if not url:
            return await self.m_deletewebhook(bot, params, files)
        match = re.match(r"^(https?)://([^/:?#@]+)(?::(\d+))?(/.*)?$", url)
        if not match or match.group(1) == "http" and not self.allow_http:
            raise bad("bad webhook: HTTPS url must be provided for webhook" if match else "bad webhook: invalid URL specified")
        if match.group(1) == "https" and int(match.group(3) or 443) not in WEBHOOK_PORTS:
            raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
        secret = str(params.get("secret_token", ""))
        if secret and not re.match(r"^[A-Za-z0-9_-]{1,256}$", secret):
            raise bad("secret token contains unallowed characters")
        if "allowed_updates" in params:
            bot.allowed = params["allowed_updates"] or None
        bot.webhook = Webhook(url, secret, min(max(self.integer(params, "max_connections", 40), 1), 100))
        if self.boolean(params, "drop_pending_updates"):
            bot.pending.clear()
        if bot.poller and not bot.poller.done():
            bot.poller.set_result("webhook")
        self.dispatch(bot)
        return True

    async def m_deletewebhook(self, bot, params, files):
        bot.webhook = Webhook()
        if self.boolean(params, "drop_pending_updates"):
            bot.pending.clear()
        return True

    async def m_getwebhookinfo(self, bot, params, files):
        hook = bot.webhook
        info = {"url": hook.url, "has_custom_certificate": False, "pending_update_count": len(bot.pending)}
        if hook.url:
            info["max_connections"] = hook.max_connections
        if hook.last_error_date:
            info |= {"last_error_date": hook.last_error_date, "last_error_message": hook.last_error_message}
        if bot.allowed:
            info["allowed_updates"] = bot.allowed
        return info

    async def m_setmycommands(self, bot, params, files):
        commands = params.get("commands") or []
        for command in commands:
            if not re.match(r"^/?[a-z0-9_]{1,32}$", command.get("command", "")):
                raise bad("BOT_COMMAND_INVALID")
            if not 1 <= len(command.get("description", "")) <= 256:
                raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
        bot.commands[json.dumps(params.get("scope") or {"type": "default"}, sort_keys=True)] = commands
        return True

    async def m_deletemycommands(self, bot, params, files):
        bot.commands.pop(json.dumps(params.get("scope") or {"type": "default"}, sort_keys=True), None)
        return True

    # --- what bots send

    def chat(self, bot, params):
        number = self.integer(params, "chat_id")
        if number is None:
            raise bad("chat_id is empty")
        chat = self.chats.get(number)
        if chat is None:
            raise bad("chat not found")
        if chat.migrated_to:
            raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.migrated_to)
        if chat.state == "blocked":
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if chat.state == "deactivated":
            raise ApiError(403, "Forbidden: user is deactivated")
        if chat.state == "kicked":
            raise ApiError(403, f"Forbidden: bot was kicked from the {'supergroup' if chat.type == 'supergroup' else 'group'} chat")
        if chat.state == "restricted":
            raise bad("not enough rights to send text messages to the chat")
        return chat

    def formatted(self, text, params, entities_key):
        """Visible text and entities as the parse mode has it."""
        mode = str(params.get("parse_mode") or "").lower()
        if mode == "html":
            try:
                return parse_html(text)
            except ParseError as error:
                raise bad(f"can't parse entities: {error}") from None
        if mode not in ("", "markdown", "markdownv2"):
            raise bad("unsupported parse_mode")
        return text.strip(), params.get(entities_key) or []

    def place(self, bot, chat, params):
        """Checks topic and reply target; the fields that a message there has."""
        fields = {}
        thread = self.integer(params, "message_thread_id")
        if thread is not None:
            if thread not in chat.threads:
                raise bad("message thread not found")
            fields |= {"message_thread_id": thread, "is_topic_message": True}
        reply = params.get("reply_parameters")
        if isinstance(reply, dict):
            target = bot.messages.get((chat.id, self.integer(reply, "message_id")))
            if target is not None:
                fields["reply_to_message"] = {k: v for k, v in target.items() if k != "reply_to_message"}
            elif not reply.get("allow_sending_without_reply"):
                raise bad("message to be replied not found")
        return fields

    def number(self, bot, chat_id):
        number = bot.next_message[chat_id] = bot.next_message.get(chat_id, 0) + 1
        return number

    async def accept(self, bot, chat, method, params, fields, file=None):
        message = {"message_id": self.number(bot, chat.id), "from": {k: bot.user[k] for k in ("id", "is_bot", "first_name", "username")},
                   "chat": chat.json(), "date": int(time.time())} | fields
        bot.messages[(chat.id, message["message_id"])] = message
        shown = {k: v for k, v in fields.items() if k in ("text", "caption", "entities", "caption_entities", "message_thread_id")}
        self.sent.append({"seq": len(self.sent) + 1, "method": method, "token": bot.token, "bot_id": bot.id, "chat_id": chat.id,
                          "message_id": message["message_id"], "received_at": time.time(), "params": params,
                          "reply_to": fields.get("reply_to_message", {}).get("message_id")} | shown
                         | ({"file": {"name": file[0], "type": file[1], "size": len(file[2])}, "_bytes": file[2]} if file else {}))
        await self.note()
        return message

    async def m_sendmessage(self, bot, params, files):
        chat = self.chat(bot, params)
        raw = params.get("text")
        if raw is None or str(raw) == "":
            raise bad("message text is empty")
        text, entities = self.formatted(str(raw), params, "entities")
        if not text.strip():
            raise bad("message text is empty")
        if utf16(text) > MAX_TEXT:
            raise bad("message is too long")
        fields = self.place(bot, chat, params) | {"text": text}
        if entities:
            fields["entities"] = entities
        return await self.accept(bot, chat, "sendMessage", params, fields)

    async def m_editmessagetext(self, bot, params, files):
        chat = self.chat(bot, params)
        message = bot.messages.get((chat.id, self.integer(params, "message_id")))
        if message is None:
            raise bad("message to edit not found")
        if message["from"]["id"] != bot.id:
            raise bad("message can't be edited")
        text, entities = self.formatted(str(params.get("text", "")), params, "entities")
        if not text:
            raise bad("message text is empty")
        if utf16(text) > MAX_TEXT:
            raise bad("message is too long")
        if message.get("text") == text and message.get("entities", []) == entities:
            raise bad("message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message")
        message |= {"text": text, "entities": entities, "edit_date": int(time.time())}
        await self.note()
        return message

    async def m_sendmessagedraft(self, bot, params, files):
        chat = self.chat(bot, params)
        if chat.type != "private":
            raise bad("drafts can be sent to private chats only")
        if not self.integer(params, "draft_id", 0):
            raise bad("DRAFT_ID_INVALID")
        text, _ = self.formatted(str(params.get("text", "")), params, "entities")
        if utf16(text) > MAX_TEXT:
            raise bad("message is too long")
        return True

    def captioned(self, params):
        if not params.get("caption"):
            return {}
        caption, entities = self.formatted(str(params["caption"]), params, "caption_entities")
        if utf16(caption) > MAX_CAPTION:
            raise bad("message caption is too long")
        return {"caption": caption} | ({"caption_entities": entities} if entities else {})

    def content(self, bot, name, params, files):
        if name in files:
            if not files[name][2]:
                raise bad("file must be non-empty")
            return files[name]
        value = params.get(name)
        if isinstance(value, str) and value.startswith("attach://") and value[9:] in files:
            return files[value[9:]]
        if isinstance(value, str) and value in bot.files:
            stored = bot.files[value]
            return stored["name"], "application/octet-stream", stored["content"]
        raise bad(f"there is no {name} in the request" if value is None else "wrong remote file identifier specified: Wrong padding in the string")

    async def m_senddocument(self, bot, params, files):
        chat = self.chat(bot, params)
        file = self.content(bot, "document", params, files)
        stored = self.store(bot, file[2], file[0], "documents")
        fields = self.place(bot, chat, params) | self.captioned(params)
        document = {"file_id": stored["file_id"], "file_unique_id": stored["file_unique_id"], "file_name": file[0], "mime_type": file[1], "file_size": len(file[2])}
        return await self.accept(bot, chat, "sendDocument", params, fields | {"document": document}, file)

    async def m_sendphoto(self, bot, params, files):
        chat = self.chat(bot, params)
        file = self.content(bot, "photo", params, files)
        data = file[2]
        if len(data) > MAX_PHOTO:
            raise bad("PHOTO_SAVE_FILE_INVALID")
        if not (data.startswith(b"\x89PNG\r\n\x1a\n") or data.startswith(b"\xff\xd8\xff") or data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
            raise bad("IMAGE_PROCESS_FAILED")
        width, height = (int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")) if data.startswith(b"\x89PNG") else (1, 1)
        if width + height > 10000 or max(width, height) > 20 * max(1, min(width, height)):
            raise bad("PHOTO_INVALID_DIMENSIONS")
        stored = self.store(bot, data, "photo.jpg", "photos")
        fields = self.place(bot, chat, params) | self.captioned(params)
        photo = [{"file_id": stored["file_id"], "file_unique_id": stored["file_unique_id"], "width": width, "height": height, "file_size": len(data)}]
        return await self.accept(bot, chat, "sendPhoto", params, fields | {"photo": photo}, file)

    async def m_sendchataction(self, bot, params, files):
        chat = self.chat(bot, params)
        if params.get("action") not in ACTIONS:
            raise bad("wrong parameter action in request")
        thread = self.integer(params, "message_thread_id")
        if thread is not None and thread not in chat.threads:
            raise bad("message thread not found")
        return True

    async def m_setmessagereaction(self, bot, params, files):
        chat = self.chat(bot, params)
        if bot.messages.get((chat.id, self.integer(params, "message_id"))) is None:
            raise bad("message to react not found")
        if not chat.reactions and params.get("reaction"):
            raise bad("REACTION_INVALID")
        return True

    # --- files

    def store(self, bot, content, name, folder="documents", path=None):
        number = len(bot.files) + 1
        unique = f"AQAD{bot.id:x}{number:06d}"
        file_id = f"BQACAgIAAxkBAAI{bot.id:x}_{number:06d}"
        extension = name.rsplit(".", 1)[-1] if "." in name else "bin"
        bot.files[file_id] = {"file_id": file_id, "file_unique_id": unique, "file_size": len(content), "name": name, "content": content,
                              "path": path or f"{folder}/file_{number}.{extension}"}
        return bot.files[file_id]

    async def m_getfile(self, bot, params, files):
        stored = bot.files.get(params.get("file_id"))
        if stored is None:
            raise bad("wrong file_id or the file is temporarily unavailable")
        if stored["file_size"] > MAX_DOWNLOAD:
            raise bad("file is too big")
        return {"file_id": stored["file_id"], "file_unique_id": stored["file_unique_id"], "file_size": stored["file_size"], "file_path": stored["path"]}

    async def file(self, request):
        bot = self.bots.get(request.match_info["token"])
        stored = bot and next((f for f in bot.files.values() if f["path"] == request.match_info["path"]), None)
        if not stored:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=stored["content"], content_type="application/octet-stream")

    # ---------------------------------------------------------------- updates and webhooks

    def inject(self, bot, update):
        kind = next((k for k in update if k != "update_id"), None)
        if "update_id" in update:
            bot.next_update = max(bot.next_update, update["update_id"] + 1)
        else:
            update = {"update_id": bot.next_update} | update
            bot.next_update += 1
        if kind in bot.allowed if bot.allowed else kind not in DEFAULT_UPDATES_EXCLUDE:
            bot.pending.append(update)
            if bot.poller and not bot.poller.done():
                bot.poller.set_result("update")
            self.dispatch(bot)
        return update["update_id"]

    @staticmethod
    def queue_of(update):
        for value in update.values():
            if isinstance(value, dict) and "chat" in value:
                return value["chat"]["id"]
        return 0

    def dispatch(self, bot):
        """One sender per chat, as the real server does: later updates of a chat wait for the earlier ones, other chats do not."""
        if not bot.webhook.url:
            return
        for update in bot.pending:
            queue = self.queue_of(update)
            if queue not in bot.senders:
                bot.senders[queue] = asyncio.get_running_loop().create_task(self.send_queue(bot, queue))

    async def send_queue(self, bot, queue):
        try:
            failures = 0
            while bot.webhook.url:
                update = next((u for u in bot.pending if self.queue_of(u) == queue), None)
                if update is None:
                    return
                if bot.in_flight >= bot.webhook.max_connections:
                    await asyncio.sleep(0.01)
                    continue
                bot.in_flight += 1
                try:
                    problem = await self.post(bot, update)
                finally:
                    bot.in_flight -= 1
                if problem is None:
                    failures = 0
                    if update in bot.pending:
                        bot.pending.remove(update)
                    await self.note()
                    continue
                bot.webhook.last_error_date, bot.webhook.last_error_message = int(time.time()), problem
                await asyncio.sleep(min(self.retry_cap, self.retry_base * 2 ** min(failures, 20)))
                failures += 1
        finally:
            bot.senders.pop(queue, None)

    async def post(self, bot, update):
        url = bot.webhook.url
        for prefix, target in self.routes.items():
            if url.startswith(prefix):
                url = target + url[len(prefix):]
        headers = {"Content-Type": "application/json"}
        if bot.webhook.secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = bot.webhook.secret
        attempt = {"at": time.time(), "bot_id": bot.id, "update_id": update["update_id"], "status": None}
        self.attempts.append(attempt)
        try:
            async with self.session.post(url, data=json.dumps(update).encode(), headers=headers, allow_redirects=False) as response:
                attempt["status"] = response.status
                await response.read()
                return None if 200 <= response.status < 300 else f"Wrong response from the webhook: {response.status} {response.reason}"
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            return "Read timeout expired" if isinstance(error, asyncio.TimeoutError) else "Connection refused"

    # ---------------------------------------------------------------- /control

    def bot(self, token):
        if token not in self.bots:
            raise web.HTTPNotFound(text="no such bot; register it with /control/bots")
        return self.bots[token]

    def know(self, number, kind=None, title=None, first_name=None, username=None):
        chat = self.chats.get(number)
        if chat is None:
            chat = self.chats[number] = Chat(number, kind or ("private" if number > 0 else "supergroup"))
        chat.type, chat.title = kind or chat.type, title or chat.title
        chat.first_name, chat.username = first_name or chat.first_name, username or chat.username
        if chat.type != "private" and not chat.title:
            chat.title = f"Group {number}"
        if chat.type == "private" and not chat.first_name:
            chat.first_name = f"Person {number}"
        return chat

    async def c_bots(self, request):
        body = await request.json()
        if not TOKEN.match(body.get("token", "")):
            raise web.HTTPBadRequest(text="not a token")
        token, username = body.pop("token"), body.pop("username")
        return web.json_response(self.add_bot(token, username, **body).user)

    async def c_message(self, request):
        body = await request.json()
        bot = self.bot(body.pop("token"))
        given = body.pop("chat", None) or {"id": int(body.pop("chat_id"))}
        body.pop("chat_id", None)
        chat = self.know(given["id"], given.get("type"), given.get("title"), given.get("first_name"), given.get("username"))
        sender = body.pop("from", None) or ({"id": chat.id, "is_bot": False, "first_name": chat.first_name} if chat.type == "private"
                                            else {"id": 4242, "is_bot": False, "first_name": "Ann"})
        kind = "edited_message" if body.pop("edited", False) else "message"
        number = body.pop("message_id", None) or self.number(bot, chat.id)
        bot.next_message[chat.id] = max(bot.next_message.get(chat.id, 0), number)
        message = {"message_id": number, "from": sender, "chat": chat.json(), "date": int(time.time())} | body
        if message.get("is_topic_message"):
            chat.threads.add(message["message_thread_id"])
        for text_key, entities_key in (("text", "entities"), ("caption", "caption_entities")):
            if text_key in message and entities_key not in message:
                found = self.entities(message[text_key])
                if found:
                    message[entities_key] = found
        reply = message.get("reply_to_message")
        if isinstance(reply, int):
            message["reply_to_message"] = bot.messages.get((chat.id, reply), {"message_id": reply, "chat": chat.json(), "date": 0})
        bot.messages[(chat.id, number)] = message
        return web.json_response({"update_id": self.inject(bot, {kind: message}), "message_id": number})

    @staticmethod
    def entities(text):
        found = []
        for pattern, kind in ((r"(?<![\w@/])/[a-zA-Z0-9_]{1,64}(?:@\w{3,32})?(?!\w)", "bot_command"), (r"(?<![\w@/])@\w{4,32}", "mention"), (r"https?://\S+", "url")):
            for match in re.finditer(pattern, text):
                found.append({"type": kind, "offset": utf16(text[:match.start()]), "length": utf16(match.group(0))})
        return sorted(found, key=lambda e: e["offset"])

    async def c_update(self, request):
        body = await request.json()
        bot = self.bot(body["token"])
        for value in body["update"].values():
            if isinstance(value, dict) and isinstance(value.get("chat"), dict):
                given = value["chat"]
                self.know(given["id"], given.get("type"), given.get("title"), given.get("first_name"), given.get("username"))
        return web.json_response({"update_id": self.inject(bot, body["update"])})

    async def c_file(self, request):
        body = await request.json()
        stored = self.store(self.bot(body["token"]), base64.b64decode(body["content"]), body.get("name", "file.bin"), path=body.get("path"))
        if "size" in body:
            stored["file_size"] = body["size"]
        return web.json_response({k: stored[k] for k in ("file_id", "file_unique_id", "file_size")})

    async def c_chat(self, request):
        body = await request.json()
        chat = self.know(int(body["chat_id"]), body.get("type"), body.get("title"))
        chat.state = body.get("state", chat.state)
        chat.migrated_to = body.get("migrated_to", chat.migrated_to)
        chat.reactions = body.get("reactions", chat.reactions)
        if "threads" in body:
            chat.threads = set(body["threads"])
        return web.json_response({"chat": chat.json(), "state": chat.state})

    async def c_rules(self, request):
        self.rules.append(Rule(**await request.json()))
        return web.json_response({"rules": len(self.rules)})

    async def c_clear_rules(self, request):
        self.rules.clear()
        return web.json_response({"rules": 0})

    def selected(self, request):
        query = request.query
        return [s for s in self.sent
                if query.get("token", s["token"]) == s["token"] and int(query.get("chat_id", s["chat_id"])) == s["chat_id"] and s["seq"] > int(query.get("after", 0))]

    async def c_sent(self, request):
        return web.json_response([{k: v for k, v in s.items() if k != "_bytes"} for s in self.selected(request)])

    async def c_sent_file(self, request):
        entry = next((s for s in self.sent if str(s["seq"]) == request.match_info["seq"] and "_bytes" in s), None)
        if entry is None:
            raise web.HTTPNotFound()
        return web.Response(body=entry["_bytes"], content_type="application/octet-stream")

    async def c_wait(self, request):
        count, timeout = int(request.query.get("count", 1)), float(request.query.get("timeout", 10))
        try:
            async with asyncio.timeout(timeout):
                async with self.changed:
                    await self.changed.wait_for(lambda: len(self.selected(request)) >= count)
        except TimeoutError:
            pass
        have = len(self.selected(request))
        return web.json_response({"count": have, "reached": have >= count})

    async def c_calls(self, request):
        query = request.query
        return web.json_response([c for c in self.calls if query.get("method", c["method"]) == c["method"] and query.get("token", c["token"]) == c["token"]])

    async def c_state(self, request):
        bots = [{"id": b.id, "username": b.user["username"], "pending": len(b.pending), "polling": b.polling, "webhook": b.webhook.url,
                 "secret": b.webhook.secret, "max_connections": b.webhook.max_connections, "allowed_updates": b.allowed, "commands": b.commands}
                for b in self.bots.values()]
        return web.json_response({"bots": bots, "webhook_attempts": self.attempts, "sent": len(self.sent), "rules": [r.__dict__ for r in self.rules if r.times > 0]})

    async def c_route(self, request):
        body = await request.json()
        self.routes[body["prefix"]] = body["target"]
        return web.json_response(self.routes)

    async def c_reset(self, request):
        only = (await request.json()).get("token") if request.can_read_body else None
        for bot in self.bots.values():
            if only in (None, bot.token):
                for task in bot.senders.values():
                    task.cancel()
                for part in (bot.pending, bot.files, bot.messages, bot.next_message, bot.commands):
                    part.clear()
                bot.webhook, bot.allowed = Webhook(), None
        self.sent = [s for s in self.sent if only not in (None, s["token"])]
        self.calls = [c for c in self.calls if only not in (None, c["token"])]
        if only is None:
            self.chats.clear()
            self.rules.clear()
            self.attempts.clear()
        return web.json_response({"ok": True})


async def serve(arguments):
    fake = FakeTelegram(arguments.retry_base, arguments.retry_cap, arguments.allow_http_webhooks)
    for entry in arguments.bot:
        token, _, username = entry.partition("=")
        fake.add_bot(token, username or f"bot{token.split(':')[0]}_bot")
    for entry in arguments.webhook_route:
        prefix, _, target = entry.partition("=")
        fake.routes[prefix] = target
    runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, arguments.host, arguments.port)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    try:
        if arguments.watch_stdin:
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        else:
            await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main():
    parser = argparse.ArgumentParser(description="A Telegram Bot API server for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 = any free port; it is printed on the first line")
    parser.add_argument("--bot", action="append", default=[], metavar="TOKEN=USERNAME", help="register a bot (repeatable)")
    parser.add_argument("--webhook-route", action="append", default=[], metavar="PREFIX=TARGET", help="deliver webhooks under PREFIX to TARGET")
    parser.add_argument("--allow-http-webhooks", action="store_true")
    parser.add_argument("--retry-base", type=float, default=0.2, help="first gap between webhook tries, seconds; doubles")
    parser.add_argument("--retry-cap", type=float, default=5.0)
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input is closed")
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
