"""The console's catalogues: both languages have the same keys and placeholders, no key is missing, none is unused."""

import pathlib
import re

import pytest

ASSETS = pathlib.Path(__file__).resolve().parents[2] / "Sources/Platform/Web/Console/Assets"
CATALOGUES = ASSETS / "catalogues"
AREAS = sorted({path.stem.split("-", 1)[1] for path in CATALOGUES.glob("*.js")})
COMMENT = re.compile(r"^\s*(//|\*|/\*).*$", re.M)
SOURCES = {path: COMMENT.sub("", path.read_text()) for path in ASSETS.rglob("*.js") if path.parent != CATALOGUES}
ENTRY = re.compile(r'^  "([^"]+)": (.+),$', re.M)


def catalogue(language, area):
    path = CATALOGUES / f"{language}-{area}.js"
    assert path.exists(), f"{path.name} is missing"
    text = path.read_text()
    entries = ENTRY.findall(text)
    assert len(entries) == text.count("\n  \""), f"{path.name} has lines that are not `  \"key\": text,`"
    assert len({key for key, _ in entries}) == len(entries), f"{path.name} has a key twice"
    assert [key for key, _ in entries] == sorted(key for key, _ in entries), f"{path.name} is not sorted"
    return dict(entries)


@pytest.mark.parametrize("area", AREAS)
def test_both_languages_say_the_same_things(area):
    en, zh = catalogue("en", area), catalogue("zh", area)
    assert set(en) == set(zh)
    for key in en:
        holes = [set(re.findall(r"\{(\w+)\}", text)) for text in (en[key], zh[key])]
        assert holes[0] == holes[1], f"{key}: {holes}"
        # Names of products are the same in both; a sentence is not.
        if " " in en[key].strip('"'):
            assert en[key] != zh[key], f"{key} is not translated"
        assert re.search(r"\{ one: .+, other: .+ \}|^[\"]", en[key]), key
        assert re.search(r"^\{ other: .+ \}$|^[\"]", zh[key]), key


def test_every_text_is_known_and_every_key_is_used():
    keys = {key for area in AREAS for key in catalogue("en", area)}
    literal, prefixes = set(), set()
    for path, text in SOURCES.items():
        literal |= set(re.findall(r'"([a-z][\w-]*(?:\.[\w-]+)+)"', text, re.I))
        prefixes |= set(re.findall(r'\b(?:t|rich|has)\(`([\w.-]+)\$\{', text))
        missing = {key for key in re.findall(r'\b(?:t|rich)\("([^"]+)"', text) if key not in keys}
        assert not missing, f"{path.name} uses texts that no catalogue has: {sorted(missing)}"
    for prefix in prefixes:
        assert any(key.startswith(prefix) for key in keys), f"no text begins with {prefix}"
    unused = {key for key in keys if key not in literal and not any(key.startswith(prefix) for prefix in prefixes)}
    assert not unused, f"no page uses {sorted(unused)}"


def modules_of(path):
    """A page's module and all that it imports before it can run."""
    found, waiting = set(), [path]
    while waiting:
        path = waiting.pop()
        if path in found or path.parent == CATALOGUES:
            continue
        found.add(path)
        waiting += [(path.parent / name).resolve() for name in re.findall(r'\bfrom "(\.[^"]+)"', SOURCES[path])]
    return found


def test_every_page_has_its_texts_at_hand():
    """A text of another area's catalogue shows as its key when the page is opened first."""
    routes = ASSETS / "core/routes.js"
    pages = re.findall(r'area: "(\w[\w-]*)".*?import\("(\.\./pages/[^"]+)"\)', SOURCES[routes])
    assert len(pages) > 15
    core = set(catalogue("en", "core"))
    for area, page in pages:
        known = core | set(catalogue("en", area)) | (set(catalogue("en", "bot")) if page.startswith("../pages/bot-") else set())
        own = (routes.parent / page).resolve()
        # What another page lends, a formatter say, need not use that page's texts.
        for module in (m for m in modules_of(own) if m == own or m.parent.name != "pages"):
            missing = {key for key in re.findall(r'\b(?:t|rich)\("([^"]+)"', SOURCES[module]) if key not in known}
            assert not missing, f"{page} ({area}) needs {sorted(missing)} of {module.name}"
