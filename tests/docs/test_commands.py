"""Every command in the documentation exists, with its options and settings."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from documentation import PAGES, ROOT, SHELL, blocks, distill_words, name_of, options, parse, shell_lines

from distill.cli.main import main
from distill.core.settings.recipe import Recipe
from distill.core.settings.schema import read_toml
from student.search.ladder import candidates_of, parse_family, read_ladder

MODULES = sorted((ROOT / "docs" / "experiments").glob("[!_]*.py"))
EXPERIMENTS = {
    value.name
    for path in MODULES
    for value in vars(import_module(f"experiments.{path.stem}")).values()
    if isinstance(value, click.Command)
}
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# Options of other programs that pages name.
OTHERS = {
    "--arm64",
    "--avx2",
    "--avx512_vnni",
    "--onnx_model",
    "--per_channel",
    "--atol",
    "--task",
    "--model",
    "--use_xnnpack",
}


def every_command(page: Path) -> list[tuple[list[str], bool]]:
    """The words of each command of a page, and whether the command is all there."""
    typed = [(words, True) for line in shell_lines(page) if (words := distill_words(line)) is not None]
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = [(words, False) for span in INLINE.findall(text) if (words := distill_words(span)) is not None]
    return typed + named


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_distill_line_is_a_command_with_existing_options(page: Path) -> None:
    wrong = []
    for words, all_of_it in every_command(page):
        try:
            parse(words, all_of_it)
        except click.UsageError as error:
            wrong.append(f"distill {' '.join(words)}: {error.message}")
    assert wrong == []


def test_the_examples_of_every_command_are_such_lines() -> None:
    commands: list[click.Command] = [main]
    seen = 0
    for command in commands:
        if isinstance(command, click.Group):
            commands.extend(command.commands.values())
        for line in re.sub(r"\\\n\s*", " ", command.help or "").splitlines():
            if words := distill_words(line.strip()):
                parse(words)
                seen += 1
    assert seen > 20


@pytest.mark.parametrize(
    "line",
    [
        "distill nonsense",
        "distill train-teacher --data memes/",
        "distill train-teacher --data memes/ --out runs/t --epochs 3",
        "distill export runs/s --data memes/ --out b --target sparc",
        "distill verify runs/a runs/b",
        "distill bench runs/bundle --data memes/ --peer nobody",
        "distill data nonsense memes/",
    ],
)
def test_a_line_that_is_wrong_is_found(line: str) -> None:
    words = distill_words(line)
    assert words is not None
    with pytest.raises(click.UsageError):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_is_one_of_the_recipe(page: Path) -> None:
    for words, all_of_it in every_command(page):
        given = parse(words, all_of_it)
        common = list(given.get("overrides", ()))
        tried = [str(each).partition("=")[::2] for each in given.get("tries", ())]
        if words[:1] == ["search-student"]:  # there a list stands for each of its values
            families = {name: parse_family(settings.split()) for name, settings in tried}
            candidates_of(families, Recipe.load(overrides=common))
            tried = []
        for settings in (common, *(common + settings.split() for _, settings in tried)):
            Recipe.load(overrides=[setting for setting in settings if not setting.endswith("=…")])
    for span in INLINE.findall(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"(teacher|student|finetune|export|data)(\.\w+)+=[\w./\"-]+", span):
            Recipe.load(overrides=[span])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_is_named_exists(page: Path) -> None:
    named = {
        option
        for span in INLINE.findall(page.read_text(encoding="utf-8"))
        for option in re.findall(r"^--[\w-]+", span)
    }
    assert named - options() - OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_other_block_is_what_it_says(page: Path) -> None:
    declared = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    for extras in re.findall(r"pip install [\"']?(?:distill|\.)\[([\w,]+)\]", text):
        assert set(extras.split(",")) <= set(declared)
    typed = [line for line in shell_lines(page) if line.startswith("make ")]
    for line in (*typed, *(span for span in INLINE.findall(text) if span.startswith("make "))):
        assert line.split()[1] in targets
    for command in re.findall(r"^(?:`)?python docs/experiments ([a-z-]+)", text, re.MULTILINE):
        assert command in EXPERIMENTS
    for language, block in blocks(page):
        if language == "json":
            json.loads(block)
        assert language in (*SHELL, "json", "python", "text", "toml", "yaml")


def test_a_recipe_in_a_page_is_a_recipe(tmp_path: Path) -> None:
    recipes = [block for page in PAGES for language, block in blocks(page) if language == "toml"]
    assert recipes
    for block in recipes:
        (tmp_path / "a.toml").write_text(block, encoding="utf-8")
        if block.startswith("[bert]"):  # a ladder of students
            assert len(candidates_of(read_ladder(tmp_path / "a.toml"), Recipe.load())) == 10
        else:
            Recipe.load(tmp_path / "a.toml")
