"""docs/cli.md is that of the commands."""

from __future__ import annotations

from chain import ROOT
from experiments import commands

from distill.cli.main import main


def test_the_page_of_the_command_line_is_current() -> None:
    """If not: python docs/experiments pages."""
    assert (ROOT / commands.PAGE).read_text(encoding="utf-8") == commands.page()


def test_the_page_has_every_command_with_an_example() -> None:
    sections = commands.page().split("\n#### ")[1:]
    headings = [section.partition("\n")[0] for section in sections]
    assert sorted(headings) == sorted(f"distill {path}" for path, _ in commands.walk(main, ""))
    for section in sections:
        assert "```sh\ndistill" in section, section.partition("\n")[0]
