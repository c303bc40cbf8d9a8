"""A bot on Telegram, against a Bot API server that python-telegram-bot accepts as the real one."""

import base64

import pytest
import requests

from clawbot import Clawbot, eventually
from fakes import Telegram, anthropic_environment, connect_telegram, telegram_environment

BASE = "https://bot.example.test"


@pytest.fixture(params=["polling", "webhook"])
def world(request, tmp_path, anthropic, telegram):
    vendor = Telegram(telegram)
    environment = {**telegram_environment(telegram), **anthropic_environment(anthropic)}
    if request.param == "webhook":
        environment["CLAWBOT_SERVER_PUBLIC_BASE_URL"] = BASE
    server = Clawbot(tmp_path / "clawbot", env=environment)
    if request.param == "webhook":
        vendor.control("POST", "webhook-route", prefix=BASE, target=server.base)
    server.start()
    admin = server.sign_in()
    user = server.new_user(admin, "owner@example.test")
    bot = user.bot("Claw")
    connect_telegram(user, bot, vendor, request.param)
    yield server, user, bot, vendor, request.param
    server.stop()


def test_private_chat_groups_and_commands(world):
    server, user, bot, vendor, mode = world
    vendor.say("echo: **bold** & <tags>", chat=7)
    message = vendor.wait(1, 7)[0]
    assert message["text"] == "bold & <tags>" or "<b>bold</b> &amp; &lt;tags&gt;" in str(message)
    vendor.say("/help", chat=7)
    assert "/stop" in vendor.wait(2, 7)[1]["text"]

    group = {"id": -100500, "type": "supergroup", "title": "Team"}
    vendor.control("POST", "message", token=vendor.token, chat=group, text="nobody asked the bot")
    vendor.control("POST", "message", token=vendor.token, chat=group, text="@claw_bot echo: for the group",
                   entities=[{"type": "mention", "offset": 0, "length": 9}])
    assert vendor.wait(1, -100500)[0]["text"] == "for the group"
    states = lambda: {m["state"] for m in user.get(f"/api/bots/{bot}/groups/tg%3A-100500/messages").json()["items"]}
    eventually(lambda: states() == {"context", "answered", "sent"})


def test_long_answers_are_split_and_files_go_both_ways(world):
    server, user, bot, vendor, mode = world
    vendor.say("long 1500", chat=8)
    eventually(lambda: len(vendor.sent(8)) >= 2, 60)
    assert all(len(m["text"].encode("utf-16-le")) // 2 <= 4096 for m in vendor.sent(8))

    stored = vendor.control("POST", "file", token=vendor.token, content=base64.b64encode(b"from a person").decode(), name="a.txt")
    vendor.control("POST", "message", token=vendor.token, chat_id=9, caption="use bash: cat /workspace/attachments/*/*a.txt",
                   document={"file_id": stored["file_id"], "file_unique_id": stored["file_unique_id"], "file_name": "a.txt", "mime_type": "text/plain", "file_size": stored["file_size"]})
    assert "from a person" in vendor.wait(1, 9)[0]["text"]

    vendor.say("use bash: echo out > /workspace/group/out.txt", chat=9)
    vendor.wait(2, 9)
    vendor.say('use mcp__clawbot__send_file: {"file_path":"/workspace/group/out.txt"}', chat=9)
    eventually(lambda: any(m.get("document") or m.get("method") == "sendDocument" for m in vendor.sent(9)), 60)


def test_vendor_limits_and_refusals(world):
    server, user, bot, vendor, mode = world
    vendor.control("POST", "rules", method="sendMessage", status=429, retry_after=1)
    vendor.say("echo: after the wait", chat=10)
    assert vendor.wait(1, 10)[0]["text"] == "after the wait"
    vendor.control("POST", "rules", method="sendMessage", status=400, description="Bad Request: can't parse entities")
    vendor.say("echo: **plain**", chat=10)
    assert "plain" in vendor.wait(2, 10)[1]["text"]
    vendor.control("POST", "chat", chat_id=11, state="blocked")
    vendor.say("echo: nobody hears", chat=11)
    rows = lambda: user.get(f"/api/bots/{bot}/groups/tg%3A11/messages").json().get("items", [])
    eventually(lambda: any(m["state"] == "failed" and m.get("failure") == "channel-failed" for m in rows() if not m["isBotMessage"]), 60)
    channel = user.get(f"/api/bots/{bot}/channels/telegram").json()
    assert channel["healthStatus"] != "unhealthy"


def test_the_same_update_again_and_a_wrong_secret_change_nothing(world):
    server, user, bot, vendor, mode = world
    if mode == "polling":
        url = f"{server.base}/webhook/telegram/{bot}"
        assert requests.post(url, json={"update_id": 1}).status_code == 404
        return
    update = {"update_id": 99, "message": {"message_id": 4711, "date": 1790000000, "chat": {"id": 12, "type": "private", "first_name": "A"},
                                           "from": {"id": 12, "is_bot": False, "first_name": "A"}, "text": "echo: once"}}
    url = f"{server.base}/webhook/telegram/{bot}"
    for head in ({}, {"X-Telegram-Bot-Api-Secret-Token": "wrong"}, {"X-Telegram-Bot-Api-Secret-Token": ""}):
        assert requests.post(url, json=update, headers=head).status_code == 401
    for _ in range(5):
        vendor.control("POST", "update", token=vendor.token, update=update)
    assert [m["text"] for m in vendor.wait(1, 12)] == ["once"]
    vendor.say("echo: and then", chat=12)
    assert [m["text"] for m in vendor.wait(2, 12)] == ["once", "and then"]


def test_a_wrong_token_is_refused_before_anything_is_stored(world):
    server, user, bot, vendor, mode = world
    other = user.bot("Other")
    answer = user.post(f"/api/bots/{other}/channels", {"channelType": "telegram", "credentials": {"botToken": "700000009:" + "z" * 35}})
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "urn:clawbot:problem:credentials-rejected"
    assert user.get(f"/api/bots/{other}/channels").json()["items"] == []
    taken = user.post(f"/api/bots/{other}/channels", {"channelType": "telegram", "credentials": {"botToken": vendor.token}})
    assert taken.status_code == 409
