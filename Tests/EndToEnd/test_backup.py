"""Backups: taken while the platform works, put back elsewhere, refused when they are not whole."""

import json
import os
import pathlib
import shutil
import stat
import subprocess
import threading

import pytest
import requests

from clawbot import BINARY, Clawbot, eventually

KEY = "an-end-to-end-backup-key-of-some-length"


def run(server, *arguments, env=None, key=KEY):
    """Runs a command of the binary with a server's settings."""
    settings = {**server.env, **(env or {})}
    if key:
        settings["CLAWBOT_BACKUP_KEY"] = key
    done = subprocess.run([BINARY, *map(str, arguments)], env=settings, capture_output=True, text=True, timeout=300)
    assert "Fatal error" not in done.stderr, done.stderr
    return done


def backup(server, path, *arguments, **more):
    done = run(server, "backup", path, *arguments, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def tree(path):
    return sorted(str(p.relative_to(path)) for p in pathlib.Path(path).rglob("*")) if pathlib.Path(path).exists() else None


def elsewhere(tmp_path, source, name="elsewhere"):
    """A place for a restore, with the master key that an operator brought along."""
    target = Clawbot(tmp_path / name)
    data = target.directory / "data"
    data.mkdir(mode=0o700)
    shutil.copy2(source.directory / "data" / "master.key", data / "master.key")
    return target


def history(client, bot, conversation):
    return [(m["messageId"], m["content"], m["isBotMessage"], m["state"]) for m in client.chat(bot, conversation).messages()]


def test_SEC_127_a_backup_under_load_comes_back_elsewhere_with_nothing_lost(tmp_path, server, admin):
    bot = admin.bot("Claw")
    chat = admin.chat(bot)
    assert chat.reply("Remember that my favourite colour is canary-blue-4711")
    assert chat.reply("Write a file notes.txt with the text: kept for later")
    task = admin.post(f"/api/bots/{bot}/tasks", {
        "groupJid": "web:main", "prompt": "say good morning", "scheduleType": "cron", "scheduleValue": "0 8 * * *"})
    assert task.status_code == 201, task.text
    settled = history(admin, bot, "main")
    stop, accepted, failures = threading.Event(), {}, []

    def talk(name):
        try:
            client = server.sign_in()
            room, ids = client.chat(bot, name), []
            accepted[name] = ids
            n = 0
            while not stop.is_set():
                n += 1
                ids.append(room.send(f"Run echo {name}-{n} > file-{n}.txt"))
                eventually(lambda: stop.is_set() or room.state(ids[-1]) in ("answered", "failed"), 120)
        except Exception as problem:  # noqa: BLE001: shown by the test
            failures.append(problem)

    threads = [threading.Thread(target=talk, args=(f"load{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(accepted) == 3 and all(len(ids) >= 3 for ids in accepted.values()), 180)
    promised = {name: list(ids) for name, ids in accepted.items()}
    path = backup(server, tmp_path / "night.clawbot")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    for canary in (b"canary-blue-4711", b"clawbot.sqlite", b"admin@example.test", (server.directory / "data/master.key").read_bytes().strip()):
        assert canary not in content
    assert "master.key" not in str(tree(server.directory / "data/backups"))

    target = elsewhere(tmp_path, server)
    done = run(target, "restore", path)
    assert done.returncode == 0, done.stderr
    assert "cannot open" not in done.stderr and "there is none" not in done.stderr
    target.start()
    try:
        there = target.sign_in()
        assert history(there, bot, "main")[: len(settled)] == settled
        for name, ids in promised.items():
            room = there.chat(bot, name)
            eventually(lambda: all(room.state(i) in ("answered", "failed") for i in ids), 120)
            rows = room.messages()
            assert [m["messageId"] for m in rows if m["messageId"] in ids] == ids, "every acknowledged message is there, in order"
            for message in ids:
                assert room.state(message) == "answered"
        tasks = there.get(f"/api/bots/{bot}/tasks").json()["items"]
        assert [t["prompt"] for t in tasks] == ["say good morning"]
        assert "canary-blue-4711" in there.chat(bot).reply("What do you remember about my favourite colour?")
        files = tree(target.directory / "data/objects/tree")
        assert any(f.endswith("notes.txt") for f in files) and any("file-1.txt" in f for f in files)
        # Sessions of before are over: their tokens may have been revoked after the backup.
        assert there.chat(bot).reply("Hello again!")
    finally:
        target.stop()


def test_SEC_127_a_damaged_or_foreign_backup_is_refused_with_a_sentence_and_nothing_written(tmp_path, server, admin):
    admin.chat(admin.bot("Claw")).reply("Hello!")
    target = Clawbot(tmp_path / "target")
    for kind, arguments, key in (("sealed", (), KEY), ("plain", ("--plain",), None)):
        path = backup(server, tmp_path / f"{kind}.clawbot", *arguments, key=key)
        content = path.read_bytes()
        half = tmp_path / "half.clawbot"
        size = len(content)
        cuts = [0, 1, 52, 512, 4096, size // 3, size // 2, size - 1025, size - 1]
        flips = [3, 30, 60, 600, size // 4, size // 2, size - 700, size - 1]
        broken = [content[:n] for n in cuts] + [content[:n] + bytes([content[n] ^ 4]) + content[n + 1 :] for n in flips] + [content + b"\0"]
        for damaged in broken:
            half.write_bytes(damaged)
            done = run(target, "restore", half)
            assert done.returncode == 1, (len(damaged), done.stdout, done.stderr)
            assert done.stderr.startswith("clawbot: ") and done.stderr.count("\n") == 1 and "half.clawbot" in done.stderr, done.stderr
            assert tree(target.directory / "data") is None
    sealed = tmp_path / "sealed.clawbot"
    for key, word in (("another-backup-key-of-some-length", "does not open"), (None, "encrypted")):
        done = run(target, "restore", sealed, key=key)
        assert done.returncode == 1 and word in done.stderr and tree(target.directory / "data") is None, done.stderr
    done = run(target, "restore", tmp_path / "nothing.clawbot")
    assert done.returncode == 1 and "no file" in done.stderr
    assert run(target, "restore", "--check", sealed).returncode == 0


def test_SEC_127_without_a_key_nothing_is_written_unless_plain_is_asked_for(tmp_path, server):
    done = run(server, "backup", tmp_path / "x", key=None)
    assert done.returncode == 78 and "--plain" in done.stderr and not (tmp_path / "x").exists()
    done = run(server, "backup", tmp_path / "x", key="short")
    assert done.returncode == 1 and "16 characters" in done.stderr and not (tmp_path / "x").exists()
    master = (server.directory / "data/master.key").read_text().strip()
    done = run(server, "backup", tmp_path / "x", key=master)
    assert done.returncode == 78 and "master key" in done.stderr and not (tmp_path / "x").exists()
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    assert run(server, "backup", tmp_path / "x", "--key-file", key, key=None).returncode == 0
    assert run(server, "backup", tmp_path / "x").returncode == 1, "it does not replace a file"
    assert run(server, "backup", tmp_path / "x", "--force").returncode == 0
    assert [p.name for p in tmp_path.iterdir() if "partial" in p.name] == []


def test_existing_data_is_refused_or_set_aside_and_a_missing_master_key_is_named(tmp_path, server, admin):
    bot = admin.bot("Claw")
    admin.chat(bot).reply("Hello!")
    path = backup(server, tmp_path / "b.clawbot")
    done = run(server, "restore", path, "--force")
    assert done.returncode == 1 and "in use" in done.stderr, "a running server keeps its data"
    server.stop()
    done = run(server, "restore", path)
    assert done.returncode == 1 and "--force" in done.stderr
    done = run(server, "restore", path, "--force")
    assert done.returncode == 0, done.stderr
    aside = [p for p in (server.directory / "data").iterdir() if p.name.startswith("before-restore-")]
    assert len(aside) == 1 and (aside[0] / "clawbot.sqlite").exists()
    server.start()
    assert len(history(server.sign_in(), bot, "main")) == 2

    bare = Clawbot(tmp_path / "bare")
    done = run(bare, "restore", path)
    assert done.returncode == 0 and "master key" in done.stderr and "there is none" in done.stderr
    bare.start(wait=False)
    assert bare.process.wait(60) == 1 and "master.key" in bare.output()
    wrong = Clawbot(tmp_path / "wrong")
    (wrong.directory / "data").mkdir(mode=0o700)
    (wrong.directory / "data/master.key").write_text("00" * 32 + "\n")
    (wrong.directory / "data/master.key").chmod(0o600)
    done = run(wrong, "restore", path)
    assert done.returncode == 0 and "cannot open the restored secrets" in done.stderr


def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, server, admin):
    mount = tmp_path / "small"
    mount.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]).returncode != 0:
        pytest.skip("needs root to mount a small file system")
    try:
        bot = admin.bot("Claw")
        assert admin.session.put(f"{server.base}/api/bots/{bot}/files/raw", params={"key": "big.bin"}, data=os.urandom(3 << 20), headers={"Authorization": f"Bearer {admin.token}", "Content-Type": "application/octet-stream"}).status_code in (200, 201)
        done = run(server, "backup", mount / "b.clawbot")
        assert done.returncode == 1 and "full" in done.stderr, done.stderr
        assert list(mount.iterdir()) == [], "a half-written backup is removed"
        path = backup(server, tmp_path / "b.clawbot")
        target = Clawbot(tmp_path / "t", env={"CLAWBOT_DATA_DIRECTORY": str(mount / "data")})
        done = run(target, "restore", path)
        assert done.returncode == 1 and "free" in done.stderr, done.stderr
        assert list(mount.iterdir()) == []
        assert requests.get(server.base + "/ready").status_code == 200
    finally:
        subprocess.run(["umount", "-l", str(mount)])


def test_SEC_128_what_was_deleted_after_the_backup_stays_deleted(tmp_path, server, admin):
    kept, gone = admin.bot("Kept"), admin.bot("Gone")
    ann = server.new_user(admin, "ann@example.test")
    theirs = ann.bot("Theirs")
    for client, bot in ((admin, kept), (admin, gone), (ann, theirs)):
        assert client.chat(bot).reply("Hello!")
    path = backup(server, tmp_path / "old.clawbot")
    assert admin.delete(f"/api/bots/{gone}").status_code == 204
    assert admin.delete(f"/api/admin/users/{ann.user_id}").status_code == 204
    ledger = tmp_path / "deletions.jsonl"
    done = run(server, "backup", "--deletions-only", ledger, key=None)
    assert done.returncode == 0, done.stderr
    listed = {json.loads(line)["id"] for line in ledger.read_text().splitlines()}
    assert listed >= {gone, ann.user_id}

    target = elsewhere(tmp_path, server)
    assert run(target, "restore", path, "--deletions", ledger).returncode == 0
    target.start()
    try:
        there = target.sign_in()
        assert there.get(f"/api/bots/{kept}").status_code == 200
        assert there.get(f"/api/bots/{gone}").status_code == 404
        answer = requests.post(target.base + "/auth/login", json={"email": "ann@example.test", "password": ann.password}, timeout=30)
        assert answer.status_code == 401
        assert there.get(f"/api/admin/users/{ann.user_id}").status_code == 404
    finally:
        target.stop()

    # Over the data that knows of the deletions no list is needed.
    server.stop()
    assert run(server, "restore", path, "--force").returncode == 0
    server.start()
    again = server.sign_in()
    assert again.get(f"/api/bots/{gone}").status_code == 404 and again.get(f"/api/bots/{kept}").status_code == 200
    broken = tmp_path / "broken.jsonl"
    broken.write_text("not a deletion\n")
    fresh = Clawbot(tmp_path / "fresh")
    done = run(fresh, "restore", path, "--deletions", broken)
    assert done.returncode == 1 and "line 1" in done.stderr and tree(fresh.directory / "data") is None


def test_one_bot_moves_to_another_installation(tmp_path, server, admin):
    bot, other = admin.bot("Mover"), admin.bot("Stays")
    chat = admin.chat(bot)
    assert chat.reply("Remember that my favourite colour is teal-9931")
    assert chat.reply("Run echo carried > cargo.txt")
    assert admin.chat(other).reply("Hello!")
    task = admin.post(f"/api/bots/{bot}/tasks", {
        "groupJid": "web:main", "prompt": "say good morning", "scheduleType": "cron", "scheduleValue": "0 8 * * *"})
    assert task.status_code == 201, task.text
    before = history(admin, bot, "main")
    path = backup(server, tmp_path / "bot.clawbot", "--bot", bot)
    done = run(server, "backup", tmp_path / "none", "--bot", "01JZ8Q4X7M9T2V5B8N1C4D7F0G")
    assert done.returncode == 1 and "no such bot" in done.stderr

    target = Clawbot(tmp_path / "target").start()
    root = target.sign_in()
    bob = target.new_user(root, "bob@example.test")
    done = run(target, "restore", path, "--user", "bob@example.test")
    assert done.returncode == 1 and "in use" in done.stderr
    target.stop()
    done = run(target, "restore", path, "--user", "nobody@example.test")
    assert done.returncode == 1 and "nobody@example.test" in done.stderr
    for _ in range(2):
        done = run(target, "restore", path, "--user", "bob@example.test")
        assert done.returncode == 0, done.stderr
    assert "new id" in done.stderr, "the second copy may not have the id of the first"
    target.start()
    try:
        bob = target.sign_in("bob@example.test")
        bots = bob.get("/api/bots").json()["items"]
        assert sorted(b["name"] for b in bots) == ["Mover", "Mover"] and bot in [b["botId"] for b in bots]
        for copy in bots:
            assert history(bob, copy["botId"], "main") == before
            assert [t["prompt"] for t in bob.get(f"/api/bots/{copy['botId']}/tasks").json()["items"]] == ["say good morning"]
            assert "teal-9931" in bob.chat(copy["botId"]).reply("What do you remember about my favourite colour?")
            assert "carried" in bob.chat(copy["botId"]).reply("Run cat cargo.txt")
        assert target.sign_in().get(f"/api/bots/{bot}").status_code == 404, "it is bob's"
    finally:
        target.stop()
