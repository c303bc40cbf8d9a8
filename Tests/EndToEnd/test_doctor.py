"""`clawbot doctor`: what is in force, from where, and whether it works; and the installed layout."""

import json
import os
import pathlib
import shutil
import sqlite3
import subprocess

import pytest
import requests

from clawbot import BINARY, ROOT, Clawbot
from test_backup import KEY, backup, run


def doctor(server, *more, env=None):
    done = run(server, "doctor", "--json", *more, env=env, key=None)
    report = json.loads(done.stdout)
    return done.returncode, report, {}, {p["name"]: p for p in report["probes"]}


def test_doctor_explains_every_key_and_probes_beside_a_running_server(tmp_path, server, admin):
    admin.chat(admin.bot("Claw")).reply("Hello!")
    code, report, _, probes = doctor(server, env={"CLAWBOT_OPS_TOKEN": "ops-token-canary-0000001"})
    assert code == 0 and report["ok"], report["probes"]
    keys = {e["key"]: e for e in report["configuration"]}
    assert keys["server.port"]["value"] == str(server.port) and "CLAWBOT_SERVER_PORT" in keys["server.port"]["origin"]
    assert keys["scheduler.graceMinutes"]["origin"] == "default" and "value" not in keys["postgres.url"]
    assert keys["ops.token"]["value"] == "‹redacted›" and "canary" not in json.dumps(report)
    for name in ("server", "records", "objects", "queue", "secrets", "scheduler", "compute", "identity", "live", "channels", "sandbox", "disk", "clock", "modes", "backup"):
        assert name in probes, name
    assert probes["backup"]["status"] == "warning" and "sandbox" in probes
    backup(server, tmp_path / "b.clawbot")
    assert doctor(server)[3]["backup"]["status"] == "ok"
    said = run(server, "doctor", key=None)
    assert said.returncode == 0 and "Probes" in said.stdout and "server.port" in said.stdout


def test_doctor_names_what_is_broken(tmp_path):
    server = Clawbot(tmp_path / "clawbot").start()
    server.stop()
    assert doctor(server)[0] == 0
    key = server.directory / "data/master.key"
    kept = key.read_bytes()
    key.write_bytes(b"00" * 32 + b"\n")
    code, _, _, probes = doctor(server)
    assert code == 1 and probes["secrets"]["status"] == "broken"
    key.write_bytes(kept)
    key.chmod(0o644)
    code, _, _, probes = doctor(server)
    assert code == 1 and "chmod" in json.dumps(probes)
    key.chmod(0o600)
    (server.directory / "data/clawbot.sqlite").write_bytes(b"no database " * 1000)
    for more in ("clawbot.sqlite-wal", "clawbot.sqlite-shm"):
        (server.directory / "data" / more).unlink(missing_ok=True)
    code, _, _, probes = doctor(server)
    assert code == 1 and probes["records"]["status"] == "broken"


def test_doctor_sees_an_audit_trail_that_was_touched(tmp_path):
    server = Clawbot(tmp_path / "clawbot").start()
    admin = server.sign_in()
    for name in ("Claw", "Paw"):
        assert admin.delete(f"/api/bots/{admin.bot(name)}").status_code == 204
    server.stop()
    code, _, _, probes = doctor(server)
    assert code == 0 and probes["audit"]["status"] == "ok"
    with sqlite3.connect(server.directory / "data/clawbot.sqlite") as database:
        (table,) = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'records_audit'").fetchone()
        row, = database.execute(f"SELECT id FROM {table} WHERE doc LIKE '%bot.deleted%' ORDER BY id").fetchone()
        database.execute(f"UPDATE {table} SET doc = replace(doc, 'bot.deleted', 'bot.adopted') WHERE id = ?", (row,))
    database.close()
    code, _, _, probes = doctor(server)
    assert code == 1 and probes["audit"]["status"] == "broken" and "not whole" in probes["audit"]["detail"], probes["audit"]


def test_ready_names_every_part(server):
    body = requests.get(server.base + "/ready").json()
    assert [c["name"] for c in body["checks"]] == ["records", "objects", "queue", "secrets", "scheduler", "compute", "identity", "live", "channels"] or {
        c["name"] for c in body["checks"]} == {"records", "objects", "queue", "secrets", "scheduler", "compute", "identity", "live", "channels"}
    assert all(set(c) == {"name", "status", "critical", "latencyMs"} for c in body["checks"])


def test_the_trace_of_a_web_message_is_whole(server, admin):
    bot = admin.bot("Claw")
    chat = admin.chat(bot)
    message = chat.send("Run echo traced")
    from clawbot import eventually

    eventually(lambda: chat.state(message) == "answered", 60)
    trace = admin.get(f"/api/bots/{bot}/groups/{chat.group}/messages/{message}").json()["trace"]
    steps = [s["step"] for s in trace]
    assert steps[:3] == ["ingest", "queue", "dispatch"] and steps[-1] == "delivery" and {"model", "tool"} <= set(steps), trace
    assert all("at" in s and s.get("durationMs", -1) >= 0 for s in trace), trace
    assert [s["name"] for s in trace if s["step"] == "tool"] == ["Bash"] and "traced" not in json.dumps(trace)
    text = requests.get(server.base + "/metrics").text
    assert 'clawbot_agent_runs_total{result="answered",mode="message"} 1' in text
    assert 'clawbot_tokens_total{direction="input"}' in text and "clawbot_agent_run_duration_seconds_bucket" in text
    assert bot not in text and message not in text


def test_the_installed_layout_and_package(tmp_path):
    root = tmp_path / "root"
    made = subprocess.run(
        ["make", "install", f"DESTDIR={root}", "PREFIX=/usr", f"BINARY={BINARY}"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    assert os.access(root / "usr/bin/clawbot", os.X_OK)
    assert "dataDirectory: /var/lib/clawbot" in (root / "etc/clawbot/clawbot.yaml").read_text()
    assert ((root / "etc/clawbot/environment").stat().st_mode & 0o777) == 0o600
    # Configuration is the operator's: a second installation leaves it alone.
    (root / "etc/clawbot/clawbot.yaml").write_text("stage: mine\n")
    subprocess.run(["make", "install", f"DESTDIR={root}", "PREFIX=/usr", f"BINARY={BINARY}"], cwd=ROOT, check=True, capture_output=True)
    assert (root / "etc/clawbot/clawbot.yaml").read_text() == "stage: mine\n"
    unit = (root / "usr/lib/systemd/system/clawbot.service").read_text()
    for needed in ("RestrictNamespaces=", "ProtectKernelTunables=", "ProtectProc=", "ProcSubset=", "MemoryDenyWriteExecute="):
        assert not any(line.startswith(needed) for line in unit.splitlines()), f"{needed} would break the agents' sandbox"
    if shutil.which("systemd-analyze"):
        # Paths of the unit are looked up below the root.
        units = [str(p) for p in (root / "usr/lib/systemd/system").iterdir()]
        checked = subprocess.run(["systemd-analyze", "verify", f"--root={root}", *(pathlib.Path(u).name for u in units)], capture_output=True, text=True)
        ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "clawbot" in line and "not-found" not in line and "man page" not in line]
        assert not [line for line in ours if "Unknown" in line or "Failed to parse" in line or "not executable" in line], ours
    if not shutil.which("dpkg-deb"):
        pytest.skip("no dpkg-deb here")
    built = subprocess.run([str(ROOT / "packaging/deb"), BINARY, str(tmp_path / "deb")], capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    package = built.stdout.strip().splitlines()[-1]
    fields = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
    assert "Package: clawbot" in fields and "bubblewrap" in fields and "libsqlite3" in fields
    listing = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    for path in ("./usr/bin/clawbot", "./etc/clawbot/clawbot.yaml", "./usr/lib/systemd/system/clawbot.service", "./usr/share/doc/clawbot/backup.md"):
        assert path in listing, path
