"""Makes untrusted text safe to show: on a terminal, in a log, in an error, in Markdown.

Names of files, labels, operators and machines come from strangers. A control character commands a terminal, a
bidirectional mark shows "gnp.exe" as "exe.png", and an invisible character makes two different names look alike.
They are shown as the escapes of JSON (\\u202e), so that JSON that passes through keeps its values.
"""

from __future__ import annotations

import re

# Unicode's control, format, surrogate and separator characters, and what else has no shape of its own (its property
# Default_Ignorable_Code_Point), without the joiners and variation selectors that scripts and emoji need.
_HIDDEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# After a Latin letter, after another joiner or at the start, joiners and selectors do nothing but hide.
_JOINER = r"(?<![\u0250-\u200a\u2010-\U0010ffff])[\u200c\u200d]"
_SELECTOR = r"(?<![0-9#*\xa9\xae\u0250-\u200a\u2010-\ufdff\ufe10-\U0010ffff])[\ufe00-\ufe0f]"
_UNPRINTABLE = re.compile(f"[{_HIDDEN}]|{_JOINER}|{_SELECTOR}")
_SUSPECT = re.compile(rf"[{_HIDDEN}\u200c\u200d\ufe00-\ufe0f]")
_BREAKS = re.compile(r"[\t\n]")
_MARKDOWN = re.compile(r"[\\`<&|*_~$]|\](?=[(\[:])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def printable(text: str) -> str:
    """The text with an escape for every character that commands, reorders or hides; tabs and newlines stay."""
    if _SUSPECT.search(text) is None:  # most texts; ten times as fast
        return text
    return _UNPRINTABLE.sub(_escape, text)


def printable_line(text: str) -> str:
    """The same in one line: tabs and newlines are escaped too."""
    return _BREAKS.sub(lambda match: {"\t": "\\t", "\n": "\\n"}[match.group()], printable(text))


def is_printable(text: str) -> bool:
    """Whether `printable_line` would leave the text as it is."""
    return _UNPRINTABLE.search(text) is None and _BREAKS.search(text) is None


def escape_markdown(text: str) -> str:
    """The text for Markdown that shows it as it is: no markup, no HTML, no link, no end of a table's cell."""
    return _MARKDOWN.sub(lambda match: f"\\{match.group()}", printable_line(text))


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if ord(character) < 0x10000:
        return f"\\u{ord(character):04x}"
    high, low = divmod(ord(character) - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
