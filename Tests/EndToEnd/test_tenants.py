"""Two tenants cannot see each other: API, files, sandbox, socket, grants, each tried."""

import pytest

from clawbot import Clawbot
from fakes import anthropic_environment


@pytest.fixture
def two(tmp_path, anthropic):
    server = Clawbot(tmp_path / "clawbot", env=anthropic_environment(anthropic)).start()
    admin = server.sign_in()
    yield server, server.new_user(admin, "a@example.test"), server.new_user(admin, "b@example.test"), admin
    server.stop()


def test_another_tenants_ids_answer_like_ids_that_do_not_exist(two):
    server, a, b, admin = two
    bot = a.bot("Secret")
    a.chat(bot).reply("echo: private")
    nothing = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    for client in (b, admin):
        for path in ["", "/channels", "/channels/telegram", "/groups", "/groups/web%3Amain", "/groups/web%3Amain/messages", "/tasks", "/memory",
                     "/groups/web%3Amain/memory", "/files", "/failures", "/denials", "/chat/events"]:
            theirs, none = client.get(f"/api/bots/{bot}{path}"), client.get(f"/api/bots/{nothing}{path}")
            assert theirs.status_code == none.status_code == 404, (path, theirs.status_code, none.status_code)
            assert theirs.json() == none.json()
        assert client.post(f"/api/bots/{bot}/chat", {"content": "x"}).status_code == 404
        assert client.put(f"/api/bots/{bot}", {"name": "mine"}).status_code == 404
        assert client.put(f"/api/bots/{bot}/memory", {"content": "x"}).status_code == 404
        assert client.delete(f"/api/bots/{bot}").status_code == 404
    assert a.get(f"/api/bots/{bot}").json()["name"] == "Secret"


def test_an_agent_sees_nothing_of_another_conversation_bot_or_tenant(two):
    server, a, b, _ = two
    bot_a, bot_b = a.bot("A"), b.bot("B")
    a.chat(bot_a).reply('use Write: {"file_path":"/workspace/group/secret.txt","content":"CANARY-A"}')
    a.chat(bot_a, "other").reply("echo: opened")
    for chat in (a.chat(bot_a, "other"), b.chat(bot_b)):
        found = chat.reply("use bash: grep -rl CANARY-A /workspace /home /tmp /run /etc 2>/dev/null; ls /workspace/group; ls /root /var 2>&1 | head -3; echo done", timeout=120)
        assert "secret.txt" not in found and "done" in found
    data = str(server.directory / "data")
    seen = b.chat(bot_b).reply(f"use bash: ls {data} 2>&1; cat {data}/master.key 2>&1; echo done")
    assert "No such file" in seen and "done" in seen


def test_secrets_are_nowhere_in_the_sandbox(two):
    server, a, _, _ = two
    bot = a.bot("A")
    seen = a.chat(bot).reply("use bash: env; for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; tr '\\0' ' ' < $p/cmdline; ls -l $p/fd; done 2>/dev/null; echo done", timeout=120)
    for secret in ("sk-test", "correct horse", "ADMIN_PASSWORD", "ANTHROPIC_API_KEY", server.env["CLAWBOT_DATA_DIRECTORY"]):
        assert secret not in seen, secret


def test_the_network_of_the_sandbox_is_empty(two):
    server, a, _, _ = two
    bot = a.bot("A")
    port = server.port
    seen = a.chat(bot).reply(
        f"use bash: for t in 127.0.0.1/{port} 169.254.169.254/80 10.0.0.1/80 1.1.1.1/53; do (timeout 2 bash -c \"echo > /dev/tcp/$t\") 2>/dev/null && echo REACHED $t; done; echo done", timeout=60)
    assert "REACHED" not in seen and "done" in seen


def test_a_grant_is_good_for_its_own_run_only(two):
    server, a, b, _ = two
    import requests

    for token in ("", "nonsense", "v1.e30.AAAA", "v1." + "x" * 3000):
        for path in ("/agent/v1/history", "/agent/v1/objects", "/agent/v1/tasks"):
            answer = requests.get(server.base + path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, (path, token[:10], answer.status_code)
    # An access token is no grant, a grant no access token.
    assert requests.get(server.base + "/agent/v1/history", headers={"Authorization": f"Bearer {a.token}"}).status_code == 401
    assert requests.get(server.base + "/api/me", headers={"Authorization": "Bearer v1.e30.AAAA"}).status_code == 401
