"""MCP servers in the console: a bot's section of its settings, and the administrators' library."""

import pytest
from playwright.sync_api import expect

from clawbot import eventually
from console import LANGUAGES, chromium, world  # noqa: F401  (fixtures)

# A tag and right-to-left letters: shown as text, and turning nothing around them.
NAMED = "\u05e9\u05dc\u05d5\u05dd <b>x</b>"


@pytest.fixture
def signed_in(world):
    """A bot, and the console open at home as an administrator."""
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw", description="Keeps house.")
    one = tab().open()
    one.sign_in()
    expect(one.page.get_by_text("Keeps house.")).to_be_visible()
    return client, bot, one


def in_library(client, name, **fields):
    made = client.post("/api/admin/mcp-servers", {"name": name, "type": "stdio", "command": "/usr/bin/true", **fields})
    assert made.status_code == 201, made.text
    return made.json()["mcpServerId"]


def own(client, bot, name, **fields):
    made = client.post(f"/api/bots/{bot}/mcp-servers/custom", {"name": name, "type": "stdio", "command": "/usr/bin/true", **fields})
    assert made.status_code == 201, made.text
    return made.json()["mcpServerId"]


def servers(client, bot):
    return {one["name"]: one for one in client.get(f"/api/bots/{bot}/mcp-servers").json()["items"]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_look_well_in_both_languages(signed_in, language):
    client, bot, one = signed_in
    one.speak(language)
    for path in (f"/bots/{bot}/settings/servers", "/admin/mcp-servers"):
        one.visit(path)
        one.looks_well(f"{path} empty")
    in_library(client, "weather", description=NAMED, tools=[{"name": "forecast", "description": "Tells tomorrow's weather."}], envVars=[{"name": "WEATHER_KEY", "required": True}])
    assert client.post("/api/admin/mcp-servers", {"name": "maps", "type": "http", "url": "https://1.1.1.1/" + "v" * 120, "headers": {"Authorization": "Bearer ${secret:TOKEN}"},
                                                  "envVars": [{"name": "TOKEN"}]}).status_code == 201
    own(client, bot, "notes", args=["x" * 200], envVars=[{"name": "NOTES_KEY", "required": True}, {"name": "MODE", "template": "quiet"}])
    for path in (f"/bots/{bot}/settings/servers", "/admin/mcp-servers"):
        one.visit(path)
        expect(one.page.get_by_text("weather", exact=True).first).to_be_visible()
        one.looks_well(path)
        one.page.locator("main button", has=one.page.locator(".icon-edit")).first.click()
        expect(one.page.get_by_role("dialog")).to_be_visible()
        one.looks_well(f"{path} form")
        one.page.keyboard.press("Escape")
        expect(one.page.get_by_role("dialog")).to_have_count(0)
    one.visit(f"/bots/{bot}/settings/servers")
    one.page.locator("main button", has=one.page.locator(".icon-key")).first.click()
    one.looks_well("secrets")


def test_the_pages_say_that_the_network_failed_and_try_again(signed_in):
    client, bot, one = signed_in
    page = one.page
    own(client, bot, "notes")
    for path, pattern in ((f"/bots/{bot}/settings/servers", "**/mcp-servers?*"), ("/admin/mcp-servers", "**/admin/mcp-servers?*")):
        one.visit("/usage")
        page.route(pattern, lambda route: route.abort())
        page.evaluate("path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }", path)
        expect(page.locator("main .failure")).to_contain_text("The server cannot be reached.")
        page.unroute(pattern)
        page.locator("main .failure button").click()
        expect(page.locator("main .failure")).to_have_count(0)
        expect(page.locator("main .skeleton")).to_have_count(0)


def test_a_server_of_the_library_is_switched_on_and_given_its_secret(signed_in):
    client, bot, one = signed_in
    page = one.page
    in_library(client, "weather", envVars=[{"name": "WEATHER_KEY", "required": True}])
    in_library(client, "clock")
    one.visit(f"/bots/{bot}/settings/servers")
    switch = page.get_by_role("switch", name="Use weather")
    expect(switch).not_to_be_checked()
    # The keyboard does it too, the focus stays, and a refusal turns it back.
    page.route("**/mcp-servers", lambda route: route.abort())
    switch.focus()
    page.keyboard.press("Space")
    expect(page.locator(".toast", has_text="The server cannot be reached.")).to_be_visible()
    expect(switch).not_to_be_checked()
    page.unroute("**/mcp-servers")
    page.keyboard.press("Space")
    expect(page.get_by_text("It does not start: WEATHER_KEY is missing.")).to_be_visible()
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    page.get_by_role("switch", name="Use clock").click()
    expect(page.get_by_role("switch", name="Use clock")).to_be_checked()
    assert servers(client, bot)["weather"]["enabled"] and servers(client, bot)["clock"]["enabled"]

    row = page.get_by_role("listitem").filter(has=switch)
    row.get_by_role("button", name="Secrets").click()
    page.get_by_label("WEATHER_KEY", exact=True).fill("hush-hush-4711")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text("It does not start: the agent may not see WEATHER_KEY.")).to_be_visible()
    assert servers(client, bot)["weather"]["configuredSecrets"] == ["WEATHER_KEY"]
    row.get_by_role("button", name="Secrets").click()
    expect(page.get_by_label("WEATHER_KEY", exact=True)).to_have_value("")
    expect(page.get_by_text("Stored. Leave it empty to keep it.")).to_be_visible()
    page.get_by_label("The agent may see WEATHER_KEY").check()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text("It does not start")).to_have_count(0)
    assert servers(client, bot)["weather"]["agentVisible"] == ["WEATHER_KEY"]
    assert "hush-hush-4711" not in page.content()
    # A tool list that has none of its tools is said as well.
    assert client.put(f"/api/bots/{bot}", {"toolWhitelist": {"mcpToolsEnabled": True, "skillsEnabled": False, "allowedMcpTools": ["mcp__clock__*"], "allowedSkills": []}}).status_code == 200
    page.reload()
    expect(page.get_by_text("Add mcp__weather__* under Tools.")).to_be_visible()
    expect(page.get_by_text("Add mcp__clock__*")).to_have_count(0)


def test_a_server_of_ones_own_is_made_changed_and_removed(signed_in):
    client, bot, one = signed_in
    page = one.page
    one.visit(f"/bots/{bot}/settings/servers")
    page.get_by_role("button", name="Add server").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Name", exact=True)).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Name", exact=True).fill("My Notes")
    dialog.get_by_label("Command").fill("notes; id")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Command")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Command").fill("/usr/bin/notes")
    dialog.get_by_label("Arguments").fill("--fast\n--quiet")
    for name in ("NOTES_KEY", "LD_PRELOAD", "MODE"):
        dialog.get_by_role("button", name="Add a variable").click()
        dialog.locator(".variable").last.locator("input").first.fill(name)
    dialog.locator(".variable").nth(0).get_by_label("It does not work without").check()
    dialog.locator(".variable").nth(2).get_by_label("Filled by").select_option("text")
    dialog.locator(".variable").nth(2).get_by_label("Text", exact=True).fill("calm")
    # What the server refuses stands at its own field.
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".variable").nth(1).locator("[aria-invalid=true]")).to_have_count(1)
    dialog.locator(".variable").nth(1).get_by_role("button", name="Remove this variable").click()
    posted = []
    page.on("request", lambda request: request.method == "POST" and posted.append(request))
    dialog.get_by_role("button", name="Save").dblclick()
    # Its secrets are asked for at once.
    expect(page.get_by_role("heading", name="Secrets of My Notes")).to_be_visible()
    assert len(posted) == 1
    page.get_by_label("NOTES_KEY", exact=True).fill("hush-hush-4711")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    made = servers(client, bot)["My Notes"]
    assert made["command"] == "/usr/bin/notes" and made["args"] == ["--fast", "--quiet"] and made["configuredSecrets"] == ["NOTES_KEY"]
    assert made["envVars"] == [{"name": "NOTES_KEY", "required": True}, {"name": "MODE", "template": "calm"}]
    assert "hush-hush-4711" not in page.content()

    # Unchanged means unchanged; a new name keeps the secret, another kind drops it and what belonged to the old one.
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator(".toast", has_text="Nothing was changed.")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Name", exact=True).fill("Diary")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Diary")).to_be_visible()
    assert servers(client, bot)["Diary"]["configuredSecrets"] == ["NOTES_KEY"]
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Kind").select_option("http")
    expect(page.get_by_role("dialog").get_by_label("Command")).to_be_hidden()
    page.get_by_role("dialog").get_by_label("Address").fill("https://1.1.1.1/mcp")
    page.get_by_role("dialog").get_by_label("Headers").fill("Authorization: Bearer ${secret:NOTES_KEY}")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text("https://1.1.1.1/mcp")).to_be_visible()
    expect(page.get_by_text("It does not start: NOTES_KEY is missing.")).to_be_visible()
    changed = servers(client, bot)["Diary"]
    assert changed["configuredSecrets"] == [] and "command" not in changed and "args" not in changed
    assert changed["headers"] == {"Authorization": "Bearer ${secret:NOTES_KEY}"}

    page.get_by_role("switch", name="Use Diary").click()
    expect(page.get_by_role("switch", name="Use Diary")).not_to_be_checked()
    expect(page.get_by_text("It does not start")).to_have_count(0)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No server of its own")).to_be_visible()
    assert servers(client, bot) == {}


def test_the_library_is_kept_by_administrators(signed_in):
    client, bot, one = signed_in
    page = one.page
    one.visit("/admin/mcp-servers")
    expect(page.get_by_text("The library is empty")).to_be_visible()
    page.get_by_role("button", name="Add server").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("weather")
    dialog.get_by_label("Kind").select_option("http")
    dialog.get_by_label("Address").fill("https://127.0.0.1/mcp")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("Address")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("Address").fill("https://1.1.1.1/mcp")
    dialog.get_by_role("button", name="Save").click()
    card = page.get_by_role("article", name="weather")
    expect(card.get_by_text("mcp__weather__")).to_be_visible()
    assert list(servers(client, bot)) == ["weather"]
    # The same name again is a sentence in the dialog.
    page.get_by_role("button", name="Add server").click()
    dialog.get_by_label("Name", exact=True).fill("Weather")
    dialog.get_by_label("Command").fill("/usr/bin/true")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_have_text("A server of the library has that name already.")
    page.keyboard.press("Escape")
    card.get_by_role("switch", name="Offer weather to all bots").click()
    expect(card.get_by_text("switched off")).to_be_visible()
    assert servers(client, bot) == {}
    card.get_by_role("switch").click()
    expect(card.get_by_text("switched off")).to_have_count(0)
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The library is empty")).to_be_visible()
    assert client.get("/api/admin/mcp-servers").json()["items"] == []


def test_a_server_that_did_not_start_is_told_until_it_is_changed(signed_in):
    client, bot, one = signed_in
    page = one.page
    own(client, bot, "notes", command="/usr/bin/there-is-no-such-program")
    client.chat(bot).ask("Hello!", timeout=120)
    eventually(lambda: "lastFailure" in servers(client, bot)["notes"], 60)
    one.visit(f"/bots/{bot}/settings/servers")
    expect(page.get_by_text("It did not start: it cannot be started")).to_be_visible()
    one.looks_well("failed start")
    page.get_by_role("button", name="Edit").click()
    page.get_by_role("dialog").get_by_label("Command").fill("/usr/bin/cat")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.get_by_text("/usr/bin/cat")).to_be_visible()
    expect(page.get_by_text("It did not start")).to_have_count(0)
