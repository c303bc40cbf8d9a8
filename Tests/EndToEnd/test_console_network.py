"""The console on bad lines: slow, failing and absent servers, two tabs, tokens that die in mid-stream, fingers that click twice."""

import json
import re

import requests
from playwright.sync_api import expect

from clawbot import PASSWORD, eventually
from console import EMAIL, chromium, world  # noqa: F401  (fixtures)

FIRST_VIEW = 150 * 1024


def pumped(page, what):
    """Waits for what a route handler of this thread notes: handlers only run while the page is spoken to."""
    return eventually(lambda: (page.evaluate("1"), what())[1], 90)


class Requests:
    """What a page asked for, by whom, and how much came back."""

    def __init__(self, tab):
        self.sent, self.bodies = [], []
        self.session = tab.context.new_cdp_session(tab.page)
        self.session.send("Network.enable")
        self.session.on("Network.requestWillBeSent", lambda event: self.sent.append((
            event["request"]["url"].removeprefix(tab.server.base), event["initiator"]["type"], event["initiator"].get("url", ""))))
        tab.page.on("requestfinished", lambda request: self.bodies.append(request))

    def size(self):
        return sum(request.sizes()["responseBodySize"] for request in self.bodies)


def test_the_first_view_is_one_round_of_requests_and_less_than_150_kilobytes(world):
    server, vendor, tab = world
    server.start()
    one = tab()
    seen = Requests(one)
    one.open()
    page = one.page
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.wait_for_load_state("networkidle")
    paths = [path for path, _, _ in seen.sent]
    assert len(paths) == len(set(paths)), f"asked twice: {sorted(path for path in set(paths) if paths.count(path) > 1)}"
    # Everything is named by the document itself (its icon too, though the browser fetches that by itself): nothing is found out only when a script runs.
    late = [(path, by) for path, by, url in seen.sent if path not in ("/", "/icon.svg") and not (by == "parser" and url == server.base + "/")]
    assert late == []
    assert seen.size() < FIRST_VIEW, seen.size()
    # What is named is used: a module of the first view that nobody imports is a request for nothing.
    used = set(page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)"))
    assert set(paths) - {"/"} <= used

    # Who is signed in gets home in the same round; only the data comes after.
    one.sign_in()
    expect(page.get_by_role("link", name="Create a bot")).to_be_visible()
    modules = [path for path, _, _ in seen.sent if path.endswith((".js", ".css"))]
    assert len(modules) == len(set(modules)) and set(modules) <= set(paths), set(modules) - set(paths)


def test_a_second_visit_fetches_no_file_again(world):
    server, vendor, tab = world
    server.start()
    one = tab().open()
    expect(one.page.get_by_role("button", name="Sign in")).to_be_visible()
    sizes = []
    one.page.on("requestfinished", lambda request: request.url.endswith((".js", ".css")) and sizes.append((request.url, request.sizes()["responseBodySize"])))
    etag = requests.get(server.base + "/core/app.js").headers["ETag"]
    assert requests.get(server.base + "/core/app.js", headers={"If-None-Match": etag}).status_code == 304
    one.page.reload()
    expect(one.page.get_by_role("button", name="Sign in")).to_be_visible()
    one.page.wait_for_load_state("networkidle")
    assert sizes and sum(size for _, size in sizes) == 0, sizes


def test_SEC_100_SEC_101_nothing_breaks_the_policy_and_no_token_is_kept_outside_the_tab(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    one = tab()
    page = one.page
    page.add_init_script("window.violations = []; addEventListener('securitypolicyviolation', (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));")
    one.open()
    one.sign_in()
    for path in ("/", "/bots/new", f"/bots/{bot}", f"/bots/{bot}/chat", f"/bots/{bot}/conversations", f"/bots/{bot}/channels", f"/bots/{bot}/tasks", f"/bots/{bot}/memory",
                 f"/bots/{bot}/settings", "/memory", "/account"):
        one.visit(path)
        one.speak("zh" if page.evaluate("document.documentElement.lang") == "en" else "en")
    assert page.evaluate("violations") == []
    # The policy is in force: a script that somebody injects does not run.
    page.evaluate("""() => { const script = document.createElement('script'); try { script.textContent = 'window.injected = true'; } catch { return; } document.body.append(script); }""")
    assert page.evaluate("window.injected") is None
    one.problems.clear()

    kept = page.evaluate("""async () => ({ local: { ...localStorage }, session: Object.keys(sessionStorage), cookies: document.cookie, databases: (await indexedDB.databases()).length,
                                          caches: (await caches.keys()).length, workers: (await navigator.serviceWorker.getRegistrations()).length })""")
    assert set(kept["local"]) <= {"clawbot.language", "clawbot.theme"}
    assert kept["session"] == ["clawbot.refresh"]
    assert kept["cookies"] == "" and one.context.cookies() == []
    assert kept["databases"] == kept["caches"] == kept["workers"] == 0
    storage = json.dumps(one.context.storage_state())
    assert "eyJ" not in storage and PASSWORD not in storage


def test_SEC_104_the_console_speaks_to_where_it_came_from_whatever_its_address_says(world):
    server, vendor, tab = world
    server.start()
    one = tab()
    asked = []
    one.page.on("request", lambda request: asked.append(request.url))
    elsewhere = "http://127.0.0.1:9"
    one.open(f"/?api={elsewhere}&apiBaseURL={elsewhere}&origin={elsewhere}&next={elsewhere}#{elsewhere}/?api={elsewhere}")
    one.sign_in()
    expect(one.page.get_by_role("button", name="Sign out")).to_be_visible()
    one.visit("/account")
    assert len(asked) > 10 and [url for url in asked if not url.startswith((server.base + "/", "data:", "blob:"))] == []


def test_a_click_that_comes_twice_is_sent_once(world):
    server, vendor, tab = world
    server.start()
    one = tab().open("/bots/new")
    page = one.page
    one.sign_in()
    page.get_by_label("Name").fill("Claw")
    sent = []
    page.on("request", lambda request: request.method == "POST" and request.url.endswith("/api/bots") and sent.append(request))
    held = []
    page.route("**/api/bots", lambda route: held.append(route) if route.request.method == "POST" else route.continue_())
    button = page.get_by_role("button", name="Create bot")
    button.evaluate("element => { element.click(); element.click(); element.form.requestSubmit(); }")
    expect(button).to_have_attribute("aria-busy", "true")
    page.keyboard.press("Enter")
    button.dblclick(force=True)
    pumped(page, lambda: held)
    for route in held:
        route.continue_()
    expect(page.get_by_role("heading", name="Claw is ready")).to_be_visible()
    assert len(sent) == 1
    page.unroute("**/api/bots")
    assert len(server.sign_in().get("/api/bots").json()["items"]) == 1

    # The chat: Enter twice sends one message and no empty one.
    page.get_by_role("link", name=re.compile("Chat now")).click()
    page.get_by_label("Message", exact=True).fill("Hello!")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("li.message.bot:not(.draft)")).to_have_count(1)
    expect(page.locator(".message.mine")).to_have_count(1)


def test_an_answer_that_was_lost_does_not_make_a_second_bot(world):
    server, vendor, tab = world
    server.start()
    one = tab().open("/bots/new")
    page = one.page
    one.sign_in()
    page.get_by_label("Name").fill("Claw")
    lost = []

    def lose(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/api/bots", lose)
    page.get_by_role("button", name="Create bot").click()
    expect(page.locator("form .error:visible")).to_have_text("The server cannot be reached. Check the connection.")
    assert lost == [201]
    page.get_by_role("button", name="Create bot").click()
    expect(page.get_by_role("heading", name="Claw is ready")).to_be_visible()
    assert len(server.sign_in().get("/api/bots").json()["items"]) == 1


def test_a_slow_network_shows_what_it_waits_for(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    client.chat(bot).ask("Hello!")
    one = tab().open()
    page = one.page
    one.sign_in()
    expect(page.locator("a.card.bot")).to_be_visible()
    held = []
    page.route(re.compile("/api/|/pages/"), lambda route: held.append(route))

    def let_go():
        while held:
            held.pop(0).continue_()

    # The address changes at once and the page says that it loads: first its module, then its data.
    page.locator("a.card.bot").click()
    expect(page.locator(".skeleton").first).to_be_visible()
    assert page.url.endswith(f"/bots/{bot}")
    pumped(page, lambda: held)

    def through(ready):
        eventually(lambda: (let_go(), page.evaluate("1"), ready.count() > 0)[2])

    through(page.locator(".facts"))
    one.go("Conversations")
    pumped(page, lambda: held)
    expect(page.locator(".skeleton").first).to_be_visible()
    # Who does not want to wait goes elsewhere; what comes late does not appear there.
    page.locator("nav.side-nav").get_by_role("link", name="Home").click()
    through(page.locator("a.card.bot"))
    expect(page.get_by_role("heading", name="Your bots")).to_be_visible()
    assert page.locator(".two").count() == 0


def test_a_failing_network_is_said_and_repaired_in_place(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    client.chat(bot).ask("Hello!")
    one = tab().open()
    page = one.page
    one.sign_in()
    expect(page.locator("a.card.bot")).to_be_visible()
    away = re.compile("/api/|/pages/|/catalogues/|/style/|/health")
    places = (
        ("/bots/new", page.locator("form")), (f"/bots/{bot}", page.locator(".facts")), (f"/bots/{bot}/chat", page.locator(".message.mine")),
        (f"/bots/{bot}/conversations", page.locator(".group-row")), (f"/bots/{bot}/conversations/web%3Amain", page.locator(".history .message.mine")), ("/", page.locator("a.card.bot")))
    for path, ready in places:
        page.route(away, lambda route: route.abort())
        page.evaluate("path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)
        if path not in ("/", "/bots/new") or ready.count() == 0:
            expect(page.locator(".failure:visible, .state.warn:visible, .event .error:visible, main .error:visible").first).to_be_visible()
            expect(page.locator(".bar.bad")).to_be_visible()
        page.unroute(away)
        # A place that failed offers another try; some repair themselves meanwhile.
        again = "() => { for (const button of document.querySelectorAll('main button')) if (button.textContent === 'Try again') button.click(); }"
        eventually(lambda: (page.evaluate(again), ready.count() > 0 and page.locator("main .failure").count() == 0)[1], 90)
        expect(ready.first).to_be_visible()
        expect(page.locator(".bar.bad")).to_be_hidden()
        one.problems[:] = [problem for problem in one.problems if "ERR_FAILED" not in problem]


def test_offline_is_said_as_long_as_it_lasts(world):
    server, vendor, tab = world
    server.start()
    one = tab().open()
    page = one.page
    one.sign_in()
    expect(page.get_by_role("link", name="Create a bot")).to_be_visible()
    one.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    one.is_accessible("offline")
    one.context.set_offline(False)
    expect(page.get_by_text("You are offline.")).to_be_hidden()


def test_a_token_that_dies_in_the_middle_of_a_stream_is_replaced_unseen(world):
    server, vendor, tab = world
    server.start()
    bot = server.sign_in().bot("Claw")
    one = tab()
    page = one.page
    streams, refreshes = [], []
    page.on("request", lambda request: request.url.endswith("/auth/refresh") and refreshes.append(request))

    # The first stream ends as the server ends it when the access token expires (API.md §4); later ones are the server's own.
    def expire(route):
        streams.append(route.request.headers.get("authorization"))
        if len(streams) > 1:
            return route.continue_()
        event = {"code": "token-expired", "detail": "The access token has expired.", "retryable": True}
        return route.fulfill(status=200, headers={"Content-Type": "text/event-stream"}, body=f"retry: 3000\n\nevent: error\ndata: {json.dumps(event)}\n\n")

    page.route("**/chat/events?*", expire)
    one.open(f"/bots/{bot}/chat")
    one.sign_in()
    pumped(page, lambda: len(streams) > 1)
    assert len(refreshes) == 1 and streams[0] != streams[1]
    one.after("Count to 5", "1 2 3 4 5")
    expect(page.locator(".state")).to_have_text("")
    expect(page.locator(".message.bot")).to_have_count(1)


def test_an_access_token_that_the_server_no_longer_takes_is_refreshed_once_for_all_requests(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    one = tab().open()
    page = one.page
    one.sign_in()
    expect(page.locator("a.card.bot")).to_be_visible()
    refreshes, old = [], []
    page.on("request", lambda request: request.url.endswith("/auth/refresh") and refreshes.append(request))

    def refuse(route):
        token = route.request.headers.get("authorization")
        if not refreshes and (not old or token == old[0]):
            old.append(token)
            return route.fulfill(status=401, json={"type": "urn:clawbot:problem:unauthenticated", "title": "Unauthenticated", "status": 401, "detail": "Sign in."})
        return route.continue_()

    page.route("**/api/bots/**", refuse)
    one.visit(f"/bots/{bot}")
    expect(page.locator(".facts")).to_be_visible()
    assert len(refreshes) == 1


def test_a_page_loaded_again_before_its_refresh_was_answered_stays_signed_in(world):
    server, vendor, tab = world
    server.start()
    one = tab().open("/")
    one.sign_in()
    sign_out = one.page.get_by_role("button", name="Sign out")
    expect(sign_out).to_be_visible()
    lost = []

    def lose(route):
        lost.append(route.fetch().status)  # The server has exchanged the token; the page never hears of it.
        route.abort()

    one.page.route("**/auth/refresh", lose, times=1)
    with one.page.expect_event("requestfailed", lambda request: request.url.endswith("/auth/refresh")):
        one.page.reload()
    assert lost == [200]
    one.page.reload()
    expect(sign_out).to_be_visible()


def test_two_tabs_share_one_session_and_end_together(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw")
    one = tab().open(f"/bots/{bot}/chat")
    one.sign_in()
    expect(one.page.get_by_role("heading", name="Say hello to Claw")).to_be_visible()
    # A duplicated tab: the browser copies its sessionStorage.
    refresh = one.page.evaluate("sessionStorage.getItem('clawbot.refresh')")
    second = one.context.new_page()
    second.on("pageerror", lambda error: one.problems.append(str(error)))
    second.add_init_script(f"if (!sessionStorage.length) sessionStorage.setItem('clawbot.refresh', {json.dumps(refresh)});")
    second.goto(f"{server.base}/bots/{bot}/chat")
    expect(second.get_by_role("heading", name="Say hello to Claw")).to_be_visible()
    # Both rotate at once, several times, and neither is thrown out.
    for _ in range(3):
        for page in (one.page, second):
            page.evaluate("location.reload()")
        for page in (one.page, second):
            expect(page.get_by_label("Message", exact=True)).to_be_visible()
    # What one says appears in the other.
    one.say("Count to 3")
    expect(second.locator("li.message.bot:not(.draft)", has_text="1 2 3")).to_be_visible()
    expect(second.locator(".message.mine .delivery")).to_have_text("✓ Answered")
    one.page.get_by_role("button", name="Sign out").click()
    expect(one.page.get_by_label("E-mail")).to_be_visible()
    expect(second.get_by_role("alert")).to_have_text("You signed out in another tab.")


def test_two_step_sign_in_asks_for_the_code_and_sets_it_up(world):
    server, vendor, tab = world
    server.start()
    one = tab()
    page = one.page
    asked = []

    # The issuer's answers as API.md has them; the session in the end is a real one.
    def login(route):
        asked.append("login")
        name = "TOTP_ENROLMENT_REQUIRED" if len(asked) > 3 else "TOTP_REQUIRED"
        route.fulfill(json={"challengeName": name, "challengeToken": "challenge", "expiresIn": 300})

    def totp(route):
        body = route.request.post_data_json
        asked.append(body)
        assert body["challengeToken"] == "challenge"
        if body["code"] != "123456":
            return route.fulfill(status=401, json={"type": "urn:clawbot:problem:invalid-credentials", "title": "", "status": 401, "detail": "Wrong code."})
        pair = requests.post(server.base + "/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()
        return route.fulfill(json=pair)

    page.route("**/auth/login", login)
    page.route("**/auth/totp", totp)
    page.route("**/auth/totp/enrol", lambda route: route.fulfill(json={"secret": "JBSWY3DPEHPK3PXP", "otpauthUri": "otpauth://totp/ClawBot:admin?secret=JBSWY3DPEHPK3PXP"}))
    one.open()
    one.sign_in()
    expect(page.get_by_role("heading", name="Two-step sign-in")).to_be_visible()
    expect(page.get_by_label("Code")).to_be_focused()
    one.looks_well("code")
    page.get_by_label("Code").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("This code is not right.")).to_be_visible()
    page.get_by_label("Code").fill("123 456")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your bots")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()

    one.sign_in()
    page.get_by_role("button", name="Show the key").click()
    expect(page.get_by_text("JBSW Y3DP EHPK 3PXP")).to_be_visible()
    one.looks_well("enrolment")
    one.speak("zh")
    expect(page.get_by_text("JBSW Y3DP EHPK 3PXP")).to_be_visible()
    page.locator(".code-input").fill("123456")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="我的机器人")).to_be_visible()
