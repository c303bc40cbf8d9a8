"""Malformed, oversized and hostile requests: the right status, a problem document, and the server stays up."""

import json

import requests


def problem(answer, status, slug):
    assert answer.status_code == status, (answer.status_code, answer.text)
    body = answer.json()
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert body["type"] == f"urn:clawbot:problem:{slug}" and body["detail"]
    assert answer.headers["X-Request-Id"]
    return body


def test_bodies(server, admin):
    bot = admin.bot("Claw")
    raw = lambda data, kind="application/json": requests.post(
        server.base + "/api/bots", data=data, headers={"Authorization": f"Bearer {admin.token}", "Content-Type": kind})
    problem(raw(b"{"), 400, "malformed-json")
    problem(raw(b'{"name":"\xff"}'), 400, "malformed-json")
    problem(raw(b"[" * 10000), 400, "malformed-json")
    problem(raw(b'{"name":"a","name":"b"}'), 400, "malformed-json")
    problem(raw(b"name=a", "text/plain"), 415, "unsupported-media-type")
    problem(raw(b'{"name":"' + b"x" * (10 << 20) + b'"}'), 413, "payload-too-large")
    body = problem(admin.post("/api/bots", {"name": "x", "nonsense": 1, "containerConfig": {"maxTurns": 0}}), 400, "validation-failed")
    assert {"nonsense", "containerConfig.maxTurns"} <= {e["field"] for e in body["errors"]}
    problem(admin.post("/api/bots", {"name": "a\u202eb\u0000"}), 400, "validation-failed")
    problem(admin.post(f"/api/bots/{bot}/chat", {"content": "x" * 40000}), 400, "validation-failed")
    problem(admin.post(f"/api/bots/{bot}/chat", {"content": "x", "conversationId": "../../x"}), 400, "validation-failed")
    assert admin.get("/api/me").status_code == 200


def test_tokens(server, admin):
    for token in ["", "x", "a.b.c", admin.token[:-3] + "abc", "eyJhbGciOiJub25lIn0." + admin.token.split(".")[1] + "."]:
        answer = requests.get(server.base + "/api/me", headers={"Authorization": f"Bearer {token}"})
        problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert requests.get(server.base + f"/api/me?access_token={admin.token}").status_code == 401


def test_wrong_passwords_look_alike_and_lock(server):
    login = lambda email: requests.post(server.base + "/auth/login", json={"email": email, "password": "wrong wrong wrong"})
    known, unknown = login("admin@example.test"), login("nobody@example.test")
    assert known.json() == unknown.json() and known.status_code == unknown.status_code == 401
    codes = [login("nobody@example.test").status_code for _ in range(6)]
    assert codes[-1] == 429, codes


def test_path_tricks_never_leave_the_bots_root(server, admin):
    bot = admin.bot("Claw")
    for key in ["../x", "a/../../b", "/etc/passwd", "a\\b", "a//b", ".", "a/./b", "%2e%2e/x", "a\u0000b", "x" * 2000]:
        answer = admin.get(f"/api/bots/{bot}/files/raw", params={"key": key})
        assert answer.status_code in (400, 404), (key, answer.status_code)
    for group in ["web%3A..%2F..", "tg%3A%2e%2e", "nonsense", "web:%00"]:
        assert admin.get(f"/api/bots/{bot}/groups/{group}/messages").status_code == 404


def test_unknown_routes_and_methods(server, admin):
    problem(admin.get("/api/nothing"), 404, "not-found")
    answer = admin.request("PATCH", "/api/me", {})
    problem(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]
    for path in ["/api/admin/users", "/api/admin/nothing"]:
        assert requests.get(server.base + path).status_code == 401


def test_a_double_click_makes_one_bot_and_one_message(server, admin):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: admin.server.sign_in().post("/api/bots", {"name": "Twice"}, headers={"Idempotency-Key": "click-1"}), range(2)))
    assert all(a.status_code in (201, 409) for a in answers)
    assert len([b for b in admin.get("/api/bots").json()["items"] if b["name"] == "Twice"]) == 1
    bot = admin.get("/api/bots").json()["items"][0]["botId"]
    first = admin.post(f"/api/bots/{bot}/chat", {"content": "Hello!"}, headers={"Idempotency-Key": "click-2"})
    again = admin.post(f"/api/bots/{bot}/chat", {"content": "Hello!"}, headers={"Idempotency-Key": "click-2"})
    assert first.json()["messageId"] == again.json()["messageId"] and again.headers.get("Idempotency-Replayed") == "true"


def test_nothing_internal_is_ever_said(server, admin):
    for path in ["/api/bots/x", "/api/bots?cursor=x", "/api/usage?month=13", "/api/bots?limit=100000", "/blob/x", "/webhook/telegram/x"]:
        text = admin.get(path).text
        for word in ["/root", "/work", str(server.directory), "sqlite", "SQL", "Swift", ".swift", "GRDB"]:
            assert word not in text, (path, word, text)
