"""Changes inputs at random: bytes of any kind, JSON trees, lines of KEY=VALUE. Knows formats, not distill."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Mutator = Callable[[bytes, random.Random, int], bytes]  # the last is the most bytes that it may make

NUMBERS = ("-1", "0", "1", "0.5", "-0.0", "1e-320", "1e308", "1e999", "-1e999", "NaN", "Infinity", "9" * 5000)
NUMBERS += tuple(str(2**power + step) for power in (8, 16, 31, 32, 63, 64) for step in (-1, 0))
STRINGS = (
    "",
    " ",
    "x",
    "\x00",
    "\x1b[31mred",
    "\ud800",
    "\u202eevil",
    "\u200b",
    "\ufeff",
    "é",
    "e\u0301",
    "政治🔥",
)
STRINGS += (
    "../../etc/passwd",
    "/dev/zero",
    "[/red]",
    "a" * 5000,
    "a\nb",
    "data:image/png;base64,iVBORw0KGgo=",
    "a|b",
)
SIZES = (2, 8, 64, 1000, 20_000)
MAGIC = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80",
    b"\0\0\x64\0",
    b"\xff\xda",
)
RAW = re.compile(r'"\\u0000raw(\d+)"')


def times(rng: random.Random, most: int) -> int:
    """How often something of a few bytes is repeated."""
    return rng.choice([size for size in SIZES if size * 16 <= most])


def mutate_bytes(content: bytes, rng: random.Random, most: int) -> bytes:
    """Flip, cut, insert, copy and repeat a few times."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place, length = rng.randrange(len(result) + 1), rng.choice((1, 2, 4, 16, 200))
        do = rng.randrange(7)
        if do == 0 and place < len(result):
            result[place] ^= 1 << rng.randrange(8)
        elif do == 1:
            del result[place : place + length]
        elif do == 2:
            result[place:place] = rng.randbytes(length)
        elif do == 3:
            magic = rng.choice(MAGIC)
            result[place : place + len(magic)] = magic
        elif do == 4 and result:
            start = rng.randrange(len(result))
            result[place:place] = result[start : start + length]
        elif do == 5:
            result[place : place + length] *= times(rng, most)
        elif do == 6 and place < len(result):
            result[place] = rng.choice(b"\0\x01\x7f\x80\xff\n\r\"',;=[]{}:0-9")
    return bytes(result[:most])


def json_mutator(words: tuple[Any, ...] = ()) -> Mutator:
    """A mutator of JSON; `words` are values that its format knows, to be put anywhere."""

    def mutate(content: bytes, rng: random.Random, most: int) -> bytes:
        try:
            tree = json.loads(content)
        except (ValueError, RecursionError):
            return mutate_bytes(content, rng, most)
        if rng.random() < 0.15 or not isinstance(tree, dict | list):
            return mutate_bytes(content, rng, most)
        raw: list[str] = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            _change(tree, _Draw(rng, most, words, raw))
        text = RAW.sub(lambda match: dict(enumerate(raw)).get(int(match[1][:9]), "0"), json.dumps(tree))
        return text.encode("utf-8", "replace")[:most]

    return mutate


def json_lines_mutator(content: bytes, rng: random.Random, most: int) -> bytes:
    """Mutate one line of JSON Lines as JSON, or the whole as bytes."""
    lines = content.split(b"\n")
    if rng.random() < 0.3:
        return mutate_bytes(content, rng, most)
    place = rng.randrange(len(lines))
    lines[place] = json_mutator()(lines[place], rng, most)
    return b"\n".join(lines)


def lines_mutator(values: tuple[str, ...]) -> Mutator:
    """A mutator of lines of KEY = VALUE, which puts one of `values` behind a key."""

    def mutate(content: bytes, rng: random.Random, most: int) -> bytes:
        lines = content.split(b"\n")
        keyed = [place for place, line in enumerate(lines) if b"=" in line]
        if rng.random() < 0.15 or not keyed:
            return mutate_bytes(content, rng, most)
        place = rng.choice(keyed)
        key, _, value = lines[place].partition(b"=")
        do = rng.randrange(8)
        if do == 0:
            key = rng.choice(
                (key + b".more", b"more." + key, key.upper(), b"", b'""', key * 200, b".".join([key] * 999))
            )
        elif do == 1:
            lines.insert(place, lines[place])
        else:
            value = rng.choice(values).encode("utf-8", "replace")
        lines[place] = key + b"=" + value
        return b"\n".join(lines)[:most]

    return mutate


def toml_values() -> tuple[str, ...]:
    """Values of TOML: odd numbers and texts, and what is deep."""
    texts = [json.dumps(text, ensure_ascii=False) for text in STRINGS]
    deep = ["[" * depth + "]" * depth for depth in (3, 500, 20_000)]
    tables = ["{}", "{a = 1}", "{a." + "a." * 2000 + "a = 1}", "[1, 2]", "true", "false", "1979-05-27", "bare"]
    return (*NUMBERS, "inf", "-inf", "nan", *texts, *deep, *tables)


@dataclass(frozen=True)
class _Draw:
    """What a change draws from. `raw` holds what json.dumps cannot say, each by a name in the tree."""

    rng: random.Random
    most: int
    words: tuple[Any, ...]
    raw: list[str]

    def literal(self) -> str:
        """The name of an odd number, of something deep, or of an object with a doubled key."""
        self.raw.append(self.rng.choice((self.rng.choice(NUMBERS), self.deep(), self.doubled())))
        return f"\x00raw{len(self.raw) - 1}"

    def deep(self) -> str:
        """Lists or objects in each other."""
        depth = times(self.rng, self.most) * self.rng.choice((1, 3))
        opening, closing = self.rng.choice((("[", "]"), ('{"a":', "}")))
        return opening * depth + ("0" if opening != "[" else "") + closing * depth

    def doubled(self) -> str:
        """An object of many keys of which one stands twice."""
        count = times(self.rng, self.most)
        return "{" + ", ".join(f'"{key}": 0' for key in (*range(count), self.rng.randrange(count))) + "}"


def _change(tree: Any, draw: _Draw) -> None:
    """Change one place of a tree."""
    rng = draw.rng
    while tree:
        key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        inner = tree[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.75:
            tree = inner
            continue
        do = rng.randrange(12)
        if do == 0:
            del tree[key]
        elif do in (1, 2) and isinstance(tree, dict):
            name = rng.choice((*STRINGS, f"{key} ", str(key).upper(), "more", "img", "labels"))
            tree[name] = tree.pop(key) if do == 1 else copy.deepcopy(inner)
        elif do == 3 and isinstance(tree, list):
            tree += copy.deepcopy(tree * min(times(rng, draw.most), 1000))
        elif do in (4, 5):
            tree[key] = draw.literal()
        elif do in (6, 7) and draw.words:
            tree[key] = copy.deepcopy(rng.choice(draw.words))
        elif do == 8 and isinstance(inner, str):
            tree[key] = (inner or "a") * times(rng, draw.most)
        elif do == 9:
            inner = copy.deepcopy(inner)
            tree[key] = rng.choice((None, True, False, [], {}, [[]], [None], {"": {}}, {str(key): inner}, [inner]))
        elif do == 10 and isinstance(inner, int | float):
            tree[key] = inner * rng.choice((-1, 2, 10, 1000, 1 << 40)) + rng.choice((-1, 0, 1))
        else:
            tree[key] = rng.choice(STRINGS)
        return
