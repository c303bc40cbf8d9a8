"""Home, a new bot, a bot's overview, chat and conversations: in both languages, on a phone and on a desk, by day and by night."""

import re
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from clawbot import eventually
from console import LANGUAGES, chromium, world  # noqa: F401  (fixtures)
from fakes import connect_telegram

# A name as nobody should have it: right-to-left letters, an override that turns what follows, a tag.
AWKWARD = "\u05e9\u05dc\u05d5\u05dd <b>Claw</b> \u0627\u0644\u0639\u0631\u0628\u064a\u0629"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_fits_a_phone_and_a_desk_by_day_and_by_night(world, language):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw", description="Keeps house.")
    client.chat(bot).ask("Run printf '%0200d\\n' 7; echo " + "very" * 40)
    one = tab().open()
    page = one.page
    expect(page.locator("input[name=email]")).to_be_visible()
    one.speak(language)
    one.looks_well("sign-in")
    one.sign_in()
    expect(page.get_by_text("Keeps house.")).to_be_visible()
    expect(page.locator("svg.chart .chart-bar").last).to_be_attached()
    one.looks_well("home")
    one.visit("/bots/new")
    one.looks_well("new bot")
    one.visit("/nowhere/at/all")
    one.looks_well("not found")
    for path, ready in (("", ".facts"), ("/conversations", ".group-row"), ("/conversations/web%3Amain", ".message.bot"), ("/channels", "article"), ("/tasks", ".empty"),
                        ("/memory", "textarea"), ("/settings", "form")):
        one.visit(f"/bots/{bot}{path}")
        expect(page.locator(".tabbody").locator(ready).first).to_be_visible()
        one.looks_well(path)
    one.visit(f"/bots/{bot}/chat")
    expect(page.locator(".message.bot")).to_have_count(1)
    one.looks_well("chat", fills=True)
    for path in ("/memory", "/account"):
        one.visit(path)
        one.looks_well(path)
    # On a phone everything else is behind the last button of the bar.
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".dock button").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    one.is_accessible("drawer")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_language_and_theme_are_a_choice_that_stays(world):
    server, vendor, tab = world
    server.start()
    one = tab(locale="zh-CN").open()
    page = one.page
    expect(page.get_by_role("button", name="登录")).to_be_visible()
    page.locator("input[name=email]").fill("half@typed.test")
    one.speak("en")
    # What was typed is still there.
    expect(page.get_by_label("E-mail")).to_have_value("half@typed.test")
    one.sign_in()
    expect(page.get_by_role("heading", name="Your bots")).to_be_visible()
    page.get_by_role("button", name="Appearance").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("heading", name="Your bots")).to_be_visible()
    one.speak("zh")
    expect(page.get_by_role("heading", name="我的机器人")).to_be_visible()
    assert page.title().startswith("首页")


def test_everything_of_a_first_bot_can_be_done_with_the_keyboard(world):
    server, vendor, tab = world
    server.start()
    one = tab().open()
    page = one.page
    one.sign_in()
    expect(page.get_by_role("heading", name="Your bots")).to_be_visible()

    def press_until(target, key="Tab", limit=60):
        for _ in range(limit):
            if target.evaluate("element => element === document.activeElement"):
                return
            page.keyboard.press(key)
        raise AssertionError(f"{target} is out of the keyboard's reach")

    press_until(page.locator("a.skip"))
    page.keyboard.press("Enter")
    press_until(page.get_by_role("link", name="Create a bot"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Please fill this in.")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Claw")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Claw is ready")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.type("/st")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="/status")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_have_value("/status")
    page.keyboard.press("Enter")
    expect(page.locator("li.message.bot", has_text="Claw")).to_be_visible()
    # Every page says where one is: its heading has the focus, the document its name.
    press_until(page.locator("nav.tabs").get_by_role("link", name="Tasks"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    assert page.title() == "Claw – Tasks · ClawBot"


def test_home_shows_use_and_what_failed_and_leads_to_it(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    client.chat(bot).ask("Hello!")
    connect_telegram(client, bot, vendor)
    # The quota is used up: the next message fails, and home tells.
    me = client.get("/api/me").json()["userId"]
    assert client.put(f"/api/admin/users/{me}/quota", {"maxMonthlyTokens": 1}).status_code == 200
    vendor.say("And now?", chat=7)
    failed = eventually(lambda: next((m for m in client.get(f"/api/bots/{bot}/groups/tg%3A7/messages").json().get("items", []) if m["state"] == "failed"), None))
    one = tab()
    page = one.page
    record = {"id": "1", "timestamp": failed["timestamp"], "groupJid": "tg:7", "messageId": failed["messageId"], "code": failed["failure"]}
    page.route("**/failures?*", lambda route: route.fulfill(json={"items": [record]}))
    one.open()
    one.sign_in()
    usage = page.get_by_role("region", name="Usage")
    expect(usage.get_by_role("meter").first).to_have_attribute("aria-valuenow", "100")
    usage.get_by_text("Show as a table").click()
    tokens = client.get("/api/usage").json()
    expect(usage.get_by_role("row").last).to_contain_text(f"{tokens['tokens']:,}")
    usage.get_by_role("button", name="Month before").click()
    expect(usage.get_by_text("0 runs")).to_be_visible()
    page.get_by_role("region", name="Failed lately").get_by_role("link", name=re.compile("token quota is used up")).click()
    expect(page.locator(".message.found .plain")).to_have_text("And now?")
    expect(page.locator(".message.found .delivery")).to_have_text(re.compile("Failed: .*quota"))
    one.go("Overview")
    expect(page.get_by_role("heading", name="Recent conversations")).to_be_visible()

    # Pausing and going on are one click each.
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("messages are kept and not answered")).to_be_visible()
    assert client.get(f"/api/bots/{bot}").json()["status"] == "paused"
    page.get_by_role("button", name="Set active").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def test_conversations_are_begun_named_and_switched(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    client.chat(bot).ask("Hello!")
    one = tab().open(f"/bots/{bot}/chat")
    page = one.page
    one.sign_in()
    expect(page.locator(".message.bot")).to_have_count(1)
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="Say hello to Claw")).to_be_visible()
    one.after("Count to 3", "1 2 3")
    page.reload()
    expect(page.locator(".message.mine")).to_have_count(1)
    page.get_by_role("button", name="Switch conversation").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("Numbers")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Switch conversation")).to_contain_text("Numbers")
    page.get_by_role("button", name="Switch conversation").click()
    page.get_by_role("menuitemradio", name="Main conversation").click()
    expect(page.locator(".message.mine .plain")).to_have_text("Hello!")
    # The same in the history, where the way of a message can be seen.
    page.get_by_role("link", name="Whole history").click()
    expect(page.locator(".group-row")).to_have_count(2)
    page.locator(".group-row", has_text="Numbers").click()
    expect(page.locator(".history .message.mine .plain")).to_have_text("Count to 3")
    page.get_by_role("button", name="How it went").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".timeline li").first).to_contain_text("Received")
    expect(dialog.locator(".timeline li").last).to_contain_text("Delivered")
    one.is_accessible("trace")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="How it went")).to_be_focused()
    page.go_back()
    expect(page.locator(".history .message.mine .plain")).to_have_text("Hello!")


def test_a_running_answer_is_stopped(world):
    server, vendor, tab = world
    server.start()
    bot = server.sign_in().bot("Claw")
    one = tab().open(f"/bots/{bot}/chat")
    page = one.page
    one.sign_in()
    page.get_by_label("Message", exact=True).fill("Run sleep 60")
    page.keyboard.press("Enter")
    expect(page.locator(".mine .delivery").first).to_have_text("In work")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".mine", has_text="Run sleep 60").locator(".delivery")).to_have_text("Stopped")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def test_files_are_attached_seen_and_inert(world, tmp_path):
    server, vendor, tab = world
    server.start()
    bot = server.sign_in().bot("Claw")
    one = tab().open(f"/bots/{bot}/chat")
    page = one.page
    one.sign_in()
    picture = tmp_path / "dot.png"
    picture.write_bytes(bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000 1f15c4890000000d49444154789c6360f8cf500f0003860180a5a5a5a50000000049454e44ae426082".replace(" ", "")))
    page_file = tmp_path / "evil.html"
    page_file.write_text("<script>parent.document.title = 'taken'</script>")
    drawing = tmp_path / "evil.svg"
    drawing.write_text("<svg xmlns='http://www.w3.org/2000/svg' onload=\"document.title='taken'\"/>")
    page.locator("input[type=file]").set_input_files([picture, page_file, drawing])
    expect(page.locator(".files li")).to_have_count(3)
    page.get_by_role("button", name="Remove evil.svg").click()
    page.locator("input[type=file]").set_input_files([drawing])
    page.get_by_label("Message", exact=True).fill("Look at these.")
    page.keyboard.press("Enter")
    sent = page.locator(".message.mine", has_text="Look at these.")
    expect(sent.get_by_role("button", name=re.compile("evil.svg"))).to_be_visible()
    # Only the picture is shown; the rest is offered as a file.
    expect(sent.locator("img")).to_have_count(1)
    assert page.locator("iframe, object, embed").count() == 0 and page.title() != "taken"
    with page.expect_download() as download:
        sent.get_by_role("button", name=re.compile("evil.html")).click()
    assert download.value.suggested_filename == "evil.html"


def test_awkward_names_and_answers_stay_text(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot(AWKWARD)
    chat = client.chat(bot)
    chat.ask("Hello <img src=x onerror=alert(1)> <script>alert(2)</script>")
    chat.ask("Say ![pixel](https://tracker.example/p.png) [bad](javascript:alert(3)) [data](data:text/html,x) <iframe src=https://evil.example>")
    one = tab().open(f"/bots/{bot}/chat")
    page = one.page
    outside = []
    page.on("request", lambda request: request.url.startswith((server.base, "blob:", "data:")) or outside.append(request.url))
    one.sign_in()
    expect(page.locator(".message.mine")).to_have_count(2)
    expect(page.locator("h1 bdi")).to_have_text(AWKWARD)
    assert page.locator(".log script, .log iframe, .log img").count() == 0
    for href in page.locator(".log a").evaluate_all("all => all.map((a) => a.href)"):
        assert href.startswith(("https:", "http:", "mailto:")), href
    for rel in page.locator(".log a").evaluate_all("all => all.map((a) => a.rel)"):
        assert "noopener" in rel
    one.visit(f"/bots/{bot}/conversations/web%3Amain")
    expect(page.locator(".history .message.mine")).to_have_count(2)
    assert outside == []


def test_ten_thousand_messages_stay_fluid(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    client.chat(bot).ask("Hello!")
    group = f"/api/bots/{bot}/groups/web%3Amain"
    model = client.get(f"{group}/messages").json()["items"]
    answer, question = model[0], model[-1]
    one = tab()

    # The server's pages, as long as a busy year: what is measured is the console.
    def history(route):
        query = parse_qs(urlsplit(route.request.url).query)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        items = []
        for number in range(start, min(start + limit, 10_000)):
            base = question if number % 2 else answer
            text = f"Message {10_000 - number}. " + "All work and no play. " * (number % 9)
            at = (datetime(2026, 1, 1, tzinfo=timezone.utc) - timedelta(minutes=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            items.append({**base, "messageId": f"{number:026d}", "content": text, "timestamp": at})
        end = start + limit
        route.fulfill(json={"items": items, **({"nextCursor": str(end)} if end < 10_000 else {})})

    one.page.route(re.compile(r"/groups/web%3Amain/messages\?"), history)
    one.open(f"/bots/{bot}/conversations/web%3Amain")
    page = one.page
    one.sign_in()
    expect(page.locator(".history .message").last).to_contain_text("Message 10000.")
    page.evaluate(FRAMES)
    scroller = page.locator(".history .scroller")

    # Up to the beginning, as fast as the pages come.
    def beginning():
        scroller.evaluate("element => { element.scrollTop = 0; }")
        return page.get_by_text("This is where it began.").is_visible()

    eventually(beginning, 180)
    expect(page.locator(".history .message").first).to_contain_text("Message 1.")
    # What is in the document does not grow with what was read, and scrolling back down finds everything again.
    assert page.locator(".history .message").count() < 1500
    seen = page.evaluate("stopFrames()")
    scroller.evaluate("element => { element.scrollTop = element.scrollHeight; }")
    expect(page.locator(".history .message").last).to_contain_text("Message 10000.")
    assert page.locator(".history .message").count() < 1500
    # A frame that takes longer than a tenth of a second is one a person sees; loading may cost a few of them.
    assert seen["slow"] <= seen["frames"] * 0.15, seen


# Frames and those of them that took longer than 100 ms.
FRAMES = """() => {
  const seen = { frames: 0, slow: 0 };
  let last = performance.now();
  let going = true;
  const frame = (now) => { seen.frames++; if (now - last > 100) seen.slow++; last = now; if (going) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  window.stopFrames = () => { going = false; return seen; };
}"""
