"""Text for a page or a plot: no character that would break it, shortened to its room or broken into lines."""

from __future__ import annotations

import re
import textwrap
import unicodedata

from distill.core.output.printable import printable

NONE = "–"  # in the place of a figure that does not exist
_SPACES = re.compile(r"[\t-\r]")
CHARACTER = 0.6  # mean width of a character over its height, in a wide face


def plain(text: str) -> str:
    """The text for a page or an image: spaces for tabs and newlines, and escapes for control characters, lone
    surrogates, invisible characters and marks that turn the direction of writing."""
    return printable(_SPACES.sub(" ", text))


def width_of(text: str, size: float) -> float:
    """About how wide the text is in a face of this size, rather too much than too little; letters of East Asia are
    two wide."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return (len(text) + wide) * size * CHARACTER


def fit(name: str, room: float, size: float) -> str:
    """The name, its middle left out where it is too long: ends tell names apart."""
    text = plain(name)
    if width_of(text, size) <= room:
        return text
    keep = len(text)
    while keep > 2 and width_of(text[:keep], size) > room - size:
        keep -= 1
    return f"{text[: (keep + 1) // 2].rstrip()}…{text[len(text) - keep // 2 :].lstrip()}"


def wrapped(text: str, room: float, size: float, lines: int) -> str:
    """The text broken at words to at most so many lines; what has no room ends in an ellipsis."""
    widest = max((width_of(c, size) for c in text), default=size)
    return "\n".join(textwrap.wrap(plain(text), max(2, int(room / widest)), max_lines=lines, placeholder="…"))


def milliseconds(value: float) -> str:
    """Three or four figures, for plots, where times of all sizes meet: 0.042, 4.21, 14.0, 1613."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:.{digits}f}"
