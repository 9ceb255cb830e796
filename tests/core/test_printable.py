"""Nothing that a stranger named commands a terminal, turns the direction of writing, or hides."""

from __future__ import annotations

import json
import logging
import sys
import unicodedata
import warnings
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.table import Table
from rich.text import Text

from distill.cli.groups import Commands
from distill.core.errors import DataError, RecipeError
from distill.core.output.printable import escape_markdown, is_printable, printable, printable_line
from distill.core.output.streams import printable_streams
from distill.core.output.terminal import PrintableConsole, note, output, track, warn
from distill.core.settings.recipe import CardConfig
from distill.core.storage.files import read_json, write_json
from distill.data.labels import LabelSet
from distill.data.sources import FailedRow
from distill.runtime.predictions import json_line

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u200b\x00"
SHOWN = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\u000d\u202egnp.exe\u200b\u0000"
ANY = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(ANY)
def test_whatever_is_printable_commands_and_hides_nothing(text: str) -> None:
    shown = printable_line(text)
    formats = {c for c in shown if unicodedata.category(c) == "Cf"} - {"\u200c", "\u200d"}
    assert all(unicodedata.name(c).split()[0] in ("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN") for c in formats)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert is_printable(shown)
    assert printable_line(shown) == shown


@given(ANY)
def test_json_keeps_its_values(text: str) -> None:
    assert json.loads(printable(json.dumps([text], ensure_ascii=False))) == [text]


@pytest.mark.parametrize("value", [EVIL, "\ud800", "👨‍👩‍👧"])
def test_a_json_file_can_be_shown_on_a_terminal_and_keeps_its_values(value: str, tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {value: [value]})
    assert read_json(tmp_path / "a.json", DataError) == {value: [value]}
    assert printable(text := (tmp_path / "a.json").read_text()) == text


@pytest.mark.parametrize("text", ["👨‍👩‍👧", "❤️‍🔥", "1️⃣", "می‌خواهم", "क्‍ष", "naïve ½", "政治 \u3000ﷺ", "© ®️"])
def test_what_scripts_and_emoji_need_stays(text: str) -> None:
    assert printable_line(text) == text


HIDDEN = ["fe\u200car", "\u200dx", "a\ufe0f", "a\xadb", "x\U000e0041y", "\u3164", "क\u200d\u200d", "a\u2066b"]


@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_that_looks_like_another_is_refused_as_a_label_and_on_a_card(name: str) -> None:
    with pytest.raises(DataError, match="invisible or turns the direction of writing") as caught:
        LabelSet(("b", name))
    assert is_printable(str(caught.value))
    with pytest.raises(RecipeError, match=r"export\.card\.name holds"):
        CardConfig(name, "mit", "en", "")


def test_an_error_is_one_line_whatever_it_names() -> None:
    assert str(DataError(f"{EVIL}\n: no such file")) == rf"{SHOWN}\n: no such file"
    assert FailedRow("1", str(DataError(EVIL))).error == SHOWN
    assert json.loads(json_line(FailedRow(EVIL, "x")))["id"] == EVIL
    assert is_printable(json_line(FailedRow(EVIL, "x")).decode().rstrip("\n"))


def table(*cells: str | Text) -> Table:
    made = Table(title=EVIL, caption=EVIL)
    made.add_column(f"heading {EVIL}")
    for cell in cells:
        made.add_row(cell)
    return made


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_shows_text_as_it_is_and_only_its_own_commands(terminal: bool) -> None:
    console = PrintableConsole(stderr=False, width=200)
    console.file, console._force_terminal = StringIO(), terminal
    console.print(EVIL, Text(EVIL), table(EVIL, Text(EVIL), "[red]x[/red] [/x] :warning:"), style="bold")
    drawn = console.file.getvalue()
    assert drawn.count(SHOWN) == 5
    assert drawn.count(r"\u202egnp.exe\u200b\u0000") == 7  # Text itself takes a few characters out
    assert "[red]x[/red] [/x] :warning:" in drawn
    for mark in ("\x07", "\x9b", "\x1b[2J", "\x1b]", "\u202e", "\r"):
        assert mark not in drawn
    widths = {len(line) for line in drawn.splitlines() if line.startswith(("│", "┃"))}
    assert terminal or len(widths) == 1  # the table has room for the escapes


def test_notes_warnings_and_bars_are_filtered(capsys: pytest.CaptureFixture[str]) -> None:
    note(EVIL)
    warn(f"{EVIL}\n")
    output.print(EVIL)
    assert list(track([1], EVIL, 1)) == [1]
    shown = capsys.readouterr()
    assert shown.err.splitlines() == [SHOWN, rf"warning: {SHOWN}\n"]
    assert shown.out.rstrip("\n") == SHOWN


@click.group(cls=Commands)
def group() -> None:
    """Nothing."""


@group.command()
@click.argument("how")
def speak(how: str) -> None:
    """Print the name in one of the ways that libraries have."""
    if how == "error":
        raise DataError(EVIL)
    if how == "OSError":
        Path(EVIL.replace("\x00", "")).read_bytes()
    if how == "warning":
        sys.stderr.write(warnings.formatwarning(EVIL, UserWarning, "x.py", 1))  # as the module does
    if how == "log":
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": EVIL}))
    if how == "print":
        print(EVIL)
        sys.stderr.writelines([EVIL])
    if how == "usage":
        raise click.UsageError(EVIL)
    if how == "note":
        note(EVIL)


@pytest.mark.parametrize("charset", ["utf-8", "ascii"])
@pytest.mark.parametrize("how", ["error", "OSError", "warning", "log", "print", "usage", "note", EVIL])
def test_no_way_of_printing_goes_round_the_filter(how: str, charset: str) -> None:
    result = CliRunner(charset=charset).invoke(group, ["speak", how, *([EVIL] if how == EVIL else [])])
    printed = result.stdout_bytes + result.stderr_bytes
    assert how == EVIL or rb"\u001b]0;owned" in printed
    assert not any(mark in printed for mark in (b"\x1b", b"\x07", b"\r", b"\xe2\x80\xae", b"\xc2\x9b"))


def test_streams_are_what_they_were_afterwards() -> None:
    before = sys.stdout, sys.stderr
    with printable_streams():
        assert sys.stdout.encoding == before[0].encoding
        assert not hasattr(sys.stderr, "buffer")  # click would write to it
    assert (sys.stdout, sys.stderr) == before


NAMES = [
    "<script>a</script>",
    "[x](http://a.b)",
    "![z](u)",
    "**b** _i_ ~~s~~",
    "a|b\\|c",
    "`code`",
    "&lt;b&gt;",
    "$x$",
]


@pytest.mark.parametrize("name", [*NAMES, "https://a.b www.a.b", "Name calling/Labeling", "0.512 [0.441, 0.583]"])
def test_a_name_in_markdown_is_the_text_that_it_is(name: str) -> None:
    page = f"# {escape_markdown(name)}\n\n| a | b |\n|---|---|\n| {escape_markdown(name)} | 1 |\n"
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page)
    inline = [token for token in tokens if token.type == "inline"]
    texts = ["".join(child.content for child in token.children or []) for token in inline]
    assert texts == [name, "a", "b", name, "1"]
    assert {child.type for token in inline for child in token.children or []} <= {"text", "text_special"}
