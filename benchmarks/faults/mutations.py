"""What can happen to a file: bits flip, parts are lost, doubled or exchanged, fields get other values."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

_WORDS = re.compile(rb"-?\d+(?:\.\d+)?|[A-Za-z_]\w*")
_NUMBERS = (b"0", b"-1", b"0.5", b"NaN", b"1e309", b"-1e309", b"1e-320", b"2147483648", b"1" * 20, b"1" * 400)
_TEXTS = (b"", b"null", b"true", b"[]", b"{}", b"'", b'"', b"../../x", b"\xff\xfe", b"\0", b"%s%n", b"a" * 5000)
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**64, 1e308, float("nan"), float("inf"), "", "x", "../../x", "\0", "1,5", [], [[]], {},
    {"a": {}}, [None] * 100, "a" * 5000, -0.0, "\ud800",
)  # fmt: skip


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Another content, by one to three mutations; which ones fit is decided by what the content is."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [flip_bits, change_chunks]
    if not content[:1000].translate(None, bytes(range(32, 127)) + b"\t\n\r"):
        ways += [change_words, change_words]
        ways += [change_json, change_json] if content[:1] in b"{[" else []
    for _ in range(rng.randint(1, 3)):
        content = rng.choice(ways)(content, rng)
    return content


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    """One to 32 bits, in half of the cases near the beginning, where headers are."""
    changed = bytearray(content or b"\0")
    reach = len(changed) if rng.random() < 0.5 else min(len(changed), 256)
    for _ in range(2 ** rng.randint(0, 5)):
        changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def change_chunks(content: bytes, rng: random.Random) -> bytes:
    """A part is cut off, taken out, doubled, moved, or overwritten."""
    size = len(content)
    first, last = sorted((rng.randint(0, size), rng.randint(0, size)))
    if rng.random() < 0.5:
        last = min(size, first + rng.randint(1, 64))
    head, part, tail = content[:first], content[first:last], content[last:]
    junk = rng.randbytes(min(len(part), 4096)) or b"\xff"
    way = rng.randrange(7)
    if way == 0:
        return head
    if way == 1:
        return tail
    if way == 2:
        return head + tail
    if way == 3:
        return head + part + part + tail
    if way == 4:
        return head + junk + tail
    if way == 5:
        return head + bytes([rng.choice((0, 255))]) * len(part) + tail
    return head + tail + part


def change_words(content: bytes, rng: random.Random) -> bytes:
    """A number or a word becomes another one, or is doubled; or two are exchanged."""
    found = list(_WORDS.finditer(content))
    if not found:
        return flip_bits(content, rng)
    one = rng.choice(found)
    other = rng.choice((rng.choice(_NUMBERS), rng.choice(_TEXTS), rng.choice(found)[0], one[0] + b" " + one[0]))
    return content[: one.start()] + other + content[one.end() :]


def change_json(content: bytes, rng: random.Random) -> bytes:
    """A value of a JSON text, anywhere in it, becomes another one, is taken out, or comes twice."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return change_words(content, rng)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))
            walk(node[key])

    walk(whole)
    if not places:
        return json.dumps(rng.choice(_VALUES)).encode()
    node, key = rng.choice(places)
    way = rng.randrange(4)
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, list):
        node.insert(rng.randint(0, len(node)), node[key])
    elif way == 2:
        other_node, other_key = rng.choice(places)
        node[key] = json.loads(json.dumps(other_node[other_key]))
    else:
        node[key] = rng.choice(_VALUES)
    return json.dumps(whole).encode(errors="surrogatepass")
