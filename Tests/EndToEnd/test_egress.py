"""What leaves the sandbox: real curl, git and pip through the bot's policy, APIs with stored log-ins, and servers that mean harm."""

import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import uuid
import zipfile

import pytest
import requests

from clawbot import Clawbot, eventually
from fakes import anthropic_environment
from test_tools import call, calls, script, use

# Not in NO_PROXY as 127.0.0.1 is, so that commands go through the proxy.
HOST = "127.0.0.2"
SECRET = "TOP+SECRET/4711=="


class Upstream:
    """A server on loopback that answers as its path says, and notes what it hears."""

    def __init__(self, context=None, files=None):
        self.seen, self.ended = [], threading.Event()
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def __init__(self, *args):
                super().__init__(*args, directory=str(files or "/nonexistent"))

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else b""
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                outer.seen.append({"method": self.command, "path": self.path, "headers": self.headers.items(), "body": body})
                path = self.path.split("?")[0]
                if path.endswith("/echo"):
                    words = "\n".join(f"{name}: {value}" for name, value in self.headers.items()).encode()
                    # In two pieces that tear the secret.
                    at = words.find(SECRET.encode()) + 5
                    self.chunked([words[:at], words[at:], base64.b64encode(SECRET.encode()), b"end"], {"X-Echo": self.headers.get("X-Api-Key", ""), "Set-Cookie": "a=b"})
                elif path.endswith("/redirect"):
                    self.plain(302, b"", {"Location": self.path.split("?to=", 1)[1].replace("KEY", SECRET)})
                elif path.endswith("/gzip"):
                    self.plain(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
                elif path.endswith("/endless"):
                    self.send_response(200)
                    self.end_headers()
                    try:
                        while True:
                            self.wfile.write(b"x" * 65536)
                    except OSError:
                        outer.ended.set()
                    self.close_connection = True
                elif path.endswith("/events"):
                    self.chunked([b"data: 1\n\n", b"data: 2\n\n"], {"Content-Type": "text/event-stream"})
                elif path.endswith("/broken"):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    self.close_connection = True
                elif path.endswith("/post"):
                    self.plain(200, b"%d bytes" % len(body))
                elif files and self.command == "GET" and path.startswith(("/plum.git", "/simple")):
                    super().do_GET()
                else:
                    self.plain(200, b"hello from upstream\n")

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

            def plain(self, status, body, headers=()):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def chunked(self, parts, headers=()):
                self.send_response(200)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for part in parts:
                    if part:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A git repository and a package index, as any web server serves them."""
    root = tmp_path_factory.mktemp("served")
    work = root / "work"
    work.mkdir()
    run = lambda *words, cwd=work: subprocess.run(words, cwd=cwd, check=True, capture_output=True)
    run("git", "init", "-q", "-b", "main")
    (work / "plum.txt").write_text("a fruit\n")
    run("git", "add", ".")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one")
    run("git", "clone", "-q", "--bare", str(work), str(root / "plum.git"))
    run("git", "update-server-info", cwd=root / "plum.git")
    package = root / "simple" / "clawplum"
    package.mkdir(parents=True)
    wheel = package / "clawplum-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("clawplum.py", "fruit = 'ripe'\n")
        archive.writestr("clawplum-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: clawplum\nVersion: 1.0\n")
        archive.writestr("clawplum-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("clawplum-1.0.dist-info/RECORD", "clawplum.py,,\nclawplum-1.0.dist-info/METADATA,,\nclawplum-1.0.dist-info/WHEEL,,\nclawplum-1.0.dist-info/RECORD,,\n")
    (package / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    return root


@pytest.fixture(scope="module")
def plain(files):
    upstream = Upstream(files=files)
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def canary():
    """Nobody may come here."""
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=t", "-addext", f"subjectAltName=IP:{HOST}"],
        cwd=directory, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    upstream = Upstream(context)
    upstream.certificate = (directory / "cert.pem").read_text()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, anthropic, plain, secure):
    targets = [f"egress={HOST}:{plain.port}", f"egress={HOST}:{secure.port}", f"proxy={HOST}:{plain.port}"]
    server = Clawbot(
        tmp_path_factory.mktemp("egress") / "clawbot", env={**anthropic_environment(anthropic), "CLAWBOT_EGRESS_PRIVATE_TARGETS": ",".join(targets)}).start()
    user = server.new_user(server.sign_in(), "user@example.test")
    user.fake, user.running = anthropic, server
    yield user
    server.stop()


def talk(world, bot):
    requests.delete(world.fake + "/control/requests")
    chat = world.chat(bot, conversation=uuid.uuid4().hex[:12])
    chat.fake = world.fake
    return chat


@pytest.fixture(scope="module")
def bot(world):
    return world.bot("Egress")


@pytest.fixture
def chat(world, bot):
    return talk(world, bot)


def bash(chat, command, timeout=120):
    return use(chat, call("Bash", command=command), timeout=timeout)[0]


def denied(world, bot):
    return [row["target"] for row in world.get(f"/api/bots/{bot}/denials?kind=egress").json()["items"]]


class TestCommands:
    def test_curl_through_a_tunnel_to_a_tls_server(self, chat, secure):
        script(chat, {"tools": [call("Write", file_path="/workspace/group/ca.pem", content=secure.certificate)]}, {"text": "ok"})
        chat.reply("go", timeout=120)
        text, failed = bash(chat, f"curl -sS --cacert ca.pem https://{HOST}:{secure.port}/hi")
        assert text == "hello from upstream" and not failed
        text, _ = bash(chat, f"head -c 3000000 /dev/zero | curl -sS --cacert ca.pem --data-binary @- https://{HOST}:{secure.port}/post")
        assert text == "3000000 bytes"

    def test_SEC_78_curl_in_the_clear_carries_nothing_of_the_platform(self, chat, plain):
        text, _ = bash(chat, f"curl -sS http://{HOST}:{plain.port}/a?b=c http://{HOST}:{plain.port}/d")
        assert text.count("hello from upstream") == 2
        heard = plain.seen[-2:]
        assert [request["path"] for request in heard] == ["/a?b=c", "/d"]
        for request in heard:
            names = {name.lower() for name, _ in request["headers"]}
            assert not names & {"proxy-authorization", "authorization", "forwarded", "x-forwarded-for", "via", "proxy-connection"}

    def test_git_clones(self, chat, plain):
        text, failed = bash(chat, f"git clone -q http://{HOST}:{plain.port}/plum.git && cat plum/plum.txt")
        assert text == "a fruit" and not failed

    @pytest.mark.skipif(not pathlib.Path("/usr/lib/python3/dist-packages/pip").exists(), reason="the system's Python has no pip")
    def test_pip_installs(self, chat, plain):
        where = f"--index-url http://{HOST}:{plain.port}/simple/ --trusted-host {HOST}"
        text, failed = bash(chat, f"/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check {where} --target libs clawplum && PYTHONPATH=libs /usr/bin/python3 -c 'import clawplum; print(clawplum.fruit)'")
        assert "ripe" in text and not failed, text

    def test_web_fetch_goes_the_same_way(self, chat, plain):
        text, failed = use(chat, call("WebFetch", url=f"http://{HOST}:{plain.port}/page"))[0]
        assert "hello from upstream" in text and not failed

    def test_a_half_answer_is_no_whole_one(self, chat, plain):
        text, failed = bash(chat, f"curl -sS http://{HOST}:{plain.port}/broken")
        assert failed and text.startswith("Exit code 18")

    def test_SEC_82_an_endless_answer_ends_with_its_command(self, chat, plain):
        plain.ended.clear()
        text, _ = bash(chat, f"curl -sS --max-time 2 http://{HOST}:{plain.port}/endless | head -c 1000000 | wc -c")
        assert "1000000" in text
        assert plain.ended.wait(60)

    def test_the_grant_is_needed(self, world, chat, plain):
        """Straight to the socket, past the forwarder that adds the grant: none, and a forged one."""
        text, _ = bash(chat, f"curl -sS -o /dev/null -w '%{{http_code}}' --unix-socket /run/gateway/egress.sock --request-target http://{HOST}:{plain.port}/x http://x/; "
                             f"printf 'GET http://{HOST}:{plain.port}/x HTTP/1.1\\r\\nHost: x\\r\\nProxy-Authorization: Bearer v1.e30.AAAA\\r\\n\\r\\n' | curl -sS --unix-socket /run/gateway/egress.sock telnet://x | head -1")
        assert text.count("401") >= 2, text


class TestPolicy:
    def test_SEC_40_private_targets_are_refused_and_told(self, world, chat, bot, canary):
        private = [f"{HOST}:{canary.port}", "169.254.169.254", "10.0.0.1", "[::1]", "[fd00:ec2::254]", "metadata.google.internal", "vm"]
        for place in private:
            text, failed = bash(chat, f"NO_PROXY= no_proxy= curl -gsS -m 20 -o /dev/null -w '%{{http_code}}\\n' http://{place}/; NO_PROXY= no_proxy= curl -gsS -m 20 https://{place}/")
            assert "403" in text and failed, (place, text)
            assert "private or reserved" in text, text
        assert canary.seen == []
        rows = denied(world, bot)
        for place in ["169.254.169.254", "10.0.0.1", "::1", "metadata.google.internal"]:
            assert place in rows

    def test_SEC_42_redirects_are_vetted_like_any_address(self, world, chat, bot, plain, canary):
        for to in [f"http://{HOST}:{canary.port}/x", "http://169.254.169.254/latest/meta-data/", "https://127.0.0.2:1/"]:
            text, _ = bash(chat, f"curl -sSL -m 20 -w '%{{http_code}}' 'http://{HOST}:{plain.port}/redirect?to={to}'")
            assert "403" in text and "private or reserved" in text, text
        text, failed = use(chat, call("WebFetch", url=f"http://{HOST}:{plain.port}/redirect?to=http://{HOST}:{canary.port}/x"))[0]
        assert failed and "refused" in text
        assert canary.seen == []

    def test_SEC_43_odd_ports_and_spellings_are_refused(self, chat):
        text, _ = bash(chat, "curl -sS -m 20 http://93.184.216.34:22/")
        assert "only the ports 80 and 443" in text
        for host in ["0x7f.1", "2130706433", "127.1", "017700000001"]:
            text, failed = bash(chat, f"curl -sS -m 20 --request-target http://{host}/ http://93.184.216.34/ -w '%{{http_code}}'")
            assert "400" in text or "403" in text, (host, text)

    def test_SEC_84_a_bot_that_may_reach_nothing_but_one_host(self, world, plain, secure):
        egress = {"default": "deny", "allow": [f"{HOST}:{plain.port}"], "deny": []}
        bot = world.bot("Careful", egress=egress)
        chat = talk(world, bot)
        assert bash(chat, f"curl -sS http://{HOST}:{plain.port}/")[0] == "hello from upstream"
        text, failed = bash(chat, f"curl -sSk https://{HOST}:{secure.port}/")
        assert failed and "not among the hosts that this bot may reach" in text
        text, failed = bash(chat, "curl -sS http://example.com/; git clone -q https://github.com/a/b")
        assert failed and "example.com is not among" in text and "github.com is not among" in text
        assert {f"{HOST}:{secure.port}", "example.com", "github.com"} <= set(denied(world, bot))
        # A change counts at once.
        changed = world.put(f"/api/bots/{bot}", {"egress": {"default": "allow", "allow": [], "deny": [HOST]}})
        assert changed.status_code == 200, changed.text
        text, _ = bash(chat, f"curl -sS http://{HOST}:{plain.port}/")
        assert "not among the hosts" in text

    def test_SEC_84_another_server_in_the_tunnel_than_it_is_for(self, world, chat, bot, secure):
        before = len(secure.seen)
        text, failed = bash(chat, f"curl -sSk -m 20 --connect-to evil.example:443:{HOST}:{secure.port} https://evil.example/")
        assert failed and "hello" not in text
        assert len(secure.seen) == before
        eventually(lambda: any("evil.example" in target for target in denied(world, bot)))


@pytest.fixture(scope="module")
def rules(world, plain):
    target = f"http://{HOST}:{plain.port}/base"
    for rule in [
        {"name": "Key", "prefix": "/key", "target": target, "authType": "api-key", "headerName": "X-Api-Key", "value": SECRET},
        {"name": "Bearer", "prefix": "/bearer", "target": target, "authType": "bearer", "value": SECRET},
        {"name": "Basic", "prefix": "/basic", "target": target, "authType": "basic", "value": "user:" + SECRET},
    ]:
        made = world.post("/api/proxy-rules", rule)
        assert made.status_code == 201, made.text
    return target


class TestCredentialProxy:
    def test_SEC_78_the_secret_is_added_and_nothing_of_the_agents_log_in_goes_on(self, chat, plain, rules):
        text, failed = bash(chat, "curl -sS -H 'Authorization: Bearer mine' -H 'X-API-KEY: mine' -H 'x-api-key: mine2' -H 'Cookie: c=1' -H 'Connection: x-api-key' "
                                  "-H 'X-Forwarded-For: 1.1.1.1' -H 'X-Fine: yes' \"$CLAWBOT_PROXY_URL/key/v1/things?x=1%2f2\"")
        assert text == "hello from upstream" and not failed
        heard = plain.seen[-1]
        headers = [(name.lower(), value) for name, value in heard["headers"]]
        assert heard["path"] == "/base/v1/things?x=1%2f2"
        assert [value for name, value in headers if name == "x-api-key"] == [SECRET]
        assert ("x-fine", "yes") in headers and "grant" not in str(headers)
        assert not {"authorization", "cookie", "x-forwarded-for", "proxy-authorization"} & {name for name, _ in headers}
        assert dict(headers)["host"] == f"{HOST}:{plain.port}"
        bash(chat, 'curl -sS "$CLAWBOT_PROXY_URL/bearer/a"; curl -sS "$CLAWBOT_PROXY_URL/basic/a"')
        first, second = [dict((name.lower(), value) for name, value in request["headers"]) for request in plain.seen[-2:]]
        assert first["authorization"] == f"Bearer {SECRET}"
        assert second["authorization"] == "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()

    def test_SEC_80_what_an_upstream_echoes_of_the_secret_does_not_come_back(self, chat, plain, rules):
        for rule in ["key", "bearer", "basic"]:
            text, _ = bash(chat, f'curl -sSi "$CLAWBOT_PROXY_URL/{rule}/echo"')
            encoded = base64.b64encode(SECRET.encode()).decode()
            assert "end" in text and "redacted" in text
            for form in [SECRET, encoded, base64.b64encode(f"user:{SECRET}".encode()).decode(), "TOP%2BSECRET"]:
                assert form not in text, (rule, form)
            assert "set-cookie" not in text.lower()
        text, _ = bash(chat, 'curl -sSi "$CLAWBOT_PROXY_URL/key/gzip"')
        assert text.startswith("HTTP/1.1 502")

    def test_SEC_79_a_redirect_comes_back_unfollowed_and_without_the_secret(self, chat, canary, plain, rules):
        text, _ = bash(chat, f'curl -sSi "$CLAWBOT_PROXY_URL/key/redirect?to=http://{HOST}:{canary.port}/?k=KEY"')
        assert "302" in text and f"http://{HOST}:{canary.port}/?k=" in text and SECRET not in text
        assert canary.seen == []

    def test_SEC_77_SEC_81_only_rules_and_only_below_their_target(self, world, chat, bot, plain, rules):
        before = len(plain.seen)
        for path, status in [
            ("keyx/a", 403), ("KEY/a", 403), ("key%2f../a", 403), ("other/a", 403), ("key/../x", 400), ("key/%2e%2e/x", 400), ("key/a/%2E./x", 400), ("key/a%2fb", 400),
            ("key/a%5cb", 400), ("key//evil/", 400), ("key/http://evil/", 400), ("key/..;a/x", 400), ("key/%252e%252e/x", 400), ("key/a/./b", 400),
        ]:
            text, _ = bash(chat, f"curl -sS --path-as-is -o /dev/null -w '%{{http_code}}' \"$CLAWBOT_PROXY_URL/{path}\"")
            assert text == str(status), (path, text)
        assert len(plain.seen) == before
        assert {"/keyx", "/other"} <= set(denied(world, bot))

    def test_it_streams_both_ways(self, chat, plain, rules):
        text, _ = bash(chat, 'head -c 2000000 /dev/zero | curl -sS -H "Transfer-Encoding: chunked" --data-binary @- "$CLAWBOT_PROXY_URL/key/post"; curl -sS "$CLAWBOT_PROXY_URL/key/events"')
        assert "2000000 bytes" in text and "data: 2" in text

    def test_SEC_44_a_rule_of_a_tenant_may_not_lead_home(self, world, canary):
        refused = world.post("/api/proxy-rules", {"name": "x", "prefix": "/home", "target": f"http://{HOST}:{canary.port}", "authType": "bearer", "value": "x" * 10})
        assert refused.status_code == 400

    def test_the_model_is_told_of_the_rules_and_never_of_a_secret(self, chat, rules):
        chat.reply("echo: hi", timeout=120)
        sent = str(calls(chat)[-1])
        assert "/bearer" in sent and "CLAWBOT_PROXY_URL" in sent and SECRET not in sent
        text, _ = bash(chat, "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'")
        assert SECRET not in text and "Bearer" not in text


@pytest.mark.parametrize("sandbox, promised", [("bubblewrap", True), ("none", False)])
def test_rules_are_named_where_commands_can_reach_them(tmp_path, anthropic, sandbox, promised):
    server = Clawbot(tmp_path / "clawbot", env={**anthropic_environment(anthropic), "CLAWBOT_COMPUTE_SANDBOX": sandbox}).start()
    try:
        admin = server.sign_in()
        assert admin.post("/api/proxy-rules", {"name": "Plum", "prefix": "/plum-rule", "target": "https://1.1.1.1", "authType": "bearer", "value": SECRET}).status_code == 201
        requests.put(anthropic + "/control/script", json=[])
        requests.delete(anthropic + "/control/requests")
        admin.chat(admin.bot("Claw")).reply("hello")
        sent = [json.dumps(entry["body"]) for entry in requests.get(anthropic + "/control/requests").json() if "body" in entry]
        assert sent and [("/plum-rule" in body) for body in sent] == [promised] * len(sent)
    finally:
        server.stop()
