"""A browser tab on the console, what went wrong in it, and what every page must hold. Fixtures for tests named test_console*.py."""

import os
import pathlib
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from clawbot import PASSWORD, Clawbot
from fakes import Telegram, telegram_environment

CHROMIUM = os.environ.get("CLAWBOT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
EMAIL = "admin@example.test"
# Only reached when something is broken, also on a machine that does ten other things.
WAIT = 90_000
# WCAG 2.2 level AA, as far as a machine can tell.
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
LANGUAGES = ("en", "zh")
# Kept when CLAWBOT_SCREENSHOTS names a directory: how the pictures of docs/images are made.
PICTURES = os.environ.get("CLAWBOT_SCREENSHOTS")

# What the page showed on its way: live drafts, activity lines and delivery states are gone when the answer is there.
WITNESS = """
window.seen = { drafts: 0, tools: [], states: [] };
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  window.seen.drafts += document.querySelectorAll(".message.draft .body > *").length;
  for (const line of document.querySelectorAll(".tools b")) if (!seen.tools.includes(line.textContent)) seen.tools.push(line.textContent);
  for (const line of document.querySelectorAll(".mine .delivery")) if (!seen.states.includes(line.textContent)) seen.states.push(line.textContent);
}).observe(document, { childList: true, subtree: true }));
"""


@pytest.fixture(scope="module")
def chromium():
    assert CHROMIUM, "no Chromium: install the Debian package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Tab:
    """One page with what went wrong in it."""

    def __init__(self, browser, server, **context):
        self.server = server
        options = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB", "timezone_id": "Europe/Berlin", "accept_downloads": True, **context}
        self.context = browser.new_context(**options)
        self.context.add_init_script(WITNESS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        self.problems = []
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        # The browser logs every answer of 400 and more by itself, and on a slow machine that a preload was not used within seconds;
        # everything else on its console is a defect (CSP violations too).
        self.page.on("console", lambda line: line.type in ("error", "warning") and not line.text.startswith("Failed to load resource")
                     and "was preloaded using link preload but not used within" not in line.text and self.problems.append(f"{line.type}: {line.text}"))

    def open(self, path="/"):
        self.page.goto(self.server.base + path)
        return self

    def sign_in(self, password=PASSWORD):
        """In whatever language the page is."""
        self.page.locator("input[name=email]").fill(EMAIL)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("form button[type=submit]").click()

    def visit(self, path):
        """Another page of the console, without loading the document again."""
        expect(self.page.locator(".shell")).to_be_visible()
        self.page.evaluate("path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)
        expect(self.page.locator(".shell main h1").first).to_be_visible()
        expect(self.page.locator("main .skeleton")).to_have_count(0)

    def speak(self, language):
        """Chooses a language as a person does."""
        expect(self.page.locator(".choices button").first).to_be_attached()
        if self.page.evaluate("document.documentElement.lang.slice(0, 2)") == language:
            return
        self.page.locator(".choices:visible button[aria-haspopup]").first.click()
        self.page.get_by_role("menuitemradio", name={"en": "English", "zh": "中文"}[language]).click()
        expect(self.page.locator(f"html[lang^={language}]")).to_be_attached()

    def go(self, name):
        self.page.locator("nav.tabs").get_by_role("link", name=name, exact=True).click()

    def say(self, text):
        """Types a message and waits until it is settled."""
        mine = self.page.locator(".message.mine")
        count = mine.count()
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")
        expect(mine).to_have_count(count + 1)
        last = mine.last
        expect(last.locator(".plain")).to_have_text(text)
        expect(last.locator(".delivery")).to_have_text("✓ Answered")

    def after(self, text, expected):
        """Says something and waits until an answer with the expected words stands below it."""
        self.say(text)
        found = self.page.locator("li.message.bot:not(.draft)", has_text=expected).last
        expect(found).to_be_visible()
        return found

    def looks_well(self, name, fills=False):
        """On a phone and on a desk nothing sticks out and every button is large enough for a finger; by day and by night every text stands
        out from its ground; a screen reader can tell what everything is."""
        for width, height in ((390, 844), (1440, 900)):
            self.page.set_viewport_size({"width": width, "height": height})
            wide = self.page.evaluate("[document.documentElement.scrollWidth, document.querySelector('main').scrollWidth]")
            assert max(wide) <= width, (name, width, wide)
            if fills:
                # Only the messages scroll: the place to write stays in sight.
                assert self.page.evaluate("document.documentElement.scrollHeight") <= height, (name, width)
                expect(self.page.locator(".compose button[type=submit]")).to_be_in_viewport()
            small = self.page.evaluate(TARGETS)
            assert small == [], (name, width, small)
            self.is_accessible(f"{name} {width}")
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            assert self.page.evaluate(CONTRAST) == [], (name, scheme)

    def is_accessible(self, name):
        found = Axe().run(self.page, options=AXE).response["violations"]
        assert found == [], (name, [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found])

    def picture(self, name, width=1280, height=800, scheme="light"):
        """A picture for docs/images, when one is wanted."""
        if not PICTURES:
            return
        pathlib.Path(PICTURES).mkdir(parents=True, exist_ok=True)
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme)
        self.page.evaluate("document.querySelector('.scroller')?.scrollTo(0, 1e9)")
        self.page.screenshot(path=f"{PICTURES}/{name}.png")

    def close(self):
        self.context.close()
        assert self.problems == [], self.problems


@pytest.fixture
def world(tmp_path, telegram, chromium):
    vendor = Telegram(telegram)
    server = Clawbot(tmp_path / "clawbot", env=telegram_environment(telegram))
    tabs = []

    def tab(**context):
        tabs.append(Tab(chromium, server, **context))
        return tabs[-1]

    yield server, vendor, tab
    try:
        for one in tabs:
            one.close()
    finally:
        server.stop()


# Texts below 4.5 : 1 against the colour behind them (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => { c /= 255; return c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; })
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const behind = (element) => { for (; element; element = element.parentElement) { const c = numbers(getComputedStyle(element).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.offsetParent || ![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(`${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 30)} ${((a + .05) / (b + .05)).toFixed(2)}`);
  }
  return poor;
}"""

# Buttons and links (not those inside a sentence) lower than 40 px, as a finger meets them.
TARGETS = """() => [...document.querySelectorAll("button, a.button, a.nav-item, select, input:not([type=checkbox], [type=radio], [type=file])")]
  .filter((e) => e.offsetParent && e.checkVisibility({ visibilityProperty: true }) && !e.closest(".meta, figcaption"))
  .map((e) => [e.getBoundingClientRect().height, e]).filter(([height]) => height < 39.5).map(([height, e]) => `${Math.round(height)} ${e.outerHTML.slice(0, 90)}`)"""
