"""Telegram's HTML mode as the server reads it: what is shown, which entities, and its words for what it refuses."""

import re

SUPPORTED = {"a", "b", "strong", "i", "em", "s", "strike", "del", "u", "ins", "tg-spoiler", "tg-emoji", "span", "code", "pre", "blockquote"}
TYPES = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough",
         "u": "underline", "ins": "underline", "tg-spoiler": "spoiler", "span": "spoiler", "code": "code", "pre": "pre", "blockquote": "blockquote"}
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
MAX_ENTITIES = 100


class ParseError(Exception):
    """Its text follows `Bad Request: can't parse entities: `."""


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _entity(text: str, at: int):
    """Decodes a character reference at `at` (an ampersand): the character and how long the reference is, or None."""
    match = re.compile(r"&#x([0-9a-fA-F]{1,6});?|&#([0-9]{1,7});?|&(lt|gt|amp|quot);?").match(text, at)
    if not match:
        return None
    if match.group(3):
        return NAMED[match.group(3)], match.end() - at
    code = int(match.group(1), 16) if match.group(1) else int(match.group(2))
    if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        return None
    return chr(code), match.end() - at


def parse(text: str):
    """Visible text and entities. Raises ParseError."""
    out, entities, stack = [], [], []
    length = 0  # UTF-16 units so far
    i, n = 0, len(text)

    def offset(position):
        return len(text[:position].encode())

    def emit(piece):
        nonlocal length
        out.append(piece)
        length += utf16(piece)

    while i < n:
        char = text[i]
        if char == "&":
            decoded = _entity(text, i)
            if decoded:
                emit(decoded[0])
                i += decoded[1]
                continue
            emit("&")
            i += 1
            continue
        if char != "<":
            emit(char)
            i += 1
            continue
        begin = i
        i += 1
        if i < n and text[i] == "/":
            close = text.find(">", i)
            if close < 0:
                raise ParseError(f"Unclosed end tag at byte offset {offset(begin)}")
            name = text[i + 1:close].strip().lower()
            if not stack:
                raise ParseError(f"Unexpected end tag at byte offset {offset(begin)}")
            opened, start, attributes = stack.pop()
            if name and name != opened:
                raise ParseError(f'Unmatched end tag at byte offset {offset(begin)}, expected "</{opened}>", found "</{name}>"')
            i = close + 1
            if length > start:
                _close(entities, opened, attributes, start, length, stack, "".join(out))
            continue
        match = re.compile(r"[^\s>]*").match(text, i)
        name = match.group(0).lower()
        i = match.end()
        if name not in SUPPORTED:
            raise ParseError(f'Unsupported start tag "{name}" at byte offset {offset(begin)}')
        attributes = {}
        while True:
            while i < n and text[i].isspace():
                i += 1
            if i >= n:
                raise ParseError(f"Unclosed start tag at byte offset {offset(begin)}")
            if text[i] == ">":
                i += 1
                break
            match = re.compile(r"[^\s=>/\"']+").match(text, i)
            if not match:
                raise ParseError(f'Empty attribute name in the tag "{name}" at byte offset {offset(begin)}')
            key = match.group(0).lower()
            i = match.end()
            while i < n and text[i].isspace():
                i += 1
            if i >= n or text[i] != "=":
                if name == "blockquote" and key == "expandable":
                    attributes[key] = ""
                    continue
                raise ParseError(f'Expected equal sign in declaration of an attribute of the tag "{name}" at byte offset {offset(begin)}')
            i += 1
            while i < n and text[i].isspace():
                i += 1
            if i >= n:
                raise ParseError(f"Unclosed start tag at byte offset {offset(begin)}")
            if text[i] in "\"'":
                end = text.find(text[i], i + 1)
                if end < 0:
                    raise ParseError(f"Unclosed start tag at byte offset {offset(begin)}")
                raw = text[i + 1:end]
                i = end + 1
            else:
                match = re.compile(r"[a-zA-Z0-9.\-]+").match(text, i)
                if not match:
                    raise ParseError(f'Unexpected end of name token at byte offset {offset(i)}')
                raw = match.group(0)
                i = match.end()
            attributes[key] = re.sub(r"&[^;\s]*;?", lambda m: (_entity(raw, m.start()) or (m.group(0), 0))[0], raw)
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise ParseError(f'Tag "span" must have class "tg-spoiler" at byte offset {offset(begin)}')
        stack.append((name, length, attributes))
    if stack:
        raise ParseError(f"Can't find end tag corresponding to start tag \"{stack[-1][0]}\"")
    return _trim("".join(out), entities)


def _close(entities, name, attributes, start, end, stack, text):
    entity = {"offset": start, "length": end - start}
    if name == "a":
        url = attributes.get("href")
        if not url:
            return
        entity |= {"type": "text_link", "url": url}
    elif name == "tg-emoji":
        entity |= {"type": "custom_emoji", "custom_emoji_id": attributes.get("emoji-id", "")}
    elif name == "code" and stack and stack[-1][0] == "pre" and stack[-1][1] == start and attributes.get("class", "").startswith("language-"):
        stack[-1][2]["language"] = attributes["class"][len("language-"):]
        return
    elif name == "pre":
        entity["type"] = "pre"
        if attributes.get("language"):
            entity["language"] = attributes["language"]
    else:
        entity["type"] = "expandable_blockquote" if name == "blockquote" and "expandable" in attributes else TYPES[name]
    entities.append(entity)


def _trim(text, entities):
    """The server drops white space at both ends; nothing nests in code, quotes do not nest; at most 100 entities count."""
    stripped = text.lstrip()
    lead = utf16(text) - utf16(stripped)
    stripped = stripped.rstrip()
    total = utf16(stripped)
    kept = []
    for entity in sorted(entities, key=lambda e: (e["offset"], -e["length"])):
        start = max(0, entity["offset"] - lead)
        end = min(total, entity["offset"] + entity["length"] - lead)
        if end > start:
            kept.append(entity | {"offset": start, "length": end - start})

    def contains(outer, inner):
        return outer is not inner and outer["offset"] <= inner["offset"] and inner["offset"] + inner["length"] <= outer["offset"] + outer["length"]

    flat = [e for e in kept if not any(o["type"] in ("code", "pre") and contains(o, e) for o in kept)]
    flat = [e for e in flat if not (e["type"] == "blockquote" and any(o["type"] == "blockquote" and contains(o, e) for o in flat))]
    return stripped, flat[:MAX_ENTITIES]
