"""Rules of docs/security-rules.md that show only from outside: what an agent's commands see, and what is in the repository."""

import json
import pathlib
import re
import subprocess

from clawbot import ROOT, Clawbot

CANARY = "C4NARY"


def test_commands_see_no_secret_and_reach_nothing_inside(tmp_path):
    """SEC-51 SEC-65 SEC-66: no secret in argument, environment, file or process, and no metadata address, server, database or neighbour within reach"""
    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_OPS_TOKEN": f"{CANARY}-ops-token-0000001", "ANTHROPIC_API_KEY": ""}).start()
    try:
        admin = server.sign_in()
        assert admin.post("/api/admin/providers", {
            "providerName": "Other", "providerType": "anthropic-compatible-api", "baseUrl": "https://1.1.1.1", "authType": "api-key", "modelIds": ["m"], "apiKey": f"sk-{CANARY}-provider"}).status_code == 201
        assert admin.post("/api/proxy-rules", {
            "name": "Weather", "prefix": "/weather", "target": "https://1.1.1.1", "authType": "bearer", "value": f"{CANARY}-rule"}).status_code == 201
        chat = admin.chat(admin.bot("Claw"))
        # The word is put together by the shell, so that the command itself does not hold it.
        word = f"{CANARY[:3]}''{CANARY[3:]}"
        looked = (
            "(env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; ls -lR /proc/[0-9]*/fd; cat $(find /workspace /home /run /tmp /opt /etc -type f -size -1000k)) 2>/dev/null"
            f" | tr '\\0' '\\n' > /tmp/seen; echo found=$(grep -c {word} /tmp/seen) control=$(echo {word} | grep -c {word}) size=$(wc -c < /tmp/seen)")
        said = chat.reply(f"Run {looked}", 120)
        found = re.search(r"found=(\d+) control=(\d+) size=(\d+)", said)
        assert found and found[1] == "0" and found[2] == "1" and int(found[3]) > 500, said
        places = ["169.254.169.254/latest/meta-data/", "[fd00:ec2::254]/latest/", f"127.0.0.1:{server.port}/metrics", f"127.0.0.1:{server.port}/api/me", f"localhost:{server.port}/health"]
        for place in places:
            direct = f"curl -g -s -m 20 --noproxy '*' -o /dev/null -w 'direct=%{{http_code}}' http://{place}"
            through = f"curl -g -s -m 20 -o /dev/null -w ' through=%{{http_code}}' http://{place}"
            said = chat.reply(f"Run {direct}; {through}", 120)
            codes = re.search(r"direct=(\d+) through=(\d+)", said)
            assert codes and codes[1] == "000" and codes[2] not in ("200", "401"), (place, said)
    finally:
        server.stop()


def test_without_a_sandbox_there_is_one_user(tmp_path):
    """SEC-70: what the launcher can do decides, not a setting: no second user and no claim of a sandbox without one"""
    for sandbox, sandboxed in (("none", False), ("bubblewrap", True)):
        server = Clawbot(tmp_path / sandbox, env={"CLAWBOT_COMPUTE_SANDBOX": sandbox}).start()
        try:
            admin = server.sign_in()
            assert admin.get("/api/config").json()["features"]["sandboxed"] is sandboxed
            made = admin.post("/api/admin/users", {"email": "second@example.test"})
            assert made.status_code == (201 if sandboxed else 409), made.text
        finally:
            server.stop()


def test_dependencies_are_pinned():
    """SEC-120: every Swift package is pinned to a version and its commit, and only those that are named"""
    pins = json.loads((ROOT / "Package.resolved").read_text())["pins"]
    assert all(re.fullmatch("[0-9a-f]{40}", pin["state"]["revision"]) and re.fullmatch(r"\d+\.\d+\.\d+", pin["state"]["version"]) for pin in pins), pins
    named = re.findall(r'\.package\(url: "([^"]+)"', (ROOT / "Package.swift").read_text())
    assert set(named) <= {pin["location"] for pin in pins} and all(pin["location"].startswith("https://github.com/") for pin in pins)


def test_the_repository_holds_no_secret():
    """SEC-122: nothing that looks like a key of somebody's is committed"""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name]
    if listed.returncode:  # An unpacked archive, say.
        names = [str(p.relative_to(ROOT)) for p in pathlib.Path(ROOT).rglob("*") if not p.relative_to(ROOT).parts[0].startswith((".build", ".git", ".hypothesis"))]
    assert len(names) > 500
    likely = re.compile(
        rb"-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{60}|sk-ant-[a-z0-9]+-[A-Za-z0-9_-]{40}|AKIA(?!IOSFODNN7EXAMPLE)[A-Z2-7]{16}"
        rb"|xox[bap]-[0-9]{10,}-[0-9A-Za-z-]{20,}|ghp_[A-Za-z0-9]{36}|AIza[0-9A-Za-z_-]{35}")
    found = []
    for name in names:
        path = pathlib.Path(ROOT, name)
        assert path.name not in (".env", "master.key", "id_rsa") and path.suffix not in (".pem", ".p12", ".sqlite"), name
        found += [(name, match[0][:30]) for match in likely.finditer(path.read_bytes())] if path.is_file() else []
    assert found == []
