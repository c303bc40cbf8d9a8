"""The console in a real browser, against the built binary. Nothing here waits for a time: only for what is on the page."""

import pathlib
import re

import requests
from playwright.sync_api import expect

from clawbot import PASSWORD, eventually
from console import chromium, world  # noqa: F401  (fixtures)


def test_from_the_first_sign_in_to_sign_out(world):
    server, vendor, tab = world
    del server.env["ADMIN_PASSWORD"]
    server.start()
    given = re.search(r"Password:\s+(\S+)", server.output())[1]
    one = tab().open()
    page = one.page

    # A wrong password is a sentence; the generated one works once and must be replaced.
    one.sign_in("not the password")
    expect(page.locator(".error:visible")).to_have_text(re.compile(r"\w+.*\."))
    one.sign_in(given)
    page.get_by_label("New password").fill("short")
    page.get_by_label("Once more").fill("different")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Save and sign in").click()
    expect(page.get_by_text("The two are not the same.")).to_be_visible()
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Save and sign in").click()

    # Nothing is there yet, and the page says what to do: a bot, then what comes first with it.
    page.get_by_role("link", name="Create a bot").click()
    page.get_by_label("Name").fill("Claw")
    page.get_by_label("What is it for?").fill("You help me keep house: notes, reminders and small files.")
    page.get_by_role("button", name="Create bot").click()
    expect(page.get_by_role("heading", name="Claw is ready")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Connect Telegram"))).to_be_visible()
    page.get_by_role("link", name=re.compile("Chat now")).click()
    expect(page.get_by_role("heading", name="Say hello to Claw")).to_be_visible()

    # An idea is one click; the answer came live, piece by piece.
    page.get_by_role("button", name="What can you do?").click()
    expect(page.locator("li.message.bot:not(.draft)", has_text="built-in demo")).to_be_visible()
    expect(page.get_by_role("heading", name="Say hello to Claw")).to_be_hidden()
    one.after("Remember that my favourite colour is teal", "teal")
    one.after("/clear", re.compile("reset", re.I))
    one.after("What do you remember?", "teal")

    one.after("Write a file notes.txt with seven green bottles", "notes.txt")
    one.say("Send me the file notes.txt")
    file = page.get_by_role("button", name=re.compile("notes.txt"))
    with page.expect_download() as download:
        file.click()
    assert download.value.suggested_filename == "notes.txt"
    assert "seven green bottles" in pathlib.Path(download.value.path()).read_text()

    one.picture("phone", 390, 780, "dark")
    shell = one.after("Run id -u; hostname; ls /workspace", "group")
    expect(shell.locator("pre")).to_contain_text("agent")
    one.after("Remind me every day at 9:00 to water the plants", "water the plants")
    seen = page.evaluate("window.seen")
    assert seen["drafts"] > 0, "no answer was shown while it was being written"
    assert "Bash" in seen["tools"], seen
    assert "✓ Answered" in seen["states"] and {"Waiting", "In work"} & set(seen["states"]), seen
    expect(page.locator(".pulse")).to_be_hidden()
    page.locator(".tools summary").last.click()
    expect(page.locator(".tools li", has_text="schedule_task").last).to_be_visible()
    one.picture("chat")

    one.go("Tasks")
    expect(page.get_by_role("heading", name=re.compile("Every day at 09:00"))).to_be_visible()
    expect(page.get_by_text("Next ")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()

    # Telegram: the steps, a token that Telegram refuses, one that it takes, and the state afterwards.
    one.go("Channels")
    expect(page.get_by_text("BotFather answers with a token.")).to_be_visible()
    for wrong in ("nonsense", "700000009:" + "z" * 35):
        page.get_by_label("Bot token").fill(wrong)
        page.get_by_role("button", name="Check and connect").click()
        expect(page.locator(".error:visible")).to_have_text(re.compile(r"\w+.*\."))
    page.get_by_label("Bot token").fill(vendor.token)
    page.get_by_role("button", name="Check and connect").click()
    expect(page.get_by_text("Connected. What to do now")).to_be_visible()
    card = page.locator("article", has_text="@claw_bot")
    expect(card.locator(".tag")).to_have_text("connected")
    one.picture("telegram")
    assert vendor.token not in page.content()
    vendor.say("Hello!", chat=7)
    vendor.wait(1, 7)
    card.get_by_role("button", name="Test").click()
    expect(card.get_by_text("It works.")).to_be_visible()

    # The memory as the bot wrote it; an edit is kept, and one over a newer version is refused with a sentence.
    one.go("Memory")
    page.get_by_label("Memory of").select_option(label="Web chat: main")
    text = page.get_by_label("Memory", exact=True).and_(page.locator("textarea"))
    expect(text).to_have_value(re.compile("teal"))
    text.fill(text.input_value() + "\n- The cat is called Miez.\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    bot = page.url.split("/bots/")[1].split("/")[0]
    client = server.sign_in()
    kept = client.get(f"/api/bots/{bot}/groups/web%3Amain/memory").json()["content"]
    assert "Miez" in kept
    assert client.put(f"/api/bots/{bot}/groups/web%3Amain/memory", {"content": kept + "\n- Newer.\n"}).status_code == 200
    text.fill("mine")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It was changed meanwhile")).to_be_visible()
    page.get_by_role("button", name="Read again").click()
    expect(text).to_have_value(re.compile("Newer"))

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("E-mail")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    page.go_back()
    expect(page.get_by_label("E-mail")).to_be_visible()


def test_the_stream_outlives_the_server_and_shows_nothing_twice(world):
    server, vendor, tab = world
    server.start()
    server.sign_in().bot("Claw")
    one = tab().open()
    page = one.page
    one.sign_in()
    page.locator("a.card.bot").click()
    one.go("Chat")
    one.after("Hello!", "demo")
    server.kill()
    expect(page.get_by_text("The connection was lost. Trying again")).to_be_visible()

    # Typed while nobody listens: it says so, waits, and is sent once.
    page.get_by_label("Message", exact=True).fill("What can you do?")
    page.keyboard.press("Enter")
    expect(page.locator(".mine", has_text="What can you do?").locator(".delivery")).to_have_text("Sending …")
    server.start()
    page.evaluate("dispatchEvent(new Event('online'))")
    expect(page.get_by_text("The connection was lost.")).to_be_hidden()
    expect(page.locator("li.message.bot:not(.draft)", has_text="built-in demo, not a language model. Try")).to_be_visible()
    expect(page.locator(".mine", has_text="What can you do?").locator(".delivery")).to_have_text("✓ Answered")
    one.after("Count to 30", "29 30")
    assert page.locator(".message.mine").count() == 3
    assert page.locator(".message.bot").count() == 3
    assert page.locator(".draft").count() == 0
    shown = page.locator(".message.mine .plain").all_text_contents()
    assert shown == ["Hello!", "What can you do?", "Count to 30"], shown

    # The same after loading again: the history is what was shown.
    page.reload()
    expect(page.locator(".message.mine")).to_have_count(3)
    expect(page.locator(".message.bot")).to_have_count(3)


def test_an_ended_session_and_an_absent_server_are_said_in_a_sentence(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    one = tab().open(f"/bots/{bot}/tasks")
    page = one.page
    one.sign_in()
    expect(page.get_by_role("heading", name="No tasks yet")).to_be_visible()

    # Everything is logged out elsewhere: the next click leads to the sign-in page, and from there back to the same place.
    refresh = page.evaluate("sessionStorage.getItem('clawbot.refresh')")
    assert requests.post(server.base + "/auth/logout", json={"refreshToken": refresh, "everywhere": True}).status_code == 204
    eventually(lambda: client.get("/api/me").status_code == 401)
    one.go("Conversations")
    expect(page.get_by_role("alert")).to_have_text("Your session has ended. Please sign in again.")
    one.sign_in()
    expect(page.get_by_role("heading", name="No conversations yet")).to_be_visible()

    # A forged token in the tab is no session either.
    page.evaluate("sessionStorage.setItem('clawbot.refresh', 'forged')")
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("Your session has ended. Please sign in again.")

    server.kill()
    one.sign_in()
    expect(page.locator(".error:visible")).to_have_text("The server cannot be reached. Check the connection.")
    server.start()
    one.sign_in()
    expect(page.get_by_role("heading", name="No conversations yet")).to_be_visible()
    server.kill()
    one.go("Tasks")
    expect(page.locator("p.error:visible").first).to_have_text("The server cannot be reached. Check the connection.")
