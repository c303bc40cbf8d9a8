"""What an operator sees: counters that count, gauges that are read, and nothing for strangers."""

import re

import requests

from clawbot import Clawbot, eventually


def metrics(server, **headers):
    answer = requests.get(server.base + "/metrics", headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+', line), line
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_metrics_count_without_naming_anybody(server, admin):
    bot = admin.bot("Claw")
    stream = requests.get(f"{server.base}/api/bots/{bot}/chat/events", headers={"Authorization": f"Bearer {admin.token}"}, stream=True, timeout=60)
    assert stream.status_code == 200
    admin.chat(bot).reply("Hello!")
    admin.token, token = "forged", admin.token
    assert admin.get("/api/me").status_code == 401
    admin.token = token
    before = metrics(server)
    assert before['clawbot_http_requests_total{method="POST",route="/api/bots/{botId}/chat",status="202"}'] == 1
    assert before['clawbot_http_request_duration_seconds_count{method="POST",route="/api/bots/{botId}/chat",status="202"}'] == 1
    assert before['clawbot_auth_failures_total{reason="unauthenticated"}'] == 1
    assert before["clawbot_sse_streams"] == 1
    assert before['clawbot_queue_depth{queue="inbound"}'] >= 0 and before['clawbot_dead_letters_total{queue="replies"}'] == 0
    assert sum(value for name, value in before.items() if name.startswith("clawbot_agent_active")) == 1
    assert bot not in str(before) and "/agent/v1/" not in str(before).replace("/agent/v1/*", "")
    stream.close()
    eventually(lambda: metrics(server)["clawbot_sse_streams"] == 0, 10)
    # What a proxy on this machine passes on does not come from this machine.
    assert requests.get(server.base + "/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 404
    tools = admin.get("/api/bots/available-tools").json()
    assert {tool["name"] for tool in tools["mcpTools"]} >= {"mcp__clawbot__send_file", "mcp__clawbot__schedule_task"}


def test_with_a_token_only_the_token_opens_the_metrics(tmp_path):
    token = "ops-" + "x" * 40
    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_OPS_TOKEN": token}).start()
    try:
        assert "clawbot_queue_depth" in str(metrics(server, Authorization=f"Bearer {token}"))
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}):
            assert requests.get(server.base + "/metrics", headers=headers).status_code == 404
    finally:
        server.stop()
