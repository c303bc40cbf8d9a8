"""The fake is accepted by python-telegram-bot: its own client, its own exceptions, its own polling."""

import asyncio
import base64
import sys
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from telegram import Bot, BotCommand, BotCommandScopeAllPrivateChats, ReactionTypeEmoji, ReplyParameters, Update
from telegram.constants import ParseMode
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter
from telegram.ext import Application, CommandHandler, MessageHandler, filters
from telegram.request import HTTPXRequest

HERE = Path(__file__).parent
TOKEN = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFakeFak"
OTHER = "987654321:AAFakeFakeFakeFakeFakeFakeFakeFakeFak"


class Fake:
    def __init__(self, port, session):
        self.url, self.session = f"http://127.0.0.1:{port}", session

    async def control(self, verb, path, **body):
        async with self.session.request(verb, f"{self.url}/control/{path}", json=body or None) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def bot(self, token=TOKEN):
        return Bot(token, base_url=self.url + "/bot", base_file_url=self.url + "/file/bot", request=HTTPXRequest(read_timeout=10), get_updates_request=HTTPXRequest(read_timeout=10))

    def application(self, token=TOKEN):
        return Application.builder().token(token).base_url(self.url + "/bot").base_file_url(self.url + "/file/bot").build()

    async def say(self, text="hi", chat=77, token=TOKEN, **more):
        return await self.control("POST", "message", token=token, chat_id=chat, text=text, **more)


@pytest_asyncio.fixture
async def fake():
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "fake_telegram.py"), "--port", "0", "--bot", TOKEN + "=claw_bot", "--bot", OTHER + "=other_bot", "--allow-http-webhooks",
        "--retry-base", "0.05", "--watch-stdin", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    port = int(await process.stdout.readline())
    async with aiohttp.ClientSession() as session:
        yield Fake(port, session)
    process.stdin.close()
    await process.wait()


@pytest.mark.asyncio
async def test_get_me_and_wrong_tokens(fake):
    async with fake.bot() as bot:
        me = await bot.get_me()
        assert (me.id, me.username, me.is_bot) == (123456789, "claw_bot", True)
    with pytest.raises(InvalidToken):
        await fake.bot("111111111:AAFakeFakeFakeFakeFakeFakeFakeFakeFak").get_me()
    await fake.control("POST", "bots", token=OTHER, username="other_bot", revoked=True)
    with pytest.raises(InvalidToken):
        await fake.bot(OTHER).get_me()


@pytest.mark.asyncio
async def test_application_polls_and_answers(fake):
    application = fake.application()
    seen = []

    async def answer(update: Update, context):
        seen.append(update.update_id)
        await update.message.reply_html(f"<b>{update.message.text}</b>")

    async def start(update: Update, context):
        await update.message.reply_text("welcome")

    application.add_handler(CommandHandler("start", start))
    application.add_handler(MessageHandler(filters.TEXT, answer))
    async with application:
        await application.updater.start_polling(timeout=5)
        await application.start()
        await fake.say("/start")
        for number in range(5):
            await fake.say(f"m{number}")
        waited = await fake.control("GET", "wait?count=6&timeout=10")
        assert waited["reached"]
        await application.updater.stop()
        await application.stop()
    sent = await fake.control("GET", "sent")
    assert sent[0]["text"] == "welcome"
    assert [s["text"] for s in sent[1:]] == [f"m{n}" for n in range(5)]
    assert sent[1]["entities"] == [{"offset": 0, "length": 2, "type": "bold"}]
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.asyncio
async def test_offset_acknowledges_and_updates_are_typed(fake):
    async with fake.bot() as bot:
        await fake.say("one")
        await fake.say("two @claw_bot", chat=-1005)
        first = await bot.get_updates()
        assert [u.message.text for u in first] == ["one", "two @claw_bot"]
        assert first[1].message.chat.type == "supergroup"
        assert first[1].message.parse_entities() and list(first[1].message.parse_entities().values()) == ["@claw_bot"]
        again = await bot.get_updates()
        assert [u.update_id for u in again] == [u.update_id for u in first]
        rest = await bot.get_updates(offset=first[0].update_id + 1)
        assert [u.message.text for u in rest] == ["two @claw_bot"]
        assert await bot.get_updates(offset=first[1].update_id + 1) == ()


@pytest.mark.asyncio
async def test_long_poll_wakes_and_conflicts(fake):
    async with fake.bot() as bot, fake.bot() as second:
        waiting = asyncio.create_task(bot.get_updates(timeout=20))
        while (await fake.control("GET", "state"))["bots"][0]["polling"] == 0:
            await asyncio.sleep(0.01)
        await fake.say("wake")
        assert [u.message.text for u in await waiting] == ["wake"]
        old = asyncio.create_task(bot.get_updates(offset=2, timeout=20))
        while (await fake.control("GET", "state"))["bots"][0]["polling"] == 0:
            await asyncio.sleep(0.01)
        new = asyncio.create_task(second.get_updates(offset=2, timeout=1))
        with pytest.raises(Conflict, match="terminated by other getUpdates"):
            await old
        assert await new == ()
        await bot.set_webhook("http://127.0.0.1:9/hook")
        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates()


@pytest.mark.asyncio
async def test_html_is_read_as_telegram_reads_it(fake):
    await fake.say()
    async with fake.bot() as bot:
        message = await bot.send_message(
            77, 'a &lt;b&gt; <b>bold <i>both</i></b> <a href="https://e.x/?a=1&amp;b=2">x</a> <pre><code class="language-swift">let a</code></pre> 👍<code>c</code>',
            parse_mode=ParseMode.HTML)
        assert message.text == "a <b> bold both x let a 👍c"
        found = {e.type: text for e, text in message.parse_entities().items()}
        assert found == {"bold": "bold both", "italic": "both", "text_link": "x", "pre": "let a", "code": "c"}
        assert next(e for e in message.entities if e.type == "text_link").url == "https://e.x/?a=1&b=2"
        assert next(e for e in message.entities if e.type == "pre").language == "swift"
        for text, words in [
            ("<b>x", "Can't find end tag corresponding to start tag"), ("<foo>x</foo>", "Unsupported start tag \"foo\" at byte offset 0".lower()),
            ("x</b>", "Unexpected end tag"), ("<b><i>x</b></i>", "Unmatched end tag"), ("a < b", "Unsupported start tag"), ("<b", "Unclosed start tag"),
        ]:
            with pytest.raises(BadRequest, match="(?i)can't parse entities: .*" + words):
                await bot.send_message(77, text, parse_mode=ParseMode.HTML)
        many = await bot.send_message(77, "".join(f"<b>{n % 10}</b> " for n in range(150)), parse_mode=ParseMode.HTML)
        assert len(many.entities) == 100


@pytest.mark.asyncio
async def test_limits_are_utf16_units_of_visible_text(fake):
    await fake.say()
    async with fake.bot() as bot:
        assert await bot.send_message(77, "<b>" + "👍" * 2048 + "</b>", parse_mode=ParseMode.HTML)
        with pytest.raises(BadRequest, match="(?i)message is too long"):
            await bot.send_message(77, "👍" * 2048 + "a")
        with pytest.raises(BadRequest, match="(?i)message text is empty"):
            await bot.send_message(77, " \n ")
        with pytest.raises(BadRequest, match="(?i)caption is too long"):
            await bot.send_document(77, b"x", caption="a" * 1025)


@pytest.mark.asyncio
async def test_errors_are_the_clients_own_exceptions(fake):
    await fake.say()
    async with fake.bot() as bot:
        with pytest.raises(BadRequest, match="(?i)chat not found"):
            await bot.send_message(4711, "x")
        await fake.control("POST", "rules", method="sendMessage", status=429, retry_after=7)
        with pytest.raises(RetryAfter) as told:
            await bot.send_message(77, "x")
        assert int(getattr(told.value, "_retry_after", told.value.retry_after).total_seconds() if hasattr(getattr(told.value, "_retry_after", 0), "total_seconds") else told.value.retry_after) == 7
        await fake.control("POST", "chat", chat_id=77, state="blocked")
        with pytest.raises(Forbidden, match="blocked by the user"):
            await bot.send_message(77, "x")
        await fake.control("POST", "chat", chat_id=77, state="normal")
        await fake.control("POST", "chat", chat_id=-5, type="group", migrated_to=-1005)
        with pytest.raises(ChatMigrated) as moved:
            await bot.send_message(-5, "x")
        assert moved.value.new_chat_id == -1005
        await fake.control("POST", "rules", method="sendMessage", status=502)
        with pytest.raises(NetworkError):
            await bot.send_message(77, "x")
        await fake.control("POST", "rules", method="sendMessage", drop="after")
        with pytest.raises(NetworkError):
            await bot.send_message(77, "taken, but nobody is told")
        assert [s["text"] for s in await fake.control("GET", "sent")] == ["taken, but nobody is told"]


@pytest.mark.asyncio
async def test_topics_replies_reactions_edits(fake):
    asked = await fake.say("q", chat=-1007, is_topic_message=True, message_thread_id=3)
    async with fake.bot() as bot:
        answer = await bot.send_message(-1007, "a", message_thread_id=3, reply_parameters=ReplyParameters(asked["message_id"], allow_sending_without_reply=True))
        assert answer.reply_to_message.message_id == asked["message_id"] and answer.message_thread_id == 3
        with pytest.raises(BadRequest, match="(?i)message thread not found"):
            await bot.send_message(-1007, "a", message_thread_id=99)
        with pytest.raises(BadRequest, match="(?i)message to be replied not found"):
            await bot.send_message(-1007, "a", reply_parameters=ReplyParameters(999))
        assert await bot.set_message_reaction(-1007, asked["message_id"], [ReactionTypeEmoji("👀")])
        assert await bot.send_chat_action(-1007, "typing", message_thread_id=3)
        edited = await bot.edit_message_text("b", -1007, answer.message_id)
        assert edited.text == "b"
        with pytest.raises(BadRequest, match="(?i)message is not modified"):
            await bot.edit_message_text("b", -1007, answer.message_id)


@pytest.mark.asyncio
async def test_files_both_ways(fake):
    await fake.say()
    content = bytes(range(256)) * 40
    async with fake.bot() as bot:
        sent = await bot.send_document(77, content, filename="data.bin", caption="<i>c</i>", parse_mode=ParseMode.HTML)
        assert sent.document.file_name == "data.bin" and sent.caption == "c"
        assert bytes(await (await bot.get_file(sent.document.file_id)).download_as_bytearray()) == content
        png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
        assert (await bot.send_photo(77, png)).photo[0].width == 1
        with pytest.raises(BadRequest, match="(?i)image_process_failed"):
            await bot.send_photo(77, b"no image")
        with pytest.raises(BadRequest, match="(?i)wrong file_id"):
            await bot.get_file("nothing")
        stored = await fake.control("POST", "file", token=TOKEN, content=base64.b64encode(b"from a person").decode(), name="a.txt")
        await fake.say(document={"file_id": stored["file_id"], "file_unique_id": "u", "file_name": "a.txt", "file_size": 13})
        update = (await bot.get_updates())[-1]
        assert bytes(await (await update.message.document.get_file()).download_as_bytearray()) == b"from a person"


@pytest.mark.asyncio
async def test_webhooks_retry_in_order_with_the_secret(fake):
    seen, refuse = [], [2]

    async def hook(request):
        assert request.headers["X-Telegram-Bot-Api-Secret-Token"] == "s3cret"
        update = Update.de_json(await request.json(), None)
        if refuse[0]:
            refuse[0] -= 1
            return web.Response(status=503)
        seen.append(update.message.text)
        return web.json_response({"ok": True})

    app = web.Application()
    app.router.add_post("/webhook/telegram/b1", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    await fake.control("POST", "webhook-route", prefix="https://bot.example", target=f"http://127.0.0.1:{port}")
    async with fake.bot() as bot:
        assert await bot.set_webhook("https://bot.example/webhook/telegram/b1", secret_token="s3cret", max_connections=40)
        for number in range(10):
            await fake.say(str(number))
        for _ in range(500):
            if len(seen) == 10:
                break
            await asyncio.sleep(0.02)
        assert seen == [str(n) for n in range(10)]
        info = await bot.get_webhook_info()
        assert info.url == "https://bot.example/webhook/telegram/b1" and info.pending_update_count == 0
        assert "503" in info.last_error_message
        assert await bot.delete_webhook()
        assert (await bot.get_webhook_info()).url == ""
        with pytest.raises(BadRequest, match="(?i)only on ports 80, 88, 443 or 8443"):
            await bot.set_webhook("https://bot.example:8080/x")
    await runner.cleanup()


@pytest.mark.asyncio
async def test_commands_and_separate_bots(fake):
    async with fake.bot() as bot, fake.bot(OTHER) as other:
        scope = BotCommandScopeAllPrivateChats()
        assert await bot.set_my_commands([BotCommand("new", "Start anew")], scope=scope)
        with pytest.raises(BadRequest):
            await bot.set_my_commands([BotCommand("NEW!", "x")])
        assert await bot.delete_my_commands(scope=scope)
        await fake.say("for the other", token=OTHER)
        assert await bot.get_updates() == ()
        assert [u.message.text for u in await other.get_updates()] == ["for the other"]
