"""The fake vendors as tests talk to them."""

import time

import requests

TOKEN = "700000001:AAE2E" + "x" * 30


class Telegram:
    def __init__(self, base, token=TOKEN, username="claw_bot"):
        self.base, self.token = base, token
        self.control("POST", "bots", token=token, username=username)
        self.control("POST", "reset", token=token)

    def control(self, verb, path, **body):
        answer = requests.request(verb, f"{self.base}/control/{path}", json=body or None, timeout=60)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    def say(self, text, chat=7, **more):
        """As if a person had written to the bot."""
        return self.control("POST", "message", token=self.token, chat_id=chat, text=text, **more)

    def sent(self, chat=None):
        query = f"?token={self.token}" + (f"&chat_id={chat}" if chat is not None else "")
        return self.control("GET", "sent" + query)

    def texts(self, chat=None):
        return [m.get("text") or m.get("caption") or "" for m in self.sent(chat)]

    def wait(self, count, chat=None, timeout=60):
        query = f"?count={count}&timeout={timeout}&token={self.token}" + (f"&chat_id={chat}" if chat is not None else "")
        answer = requests.get(f"{self.base}/control/wait{query}", timeout=timeout + 10).json()
        assert answer["reached"], f"only {answer['count']} of {count} messages were sent: {self.sent(chat)}"
        return self.sent(chat)

    def state(self):
        return self.control("GET", "state")

    def pollers(self):
        return sum(bot["polling"] for bot in self.state()["bots"] if bot.get("token") == self.token)


def connect_telegram(client, bot, telegram, mode="polling"):
    answer = client.post(
        f"/api/bots/{bot}/channels",
        {"channelType": "telegram", "credentials": {"botToken": telegram.token}, "config": {"connectionMode": mode}})
    assert answer.status_code == 201, answer.text
    return answer.json()


def telegram_environment(base):
    return {"CLAWBOT_CHANNELS_TELEGRAM_API_BASE_URL": base, "CLAWBOT_CHANNELS_TELEGRAM_FILE_BASE_URL": base}


def anthropic_environment(base):
    return {"ANTHROPIC_API_KEY": "sk-test", "ANTHROPIC_BASE_URL": base}
