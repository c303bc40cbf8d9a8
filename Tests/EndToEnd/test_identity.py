"""Sign-in as people, operators and attackers meet it: the built binary, over HTTP and at the terminal."""

import base64
import concurrent.futures
import hashlib
import hmac
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import time

import jwt
import pytest
import requests

from clawbot import BINARY, PASSWORD, Clawbot, Client, eventually, free_port

NEW = "quiet-lantern-orbit-52"


def post(server, path, body, token=None, **more):
    head = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(server.base + path, json=body, headers=head, timeout=30, **more)


def login(server, email="admin@example.test", password=PASSWORD):
    return post(server, "/auth/login", {"email": email, "password": password})


def slug(answer):
    return answer.json()["type"].rsplit(":", 1)[1]


def totp(secret, shift=0):
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + shift), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06d}"


def operator(server, *arguments, code=0):
    done = subprocess.run([BINARY, "admin", "user", *arguments], env=server.env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done


def test_discovery_and_keys_verify_our_tokens(server):
    found = requests.get(server.base + "/.well-known/openid-configuration").json()
    assert found["issuer"] == server.base and "token_endpoint" not in found
    pair = login(server).json()
    key = jwt.PyJWKClient(found["jwks_uri"]).get_signing_key_from_jwt(pair["accessToken"])
    claims = jwt.decode(pair["accessToken"], key.key, algorithms=["RS256"], audience="clawbot", issuer=server.base)
    assert claims["token_use"] == "access" and claims["groups"] == ["clawbot-admins"] and claims["exp"] - claims["iat"] <= 900
    keys = requests.get(found["jwks_uri"]).json()["keys"]
    assert all(k["kty"] == "RSA" and "d" not in k for k in keys)


def test_forged_and_foreign_tokens_open_nothing(server):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pair = login(server).json()
    good = pair["accessToken"]
    head, claims = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    own = rsa.generate_private_key(65537, 2048)
    published = jwt.PyJWKClient(server.base + "/auth/.well-known/jwks.json").get_signing_key(head["kid"]).key
    pem = published.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    text = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': head['kid']})}.{part(claims)}"
    hs256 = text + "." + base64.urlsafe_b64encode(hmac.new(pem, text.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    forged = [
        jwt.encode(claims, None, algorithm="none", headers={"kid": head["kid"]}),
        hs256,
        jwt.encode(claims, own, algorithm="RS256", headers={"kid": head["kid"]}),
        jwt.encode(claims, own, algorithm="RS256", headers={"kid": "unknown"}),
        jwt.encode(claims, own, algorithm="RS512", headers={"kid": head["kid"]}),
        jwt.encode({**claims, "iss": "https://evil.example"}, own, algorithm="RS256", headers={"kid": head["kid"]}),
        good.rsplit(".", 1)[0] + ".", good[:-4] + "AAAA", pair["refreshToken"], "x" * 9000, "",
    ]
    routes = [("GET", "/api/me"), ("GET", "/api/bots"), ("GET", "/api/admin/users"), ("POST", "/auth/admin/users"), ("GET", "/auth/session"), ("GET", "/auth/totp")]
    for token in forged:
        for method, path in routes:
            answer = requests.request(method, server.base + path, headers={"Authorization": f"Bearer {token}"}, json={} if method == "POST" else None)
            assert answer.status_code in (401, 431), (token[:40], path, answer.status_code)
            if answer.status_code == 401:
                assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert requests.get(server.base + "/api/me?access_token=" + good).status_code == 401
    assert requests.get(server.base + "/api/me", cookies={"access_token": good}).status_code == 401
    assert requests.get(server.base + "/api/me", headers={"Authorization": f"Bearer {good}"}).status_code == 200


def test_refresh_rotates_and_reuse_ends_the_session(server):
    a = login(server).json()
    b = post(server, "/auth/refresh", {"refreshToken": a["refreshToken"]}).json()
    superseded = post(server, "/auth/refresh", {"refreshToken": a["refreshToken"]})
    assert superseded.status_code == 401 and slug(superseded) == "token-superseded"
    c = post(server, "/auth/refresh", {"refreshToken": b["refreshToken"]}).json()
    reused = post(server, "/auth/refresh", {"refreshToken": a["refreshToken"]})
    assert reused.status_code == 401 and slug(reused) == "token-reused"
    assert post(server, "/auth/refresh", {"refreshToken": c["refreshToken"]}).status_code == 401


def test_two_tabs_refresh_at_once(server):
    pair = login(server).json()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(server, "/auth/refresh", {"refreshToken": pair["refreshToken"]}), range(8)))
    winners = [a for a in answers if a.status_code == 200]
    assert len(winners) == 1
    assert {slug(a) for a in answers if a.status_code != 200} == {"token-superseded"}
    assert post(server, "/auth/refresh", {"refreshToken": winners[0].json()["refreshToken"]}).status_code == 200


@pytest.mark.parametrize("email", ["admin@example.test", "nobody@example.test"])
def test_brute_force_meets_a_closed_door_known_or_not(server, email):
    answers = [login(server, email, f"wrong wrong wrong {i}") for i in range(7)]
    assert [a.status_code for a in answers] == [401] * 5 + [429] * 2
    assert {slug(a) for a in answers[:5]} == {"invalid-credentials"} and slug(answers[5]) == "too-many-attempts"
    assert len({a.json()["detail"] for a in answers[:5]}) == 1
    assert 1 <= int(answers[5].headers["Retry-After"]) <= 60
    assert login(server, email).status_code == 429
    if email == "admin@example.test":
        operator(server, "unlock", email)
        assert login(server, email).status_code == 200


def test_accounts_over_the_issuers_own_routes(server, admin):
    made = admin.post("/auth/admin/users", {"email": "New@example.test"})
    assert made.status_code == 201 and set(made.json()) == {"userId", "email", "temporaryPassword"}
    assert slug(admin.post("/auth/admin/users", {"email": "new@example.test"})) == "already-exists"
    assert admin.post("/auth/admin/users", {"email": "x@example.test", "plan": "pro"}).status_code == 400
    user = made.json()["userId"]
    first = login(server, "new@example.test", made.json()["temporaryPassword"]).json()
    assert first["challengeName"] == "NEW_PASSWORD_REQUIRED"
    for path in ("/api/me", "/auth/session"):
        assert requests.get(server.base + path, headers={"Authorization": "Bearer " + first["challengeToken"]}).status_code == 401
    assert post(server, "/auth/change-password", {"challengeToken": first["challengeToken"], "newPassword": PASSWORD, "userId": "x"}).status_code == 400
    pair = post(server, "/auth/change-password", {"challengeToken": first["challengeToken"], "newPassword": PASSWORD}).json()
    assert post(server, "/auth/change-password", {"challengeToken": first["challengeToken"], "newPassword": NEW}).status_code == 401
    mine = Client(server, pair["accessToken"], "new@example.test", PASSWORD)
    assert mine.get("/api/me").status_code == 200
    assert mine.post("/auth/admin/users", {"email": "y@example.test"}).status_code == 403
    assert requests.post(server.base + "/auth/admin/users", json={}).status_code == 401
    assert admin.put(f"/auth/admin/users/{user}/status", {"status": "suspended"}).json() == {"userId": user, "status": "suspended"}
    assert mine.get("/api/me").status_code == 403
    assert slug(login(server, "new@example.test")) == "account-suspended"
    assert slug(login(server, "new@example.test", "wrong wrong wrong")) == "invalid-credentials"
    assert admin.put(f"/auth/admin/users/{user}/status", {"status": "active"}).status_code == 200
    assert mine.get("/api/me").status_code == 401
    temporary = admin.post(f"/auth/admin/users/{user}/reset-password").json()["temporaryPassword"]
    assert login(server, "new@example.test", temporary).json()["challengeName"] == "NEW_PASSWORD_REQUIRED"
    me = admin.get("/api/me").json()["userId"]
    assert slug(admin.delete(f"/auth/admin/users/{me}")) == "self-modification"
    assert admin.delete(f"/auth/admin/users/{user}").status_code == 204
    assert admin.delete(f"/auth/admin/users/{user}").status_code == 404
    assert admin.put("/auth/admin/users/..%2fx/status", {"status": "active"}).status_code == 404
    assert slug(login(server, "new@example.test")) == "invalid-credentials"


def test_logout_everywhere_ends_access_tokens(server, admin):
    client = server.new_user(admin, "ann@example.test")
    pair = login(server, "ann@example.test").json()
    assert post(server, "/auth/logout", {"refreshToken": pair["refreshToken"], "everywhere": True}).status_code == 204
    assert client.get("/api/me").status_code == 401
    assert post(server, "/auth/logout", {"refreshToken": "r1.unknown"}).status_code == 204


def test_second_factor_of_a_user(server, admin):
    client = server.new_user(admin, "ann@example.test")
    assert client.get("/auth/totp").json()["enabled"] is False
    assert client.post("/auth/totp/enrol", {"currentPassword": "wrong wrong wrong"}).status_code == 401
    made = client.post("/auth/totp/enrol", {"currentPassword": PASSWORD}).json()
    assert made["secret"] in made["otpauthUri"]
    assert client.post("/auth/totp/confirm", {"code": "000000"}).status_code == 401
    codes = client.post("/auth/totp/confirm", {"code": totp(made["secret"])}).json()["recoveryCodes"]
    assert len(set(codes)) == 10
    step = login(server, "ann@example.test").json()
    assert step["challengeName"] == "TOTP_REQUIRED" and "accessToken" not in step
    assert post(server, "/auth/totp", {"challengeToken": step["challengeToken"], "code": "000000"}).status_code == 401
    pair = post(server, "/auth/totp", {"challengeToken": step["challengeToken"], "code": totp(made["secret"], 1)})
    assert pair.status_code == 200 and "recoveryCodes" not in pair.json()
    step = login(server, "ann@example.test").json()
    assert post(server, "/auth/totp", {"challengeToken": step["challengeToken"], "code": codes[0]}).status_code == 200
    assert client.delete("/auth/totp").status_code == 400
    assert client.request("DELETE", "/auth/totp", {"currentPassword": PASSWORD, "code": codes[1]}).status_code == 204
    assert "accessToken" in login(server, "ann@example.test").json()


def test_an_administrator_must_enrol_where_that_is_required(tmp_path):
    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_IDENTITY_ADMIN_SECOND_FACTOR": "required"}).start()
    try:
        step = login(server).json()
        assert step["challengeName"] == "TOTP_ENROLMENT_REQUIRED"
        assert requests.get(server.base + "/api/me", headers={"Authorization": "Bearer " + step["challengeToken"]}).status_code == 401
        made = post(server, "/auth/totp/enrol", {"challengeToken": step["challengeToken"]}).json()
        pair = post(server, "/auth/totp", {"challengeToken": step["challengeToken"], "code": totp(made["secret"])}).json()
        assert len(pair["recoveryCodes"]) == 10
        assert requests.get(server.base + "/api/admin/users", headers={"Authorization": "Bearer " + pair["accessToken"]}).status_code == 200
        assert login(server).json()["challengeName"] == "TOTP_REQUIRED"
        operator(server, "reset-totp", "admin@example.test")
        assert login(server).json()["challengeName"] == "TOTP_ENROLMENT_REQUIRED"
    finally:
        server.stop()


@pytest.mark.parametrize("running", [True, False])
def test_the_operator_looks_after_accounts(tmp_path, running):
    server = Clawbot(tmp_path / "clawbot").start()
    if not running:
        assert server.stop() == 0
    try:
        made = json.loads(operator(server, "add", "Ann@example.test", "--plan", "pro", "--name", "Ann", "--json").stdout)
        assert made["email"] == "ann@example.test" and made["plan"] == "pro" and made["temporaryPassword"]
        assert "exists already" in operator(server, "add", "ann@example.test", code=1).stderr
        assert "e-mail" in operator(server, "add", "nonsense", code=1).stderr
        assert "no user" in operator(server, "show", "nobody@example.test", code=1).stderr
        assert {u["email"] for u in json.loads(operator(server, "list", "--json").stdout)} == {"ann@example.test", "admin@example.test"}
        assert json.loads(operator(server, "suspend", "ann@example.test", "--json").stdout)["status"] == "suspended"
        assert json.loads(operator(server, "activate", made["userId"], "--json").stdout)["status"] == "active"
        assert json.loads(operator(server, "set-plan", "ann@example.test", "enterprise", "--json").stdout)["plan"] == "enterprise"
        assert "last active administrator" in operator(server, "set-admin", "admin@example.test", "no", code=1).stderr
        assert json.loads(operator(server, "set-admin", "ann@example.test", "yes", "--json").stdout)["isAdmin"] is True
        temporary = json.loads(operator(server, "reset-password", "ann@example.test", "--json").stdout)["temporaryPassword"]
        assert operator(server, "delete", "ann@example.test", code=64)
        if not running:
            server.start()
        assert login(server, "ann@example.test", temporary).json()["challengeName"] == "NEW_PASSWORD_REQUIRED"
        if running:
            path = tmp_path / "clawbot/data/operator.sock"
            assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                line.sendall(b"nonsense\n")
                assert "does not know" in line.makefile().readline()
        operator(server, "delete", "ann@example.test", "--yes")
        assert slug(login(server, "ann@example.test", temporary)) == "invalid-credentials"
    finally:
        server.stop()


class Issuer(Clawbot):
    """One `clawbot auth`."""

    def start(self, wait=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, "auth"], env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        if wait:
            self.wait_ready()
        return self


@pytest.fixture
def pair(tmp_path):
    issuer = Issuer(tmp_path / "auth").start()
    platform = Clawbot(tmp_path / "serve", env={"CLAWBOT_IDENTITY_REMOTE": issuer.base}).start()
    yield issuer, platform
    platform.stop()
    issuer.stop()


def test_a_separate_issuer_signs_in_for_serve(pair):
    issuer, platform = pair
    assert requests.get(issuer.base + "/ready").json()["status"] == "ready"
    assert requests.get(issuer.base + "/api/me").status_code == 404 and requests.get(issuer.base + "/").status_code == 404
    for path in ("/auth/.well-known/jwks.json", "/.well-known/openid-configuration"):
        assert requests.get(platform.base + path).status_code == 404
    assert login(platform).status_code == 404
    config = requests.get(platform.base + "/api/config").json()
    assert config["authMode"] == "oidc" and config["issuer"] == issuer.base

    admin = Client(platform, login(issuer).json()["accessToken"], "admin@example.test", PASSWORD)
    assert admin.get("/api/me").json()["isAdmin"] is True
    made = admin.post("/api/admin/users", {"email": "ann@example.test", "plan": "pro"})
    assert made.status_code == 201, made.text
    assert slug(admin.post("/api/admin/users", {"email": "ann@example.test"})) == "already-exists"
    user = made.json()["userId"]
    step = login(issuer, "ann@example.test", made.json()["temporaryPassword"]).json()
    tokens = post(issuer, "/auth/change-password", {"challengeToken": step["challengeToken"], "newPassword": PASSWORD}).json()
    ann = Client(platform, tokens["accessToken"], "ann@example.test", PASSWORD)
    assert ann.get("/api/me").json()["plan"] == "pro" and ann.get("/api/admin/users").status_code == 403
    bot = ann.bot()
    assert ann.chat(bot).reply("Hello!")

    # Through serve: at once on both sides.
    assert admin.put(f"/api/admin/users/{user}/status", {"status": "suspended"}).status_code == 200
    assert ann.get("/api/me").status_code == 403
    assert slug(login(issuer, "ann@example.test")) == "account-suspended"
    assert admin.put(f"/api/admin/users/{user}/status", {"status": "active"}).status_code == 200
    ann.token = login(issuer, "ann@example.test").json()["accessToken"]
    assert ann.get("/api/me").status_code == 200

    # At the issuer: within five seconds in serve.
    again = login(issuer, "ann@example.test").json()
    assert post(issuer, "/auth/logout", {"refreshToken": again["refreshToken"], "everywhere": True}).status_code == 204
    eventually(lambda: ann.get("/api/me").status_code == 401, 20)
    assert "run this with the configuration" in operator(platform, "suspend", "ann@example.test", code=1).stderr
    assert json.loads(operator(issuer, "set-admin", "ann@example.test", "yes", "--json").stdout)["isAdmin"] is True
    ann.token = login(issuer, "ann@example.test").json()["accessToken"]
    assert ann.get("/api/admin/users").status_code == 200

    assert admin.delete(f"/api/admin/users/{user}").status_code == 204
    assert ann.get("/api/me").status_code == 401 and slug(login(issuer, "ann@example.test")) == "invalid-credentials"

    # Known people are still let in while the issuer restarts; nothing is changed behind its back.
    assert admin.get("/api/me").status_code == 200
    issuer.kill()
    assert admin.get("/api/me").status_code == 200
    assert admin.post("/api/admin/users", {"email": "bob@example.test"}).status_code == 502
    issuer.start()
    assert admin.post("/api/admin/users", {"email": "bob@example.test"}).status_code == 201


def test_bad_configurations_say_what_is_wrong(tmp_path):
    port = free_port()
    for env, word in [
        ({"CLAWBOT_IDENTITY_REMOTE": "http://issuer.example.com"}, "https"),
        ({"CLAWBOT_IDENTITY_REMOTE": f"http://127.0.0.1:{port}"}, "own address"),
        ({"CLAWBOT_IDENTITY_REMOTE": "not a url"}, "identity.remote"),
        ({"CLAWBOT_IDENTITY_ADMIN_SECOND_FACTOR": "maybe"}, "identity.adminSecondFactor"),
    ]:
        server = Clawbot(tmp_path / "clawbot", env=env, port=port).start(wait=False)
        assert server.process.wait(60) == 78 and word in server.output(), (env, server.output()[-500:])
    issuer = Issuer(tmp_path / "auth", env={"CLAWBOT_IDENTITY_REMOTE": "http://127.0.0.1:1"})
    issuer.start(wait=False)
    assert issuer.process.wait(60) == 78 and "identity.remote" in issuer.output()
