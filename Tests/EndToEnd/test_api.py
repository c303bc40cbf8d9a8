"""The HTTP contract (API.md §8) against the built binary. What can be, is driven by /api/openapi.json, so that a new route is covered by itself."""

import json
import re
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from clawbot import Clawbot, eventually
from test_skills import library as skill_in_library

NOTHING = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
ULID = re.compile(r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Clawbot(tmp_path_factory.mktemp("api") / "clawbot").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def admin(server):
    return server.sign_in()


@pytest.fixture(scope="module")
def spec(server):
    return requests.get(server.base + "/api/openapi.json").json()


@pytest.fixture(scope="module")
def tenants(server, admin):
    return server.new_user(admin, "api-a@example.test"), server.new_user(admin, "api-b@example.test")


@pytest.fixture(scope="module")
def estate(tenants):
    """A's bot with one of everything that has an id."""
    a, _ = tenants
    bot = a.bot("Estate")
    chat = a.chat(bot)
    chat.reply("Hello!")
    message = chat.messages()[0]["messageId"]
    task = a.post(f"/api/bots/{bot}/tasks", {"groupJid": "web:main", "prompt": "p", "scheduleType": "interval", "scheduleValue": "3600000"}).json()
    rule = a.post("/api/proxy-rules", {"name": "n", "prefix": "/estate", "target": "https://api.example.com", "authType": "bearer", "value": "CANARY-VALUE"}).json()
    for path in ("/api/shared-memory", f"/api/bots/{bot}/memory", f"/api/bots/{bot}/groups/web%3Amain/memory"):
        assert a.put(path, {"content": "CANARY-MEMORY"}).status_code == 200
    version = a.get(f"/api/bots/{bot}/memory/versions").json()["items"][0]["versionId"]
    a.request("PUT", f"/api/bots/{bot}/files/raw?key=a.txt", data=b"CANARY-FILE")
    tool = a.post(f"/api/bots/{bot}/mcp-servers/custom", {"name": "estate", "type": "stdio", "command": "estate-server"})
    assert tool.status_code == 201, tool.text
    return {"botId": bot, "groupJid": "web%3Amain", "messageId": message, "taskId": task["taskId"], "channelType": "web", "id": rule["id"], "versionId": version,
            "mcpServerId": tool.json()["mcpServerId"]}


def operations(spec, prefix=""):
    return [(method.upper(), path, op) for path, item in spec["paths"].items() for method, op in item.items() if path.startswith(prefix)]


def fill(path, ids):
    return re.sub(r"{(\w+)}", lambda m: ids.get(m.group(1), NOTHING), path)


def query_of(op):
    """The required query parameters of an operation, with something plausible."""
    known = {"key": "a.txt", "userId": "platform"}
    names = [p["name"] for p in op.get("parameters", []) if p["in"] == "query" and p.get("required")]
    return {name: known.get(name, "x") for name in names}


def snapshot(client, ids):
    bot = ids["botId"]
    paths = ["", "/channels", "/groups", "/groups/web%3Amain/messages", "/tasks", "/memory", "/memory/versions", "/files", "/files/raw?key=a.txt"]
    return [client.get(f"/api/bots/{bot}{p}").text for p in paths] + [client.get(p).text for p in ("/api/proxy-rules", "/api/shared-memory")]


# 1 ------------------------------------------------------------------------------------------------------------------


def test_1_another_tenants_id_is_the_same_404_as_a_random_one_on_every_route(server, spec, tenants, estate, admin):
    """SEC-15: no route reaches beyond its caller, and none tells that there is something beyond"""
    a, b = tenants
    before = snapshot(a, estate)
    tried = 0
    for method, path, op in operations(spec, "/api/"):
        if "{" not in path or path.startswith("/api/admin/"):
            continue
        for client in (b, admin):
            theirs = client.request(method, fill(path, estate), {"nonsense": 1}, params=query_of(op))
            nobody = client.request(method, fill(path, {k: v for k, v in estate.items() if k in ("groupJid", "channelType")}), {"nonsense": 1}, params=query_of(op))
            assert theirs.status_code == nobody.status_code == 404, (method, path, theirs.status_code, nobody.status_code, theirs.text)
            assert theirs.json() == nobody.json(), (method, path)
        tried += 1
    assert tried > 35
    assert snapshot(a, estate) == before


def test_1_malformed_ids_in_paths_are_404(spec, tenants, estate):
    a, _ = tenants
    for method, path, op in operations(spec, "/api/bots/{botId}"):
        for wrong in ("..%2F..", "x", "%00", "01ARZ3NDEKTSV4RRFFQ69G5FA%2A", "%ff", "a" * 300):
            assert a.request(method, fill(path, {**estate, "botId": wrong}), {}, params=query_of(op)).status_code == 404, (method, path, wrong)


# 3 ------------------------------------------------------------------------------------------------------------------


def schema_of(op):
    return op.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")


def test_3_each_json_route_refuses_unknown_fields_wrong_types_and_empty_merges(spec, tenants, estate, admin):
    a, _ = tenants
    provider = admin.post("/api/admin/providers", {"providerName": "Contract", "providerType": "demo", "modelIds": ["m"]}).json()["providerId"]
    user = admin.get("/api/admin/users?query=api-b").json()["items"][0]["userId"]
    library = admin.post("/api/admin/mcp-servers", {"name": "contract", "type": "stdio", "command": "contract-server"}).json()["mcpServerId"]
    ids = {**estate, "providerId": provider, "userId": user, "skillId": skill_in_library(admin, "contract", "Keep it.")}
    tried = 0
    for method, path, op in operations(spec, "/api/"):
        schema = schema_of(op)
        if not schema or "dead-letters" in path:
            continue
        client = admin if path.startswith("/api/admin/") else a
        url = fill(path, {**ids, "mcpServerId": library} if client is admin else ids)

        def refused(body, field):
            answer = client.request(method, url, body)
            assert answer.status_code == 400 and answer.json()["type"].endswith("validation-failed"), (method, path, body, answer.status_code, answer.text)
            assert any(e["field"].startswith(field) for e in answer.json()["errors"]), (method, path, field, answer.text)

        refused({"nonsense": 1}, "nonsense")
        if schema.get("minProperties"):
            refused({}, "body")
        for name, inner in schema.get("properties", {}).items():
            refused({name: "no list" if inner.get("type") == "array" else [[]]}, name)
            if inner.get("type") == "string" and "maxLength" in inner and inner["maxLength"] < 120_000:
                refused({name: "x" * (inner["maxLength"] + 1)}, name)
        tried += 1
    assert tried > 20


# 4 ------------------------------------------------------------------------------------------------------------------

TRICKS = ["../x", "a/../b", "/x", "%2e%2e/x", "a\\b", "a\0b", "..%2fx", "a//b", ".", "..", "a/./b", "x" * 1025]


@pytest.mark.parametrize("key", TRICKS)
def test_4_tricks_in_keys_never_leave_the_bots_root(tenants, estate, key):
    a, b = tenants
    root = f"/api/bots/{estate['botId']}/files"
    # `requests` encodes: a percent sign arrives as one, so those two are plain names that do not exist.
    expected = 404 if "%" in key else 400
    for method, path in (("GET", "/raw"), ("GET", "/content"), ("GET", "/download-url"), ("DELETE", "")):
        assert a.request(method, root + path, params={"key": key}).status_code == expected, (method, path)
    if expected == 400:
        assert a.request("PUT", root + "/raw", params={"key": key}, data=b"x").status_code == 400
        assert a.post(root + "/upload-url", {"key": key, "size": 1}).status_code == 400
        assert a.post(f"/api/bots/{estate['botId']}/chat", {"content": "x", "attachments": [{"key": key}]}).status_code == 400
        assert a.get(root, params={"prefix": key + "/"}).status_code == 400
    names = [item["key"] for item in a.get(root).json()["items"]]
    assert set(names) <= {"CLAUDE.md", "a.txt", "attachments/", "learnings/", "sessions/", "workspace/"}, names


# 5 ------------------------------------------------------------------------------------------------------------------


def test_5_no_answer_tells_anything_internal_or_a_secret(server, spec, tenants, estate, admin):
    a, _ = tenants
    words = ["/root", "/work", "/home/", "/var/", "/tmp/", str(server.directory), "sqlite", "SQLite", "GRDB", ".swift", "Fatal", "arn:", "CANARY-VALUE", "master.key"]
    bodies = ["{", "[]", '{"a":' * 40, '{"name":"\\ud800"}', '"x"', "\xff", json.dumps({"name": "x" * 5000}), json.dumps({"apiKey": "CANARY-VALUE", "credentials": {"botToken": "CANARY-VALUE"}})]
    for method, path, op in operations(spec):
        if path.startswith(("/invocations", "/stop", "/ping")) or path.endswith("/chat/events"):
            continue
        url = server.base + fill(path, {**estate, "botId": estate["botId"] if method == "GET" else NOTHING})
        for body in bodies if method != "GET" else bodies[:1]:
            for token in (a.token, admin.token, "x"):
                head = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": "!", "If-Match": "x", "Range": "bytes=9-1"}
                answer = requests.request(method, url, data=body.encode("latin-1") if method != "GET" else None, headers=head, params={"limit": "x", "cursor": "x", "key": "../x"}, timeout=30)
                assert answer.status_code < 500 or answer.status_code == 503, (method, path, answer.status_code, answer.text)
                assert "X-Request-Id" in answer.headers, (method, path)
                text = answer.text if "openapi" not in path and "javascript" not in answer.headers.get("Content-Type", "") else ""
                for word in words:
                    assert word not in text, (method, path, word, text[:300])


# 7 ------------------------------------------------------------------------------------------------------------------


def test_7_the_same_message_five_times_at_once_is_one_message_and_one_answer(tenants):
    a, _ = tenants
    bot = a.bot("Five")
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: requests.post(
            a.server.base + f"/api/bots/{bot}/chat", json={"content": "Hello!"}, headers={"Authorization": f"Bearer {a.token}", "Idempotency-Key": key}), range(5)))
    assert {x.status_code for x in answers} <= {202, 409}, [x.text for x in answers]
    chat = a.chat(bot)
    first = next(x.json()["messageId"] for x in answers if x.status_code == 202)
    eventually(lambda: chat.state(first) == "answered", 60)
    rows = chat.messages()
    assert len([m for m in rows if not m["isBotMessage"]]) == 1 and len([m for m in rows if m["isBotMessage"]]) == 1, rows


# 8 ------------------------------------------------------------------------------------------------------------------


def test_8_a_trigger_is_a_literal_whatever_it_looks_like(tenants):
    a, _ = tenants
    bot = a.bot("Literal", triggerPattern="(a+)+$")
    assert a.get(f"/api/bots/{bot}").json()["triggerPattern"] == "(a+)+$"


# 10 -----------------------------------------------------------------------------------------------------------------


def test_10_parallel_creates_at_the_limit_give_exactly_one(server, admin):
    c = server.new_user(admin, "api-c@example.test", plan="free")
    c.bot("first")
    head = {"Authorization": f"Bearer {c.token}"}
    with ThreadPoolExecutor(12) as pool:
        codes = list(pool.map(lambda i: requests.post(server.base + "/api/bots", json={"name": f"n{i}"}, headers=head).status_code, range(12)))
    assert sorted(codes) == [201] + [403] * 11, codes
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda i: requests.post(
            server.base + "/api/admin/providers", json={"providerName": f"D{i}", "providerType": "demo", "modelIds": ["m"], "isDefault": True},
            headers={"Authorization": f"Bearer {admin.token}"}).status_code, range(6)))
    assert set(made) == {201}
    providers = admin.get("/api/admin/providers?limit=200").json()["items"]
    assert len([p for p in providers if p["isDefault"]]) == 1
    demo = next(p for p in providers if p["providerName"] == "Demo")
    assert admin.put(f"/api/admin/providers/{demo['providerId']}", {"isDefault": True}).status_code == 200


# 12 -----------------------------------------------------------------------------------------------------------------


def test_12_a_stale_tag_changes_nothing_and_a_replayed_key_makes_one_thing(spec, tenants, estate):
    a, _ = tenants
    path = f"/api/bots/{estate['botId']}/memory"
    tag = a.get(path).headers["ETag"]
    assert a.put(path, {"content": "newer"}, headers={"If-Match": tag}).status_code == 200
    assert a.put(path, {"content": "lost"}, headers={"If-Match": tag}).status_code == 412
    assert a.put(path, {"content": "lost"}, headers={"If-None-Match": "*"}).status_code == 412
    assert a.get(path).json()["content"] == "newer"
    assert a.get(path, headers={"If-None-Match": a.get(path).headers["ETag"]}).status_code == 304
    versions = a.get(path + "/versions").json()["items"]
    assert [v["by"] for v in versions[:2]] == ["owner", "owner"] and "lost" not in json.dumps([a.get(f"{path}/versions/{v['versionId']}").json() for v in versions])
    file = f"/api/bots/{estate['botId']}/files/raw?key=tag.txt"
    first = a.request("PUT", file, data=b"1")
    assert a.request("PUT", file, data=b"2", headers={"If-Match": first.headers["ETag"]}).status_code == 200
    assert a.request("PUT", file, data=b"3", headers={"If-Match": first.headers["ETag"]}).status_code == 412
    assert a.get(file).content == b"2"
    a.delete(f"/api/bots/{estate['botId']}/files?key=tag.txt")
    bodies = {
        "/api/bots": {"name": "Replayed"},
        "/api/proxy-rules": {"name": "n", "prefix": "/replayed", "target": "https://api.example.com", "authType": "basic", "value": "CANARY-VALUE"},
        f"/api/bots/{estate['botId']}/tasks": {"groupJid": "web:main", "prompt": "p", "scheduleType": "interval", "scheduleValue": "3600000"},
    }
    for target, body in bodies.items():
        key = {"Idempotency-Key": uuid.uuid4().hex}
        one, two = a.post(target, body, headers=key), a.post(target, body, headers=key)
        assert one.status_code == two.status_code == 201 and one.json() == two.json(), (target, one.text, two.text)
        assert two.headers["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in one.headers
        assert a.post(target, {**body, "name": "other", "prompt": "other"} if "tasks" not in target else {**body, "prompt": "other"}, headers=key).status_code in (400, 422)
        assert a.post(target, body, headers={"Idempotency-Key": "not ok!"}).status_code == 400


# 13 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 200])
def test_13_a_list_is_walked_exactly_once_with_any_limit(tenants, estate, limit):
    a, b = tenants
    path = f"/api/bots/{estate['botId']}/files"
    wanted = [f"many/{i:04}.txt" for i in range(60)]
    if limit == 1:
        for key in wanted:
            assert a.request("PUT", f"{path}/raw", params={"key": key}, data=b"x").status_code == 201
    seen, cursor = [], None
    while True:
        page = a.get(path, params={"prefix": "many/", "limit": limit, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["key"] for item in page["items"]]
        cursor = page.get("nextCursor")
        if not cursor:
            break
        assert a.get(path, params={"cursor": cursor}).status_code == 400, "another prefix"
        assert a.get("/api/bots", params={"cursor": cursor}).status_code == 400, "another route"
        assert a.get(path, params={"prefix": "many/", "cursor": cursor + "A"}).status_code == 400
    assert seen == wanted
    if limit == 200:
        for key in wanted:
            a.delete(path, params={"key": key})


def test_13_every_list_takes_limit_and_cursor(spec, tenants, estate, admin):
    a, _ = tenants
    tried = 0
    for method, path, op in operations(spec, "/api/"):
        names = {p["name"] for p in op.get("parameters", [])}
        if method != "GET" or not {"limit", "cursor"} <= names:
            continue
        client = admin if path.startswith("/api/admin/") else a
        good = client.get(fill(path, estate), params={**query_of(op), "limit": 1})
        assert good.status_code == 200 and len(good.json()["items"]) <= 1, (path, good.text)
        for wrong in ({"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "a.b"}):
            assert client.get(fill(path, estate), params={**query_of(op), **wrong}).status_code == 400, (path, wrong)
        tried += 1
    assert tried >= 18


# 14 -----------------------------------------------------------------------------------------------------------------


def test_14_no_cors_for_strangers_and_413_before_the_body(server, spec, tenants):
    a, _ = tenants
    for origin in ("https://evil.example", "null", server.base):
        for method in ("GET", "OPTIONS"):
            answer = requests.request(method, server.base + "/api/config", headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
            assert not [h for h in answer.headers if h.lower().startswith("access-control")], (method, origin)
    for path, size in (("/api/bots", 300_000), (f"/api/bots/{NOTHING}/files/raw?key=x", (100 << 20) + 1), ("/api/shared-memory", 600_000)):
        method = "POST" if path == "/api/bots" else "PUT"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            line.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {a.token}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n".encode())
            head = line.recv(65536).decode()
        assert " 413 " in head.split("\r\n")[0] and "x-request-id" in head.lower(), head
    for method, path, _ in operations(spec):
        if path in ("/invocations", "/stop", "/ping"):
            continue
        answer = requests.request("TRACE" if "{" in path else "PATCH", server.base + fill(path, {}), headers={"X-Request-Id": "test.1-a"})
        assert answer.headers["X-Request-Id"] == "test.1-a", path


@pytest.mark.parametrize("request_line, status, slug", [
    ("GET /" + "a" * 40_000 + " HTTP/1.1", 431, "headers-too-large"), ("GET /api/me HTTP/1.1\r\nX: " + "a" * 40_000, 431, "headers-too-large"),
    ("NO SUCH THING", 400, "validation-failed"), ("GET /api/me HTTP/1.1\r\n: nameless", 400, "validation-failed"), ("\x16\x03\x01\x02\x00", 400, "validation-failed"),
])
def test_what_is_not_http_gets_a_sentence_too(server, request_line, status, slug):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as line:
        line.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode())
        answer = b""
        while part := line.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f" {status} ".encode() in head.split(b"\r\n")[0] and b"x-request-id" in head.lower() and b"application/problem+json" in head, answer
    assert json.loads(body)["type"] == f"urn:clawbot:problem:{slug}" and len(json.loads(body)["detail"]) > 20


# 17 -----------------------------------------------------------------------------------------------------------------


def test_17_html_and_svg_are_never_inline_and_a_link_cannot_be_altered(server, tenants, estate):
    a, _ = tenants
    root = f"/api/bots/{estate['botId']}/files"
    for key, kind in (("p.html", "text/html"), ("p.svg", "image/svg+xml"), ("p.xhtml", "application/xhtml+xml"), ("p.png", "text/html")):
        size = len(b"<script>alert(1)</script>")
        up = a.post(root + "/upload-url", {"key": key, "size": size, "contentType": kind}).json()
        assert requests.put(up["url"], data=b"<script>alert(1)</script>", headers=up["headers"]).status_code == 201
        down = a.get(root + "/download-url", params={"key": key, "disposition": "inline"}).json()
        for answer in (requests.get(down["url"]), a.get(root + "/raw", params={"key": key, "disposition": "inline"})):
            assert answer.status_code == 200 and answer.headers["Content-Disposition"].startswith("attachment"), key
            assert answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Content-Security-Policy"].startswith("sandbox")
            assert "html" not in answer.headers["Content-Type"] and "svg" not in answer.headers["Content-Type"]
        token = up["url"].rsplit("/", 1)[1]
        for i in (4, len(token) // 2, len(token) - 3):
            changed = token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :]
            assert requests.put(f"{server.base}/blob/{changed}", data=b"x" * size, headers=up["headers"]).status_code == 403
        assert requests.put(up["url"], data=b"x" * (size + 1), headers=up["headers"]).status_code == 403
        assert requests.get(up["url"]).status_code == 403
        assert requests.put(down["url"], data=b"x").status_code == 403
        a.delete(root, params={"key": key})


# 18 -----------------------------------------------------------------------------------------------------------------


def test_18_the_document_is_a_whole_openapi_31_document(server, spec):
    assert spec["openapi"].startswith("3.1")
    ids = [op["operationId"] for _, _, op in operations(spec)]
    assert len(ids) == len(set(ids)) and all(op["summary"] for _, _, op in operations(spec))
    references = set(re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(spec)))
    assert references and all(name in spec["components"][part] for part, name in references)
    first = requests.get(server.base + "/api/openapi.json")
    assert requests.get(server.base + "/api/openapi.json", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    for method, path, op in operations(spec):
        placeholders = set(re.findall(r"{(\w+)}", path))
        assert placeholders == {p["name"] for p in op.get("parameters", []) if p["in"] == "path"}, path


# Deletion and suspension, seen from outside -------------------------------------------------------------------------


def test_a_suspended_user_is_out_at_once_and_a_deleted_ones_ids_are_gone(server, admin):
    user = server.new_user(admin, "api-d@example.test")
    bot = user.bot("D")
    user.chat(bot).reply("Hello!")
    assert admin.put(f"/api/admin/users/{user.user_id}/status", {"status": "suspended"}).status_code == 200
    eventually(lambda: user.get("/api/me").status_code in (401, 403), 10)
    assert admin.put(f"/api/admin/users/{user.user_id}/status", {"status": "active"}).status_code == 200
    user = server.sign_in("api-d@example.test")
    assert user.get(f"/api/bots/{bot}").status_code == 200
    assert admin.delete(f"/api/admin/users/{next(u['userId'] for u in admin.get('/api/admin/users?query=api-d').json()['items'])}").status_code == 204
    eventually(lambda: user.get(f"/api/bots/{bot}").status_code == 401, 10)
    assert requests.post(server.base + "/auth/login", json={"email": "api-d@example.test", "password": user.password}).status_code == 401


def test_with_a_retention_of_nothing_a_deleted_bots_files_and_rows_are_gone(tmp_path):
    import sqlite3

    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_RETENTION_DELETED_DAYS": "0"}).start()
    try:
        admin = server.sign_in()
        bot = admin.bot("Ephemeral")
        admin.chat(bot).reply("Hello!")
        admin.put(f"/api/bots/{bot}/memory", {"content": "x"})
        objects = server.directory / "data" / "objects"
        assert [p for p in objects.rglob("*") if bot in str(p)]
        assert admin.delete(f"/api/bots/{bot}").status_code == 204
        # The empty directory may stay: a sandbox may still hold it.
        eventually(lambda: not [p for p in objects.rglob("*") if bot in str(p) and not p.is_dir()], 30)
        database = server.directory / "data" / "clawbot.sqlite"

        def rows():
            left = []
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
                for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'records_%'").fetchall():
                    if table in ("records_tombstones", "records_audit"):
                        continue
                    for row in db.execute(f'SELECT * FROM "{table}"').fetchall():
                        if bot in repr(row):
                            left.append((table, row[:2]))
            return left

        eventually(lambda: not rows(), 30)
    finally:
        server.stop()
