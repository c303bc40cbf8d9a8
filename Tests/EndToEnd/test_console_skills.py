"""Skills in the console: the administrators' library, and a bot's section of its settings."""

import pytest
from playwright.sync_api import expect

from console import LANGUAGES, chromium, world  # noqa: F401  (fixtures)
from test_skills import archive, manual, upload


@pytest.fixture
def signed_in(world):
    server, vendor, tab = world
    server.start()
    client = server.sign_in()
    bot = client.bot("Claw", description="Keeps house.")
    one = tab().open()
    one.sign_in()
    expect(one.page.get_by_text("Keeps house.")).to_be_visible()
    return client, bot, one


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pages_look_well_in_both_languages(signed_in, language):
    client, bot, one = signed_in
    one.speak(language)
    paths = (f"/bots/{bot}/settings/skills", "/admin/skills")
    for path in paths:
        one.visit(path)
        one.looks_well(f"{path} empty")
    made = upload(client, archive(pdf={"SKILL.md": manual("pdf", "x"), "a" * 150: "x"}), "\u05e9\u05dc\u05d5\u05dd <b>x</b>", description="d" * 300)
    assert made.status_code == 201, made.text
    assert client.put(f"/api/bots/{bot}/skills", {"skills": [made.json()["skillId"]]}).status_code == 200
    assert client.put(f"/api/bots/{bot}", {"toolWhitelist": {"mcpToolsEnabled": False, "skillsEnabled": True, "allowedMcpTools": [], "allowedSkills": []}}).status_code == 200
    for path in paths:
        one.visit(path)
        expect(one.page.locator("main code", has_text="pdf").first).to_be_visible()
        one.looks_well(path)
    for button in one.page.locator(".headline button").all():
        button.click()
        one.looks_well("skill dialog")
        one.page.keyboard.press("Escape")
        expect(one.page.get_by_role("dialog")).to_have_count(0)


def test_a_skill_is_uploaded_given_switched_off_and_deleted(signed_in, tmp_path):
    client, bot, one = signed_in
    page = one.page
    one.visit("/admin/skills")
    expect(page.get_by_text("The library is empty")).to_be_visible()
    page.get_by_role("button", name="Upload skill").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Upload skill").click()
    expect(dialog.get_by_label("Archive")).to_have_attribute("aria-invalid", "true")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(archive(pdf={"README.md": "x"}))
    dialog.get_by_label("Archive").set_input_files(broken)
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("broken")
    dialog.get_by_role("button", name="Upload skill").click()
    expect(dialog.get_by_text("There is no SKILL.md in it.")).to_be_visible()
    good = tmp_path / "pdf.zip"
    good.write_bytes(archive(pdf={"SKILL.md": manual("pdf", "Do it well."), "scripts/fill.py": "x"}))
    dialog.get_by_label("Archive").set_input_files(good)
    dialog.get_by_label("Name", exact=True).fill("PDF forms")
    # Lost on the way, it is said and tried again; a double click sends it once.
    page.route("**/skills/upload", lambda route: route.abort())
    dialog.get_by_role("button", name="Upload skill").click()
    expect(dialog.get_by_role("alert")).to_have_text("The server cannot be reached. Check the connection.")
    page.unroute("**/skills/upload")
    sent = []
    page.on("request", lambda request: request.url.endswith("/skills/upload") and sent.append(request))
    dialog.get_by_role("button", name="Upload skill").dblclick()
    card = page.get_by_role("article", name="PDF forms")
    expect(card.get_by_text("2 files")).to_be_visible()
    expect(card.get_by_text("How to pdf.")).to_be_visible()
    assert len(sent) == 1
    skill = client.get("/api/admin/skills").json()["items"][0]["skillId"]

    one.visit(f"/bots/{bot}/settings/skills")
    switch = page.get_by_role("switch", name="Use PDF forms")
    page.route("**/skills", lambda route: route.abort())
    switch.focus()
    page.keyboard.press("Space")
    expect(page.locator(".toast", has_text="The server cannot be reached.")).to_be_visible()
    expect(switch).not_to_be_checked()
    page.unroute("**/skills")
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    expect(switch).to_be_focused()
    assert client.get(f"/api/bots/{bot}").json()["skills"] == [skill]

    one.visit("/admin/skills")
    card.get_by_role("switch", name="Offer PDF forms to all bots").click()
    expect(card.get_by_text("switched off")).to_be_visible()
    assert client.get(f"/api/bots/{bot}").json()["skills"] == []
    card.get_by_role("switch").click()
    expect(card.get_by_text("switched off")).to_have_count(0)
    page.get_by_role("button", name="Import from git").click()
    dialog.get_by_label("Repository").fill("https://127.0.0.1/x")
    dialog.get_by_label("Name", exact=True).fill("x")
    dialog.get_by_role("button", name="Fetch").click()
    expect(dialog.get_by_label("Repository")).to_have_attribute("aria-invalid", "true")
    page.keyboard.press("Escape")
    card.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("The library is empty")).to_be_visible()
    assert client.get("/api/admin/skills").json()["items"] == []
