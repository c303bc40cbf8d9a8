"""What a broken machine gets: a clear sentence, and nothing lost."""

import os
import shutil
import subprocess

import pytest
import requests

from clawbot import BINARY, Clawbot, eventually


def refused(server):
    """Starts a server that must refuse to; answers its exit code and what it said."""
    server.start(wait=False)
    code = server.process.wait(60)
    said = server.output()
    assert "Fatal error" not in said and "Traceback" not in said, said
    return code, said


def test_a_port_in_use(tmp_path, server):
    code, said = refused(Clawbot(tmp_path / "second", port=server.port))
    assert code == 1 and str(server.port) in said


def test_a_second_server_on_the_same_data(tmp_path, server):
    code, said = refused(Clawbot(server.directory))
    assert code == 1 and "data" in said.lower() and requests.get(server.base + "/health").status_code == 200


def test_a_corrupt_database(tmp_path):
    server = Clawbot(tmp_path / "clawbot").start()
    server.stop()
    for name in ("clawbot.sqlite", "clawbot.sqlite-wal"):
        path = server.directory / "data" / name
        if path.exists():
            path.write_bytes(b"this is not a database" * 1000)
    server.log.unlink()
    code, said = refused(server)
    assert code == 1 and "clawbot.sqlite" in said


def test_a_file_in_the_way_of_the_data_directory(tmp_path):
    server = Clawbot(tmp_path / "clawbot")
    (server.directory / "data").write_text("in the way")
    code, said = refused(server)
    assert code == 1 and "data" in said


def test_a_wrong_master_key(tmp_path):
    server = Clawbot(tmp_path / "clawbot").start()
    server.stop()
    key = server.directory / "data" / "master.key"
    size = len(key.read_bytes())
    key.write_bytes(os.urandom(size) if size == 32 else key.read_bytes()[::-1])
    server.log.unlink()
    code, said = refused(server)
    assert code in (1, 78) and "key" in said.lower()


def test_a_full_disk_refuses_and_forgets_nothing(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)]).returncode != 0:
        pytest.skip("needs root to mount a small file system")
    server = Clawbot(tmp_path / "clawbot", env={"CLAWBOT_DATA_DIRECTORY": str(mount / "data")})
    try:
        server.start()
        admin = server.sign_in()
        bot = admin.bot("Claw")
        chat = admin.chat(bot)
        assert chat.reply("Hello!")
        # Unbuffered: what a buffer still holds would fail once more when the file is closed.
        with open(mount / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
            except OSError:
                pass
        answers = [admin.post(f"/api/bots/{bot}/chat", {"content": f"while full {n} " + "y" * 20000}).status_code for n in range(30)]
        assert set(answers) <= {202, 503} and 503 in answers, answers
        assert requests.get(server.base + "/health").status_code == 200
        os.unlink(mount / "filler")
        assert eventually(lambda: admin.post(f"/api/bots/{bot}/chat", {"content": "Hello again!"}).status_code == 202, 60)
        accepted = 1 + answers.count(202) + 1
        eventually(lambda: sum(m["state"] in ("answered", "failed") for m in chat.messages() if not m["isBotMessage"]) >= accepted, 120)
    finally:
        server.stop()
        subprocess.run(["umount", "-l", str(mount)])


def test_a_missing_bubblewrap_is_named_and_nothing_runs_without_it(tmp_path):
    empty = tmp_path / "bin"
    empty.mkdir()
    bwrap = shutil.which("bwrap")
    if os.geteuid() != 0 or not bwrap:
        pytest.skip("hides the file by a mount, which needs root")
    script = f"mount --make-rprivate / && mount --bind /dev/null {bwrap} && exec {BINARY} serve"
    server = Clawbot(tmp_path / "clawbot")
    with open(server.log, "ab") as log:
        server.process = subprocess.Popen(["unshare", "-m", "bash", "-c", script], env=server.env, stdout=log, stderr=log)
    try:
        server.wait_ready()
        ready = requests.get(server.base + "/ready").json()
        assert ready["status"] != "ready" and any(c["name"] == "compute" and c["status"] != "ok" for c in ready["checks"])
        admin = server.sign_in()
        chat = admin.chat(admin.bot("Claw"))
        message = chat.send("Hello!")
        eventually(lambda: chat.state(message) == "failed", 60)
    finally:
        server.stop()


def test_graceful_end_loses_nothing(tmp_path):
    server = Clawbot(tmp_path / "clawbot").start()
    admin = server.sign_in()
    chat = admin.chat(admin.bot("Claw"))
    ids = [chat.send(f"Run sleep 1; echo number {n}") for n in range(3)]
    eventually(lambda: chat.state(ids[0]) == "running")
    assert server.stop() == 0
    server.start()
    try:
        chat.client = server.sign_in()
        eventually(lambda: all(chat.state(i) == "answered" for i in ids), 90)
        answers = [m["content"] for m in chat.messages() if m["isBotMessage"]]
        assert len(answers) == 3 and all(f"number {n}" in answers[n] for n in range(3)), answers
    finally:
        server.stop()
