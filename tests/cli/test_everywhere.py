"""What all commands do alike: options in any position, errors in one form, JSON, and what exists already."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from chain import Chain
from test_cli import distill

from distill.cli.main import main
from distill.core.errors import MEANINGS, BundleError, ExitCode, OutputError
from distill.core.output.volume import Volume, volume
from distill.core.storage.files import refuse_existing


def commands(
    group: click.Group = main, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


EVERY = dict(commands())
WRITES = {words for words, command in EVERY.items() if any("--out" in param.opts for param in command.params)}
TABLES = {
    *(("train-teacher",), ("train-student",), ("compare-teachers",), ("tune",), ("retrain",), ("finetune-int8",)),
    ("search-student",),
    *(("export",), ("evaluate",), ("inspect",), ("bench", "run"), ("bench", "compare"), ("explain",), ("verify",)),
    *(("split",), ("data", "split"), ("data", "check"), ("data", "convert"), ("data", "ocr")),
    *(("recipe", "show"), ("recipe", "diff")),
}


def options(words: tuple[str, ...]) -> set[str]:
    return {name for param in EVERY[words].params for name in param.opts}


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_every_command_takes_the_options_of_all(words: tuple[str, ...]) -> None:
    assert {"--debug", "-q", "--quiet", "-v", "--verbose"} <= options(words)
    if words in WRITES:
        assert {"-o", "--overwrite"} <= options(words)
    if words in TABLES:
        assert "--json" in options(words)


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_an_option_that_takes_one_value_is_refused_when_it_is_given_twice(words: tuple[str, ...]) -> None:
    """Whoever gives --unlabelled twice wants both files, and would get the last."""
    for option in EVERY[words].params:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count):
            given = [option.opts[-1], *["x"] * option.nargs]
            result = distill(*words, *given, *given)
            assert result.exit_code == ExitCode.ERROR
            called = max(option.opts, key=len)
            assert result.stderr.endswith(f"error: {called} is given 2 times, and takes one value; give one\n")


def test_every_training_takes_a_seed_and_a_device() -> None:
    for name in (
        *("train-teacher", "train-student", "search-student", "compare-teachers", "tune", "retrain"),
        "finetune-int8",
    ):
        assert {"--seed", "--device"} <= options((name,))


@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_debug_holds_in_any_position(place: int, tmp_path: Path) -> None:
    words = ["predict", str(tmp_path), "--text", "x"]
    words.insert(place, "--debug")
    assert type(distill(*words).exception) is BundleError


def test_quiet_leaves_warnings_and_results_and_verbose_says_when(data: Path, tmp_path: Path) -> None:
    quiet = distill("data", "check", data, "-q")
    assert "rows" in quiet.stdout
    assert "read as" not in quiet.stderr
    loud = distill("-v", "split", data / "train.json", "-o", tmp_path / "a")
    assert loud.stderr.startswith("[     0.0 s] distill 0.1.0, Python 3.")
    assert "exclude each other" in distill("-q", "split", data / "train.json", "-o", tmp_path / "b", "-v").stderr
    assert volume == Volume()  # nothing of it is left for the next command


def test_errors_have_one_form_and_their_code_whoever_finds_them() -> None:
    for words in (("predict",), ("verif",), ("--no-such",), ("bench", "run", "--batch"), ("evaluate", "/none")):
        result = distill(*words)
        assert result.exit_code == ExitCode.ERROR
        assert result.stderr.splitlines()[-1].startswith("error: ")
        assert "Error:" not in result.stderr


def test_every_exit_code_has_its_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
    said = {code for command in EVERY.values() for code in getattr(command.callback, "exit_codes", {})}
    assert said == {ExitCode.FAILED, ExitCode.KEPT_OLD}


def test_the_version_has_a_short_option() -> None:
    assert distill("-V").stdout == distill("--version").stdout == "distill, version 0.1.0\n"


def test_json_is_all_of_standard_output_and_what_the_file_has(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    for words in (("evaluate", chain.int8, "--data", chain.data), ("verify", chain.int8)):
        result = distill(*words, "--json", "-o", out, "--overwrite")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == json.loads(out.read_text(encoding="utf-8"))
        assert json.loads(distill(*words, "-o", "-").stdout) == json.loads(result.stdout)
    checked = json.loads(distill("data", "check", chain.data, "--json").stdout)
    assert [part["rows"] for part in checked["splits"]] == [64, 32, 24]
    divided = json.loads(distill("split", chain.data / "train.json", "-o", tmp_path / "s", "--json").stdout)
    assert divided["seed"] == 13


def test_the_split_that_is_measured_is_test_where_it_has_labels_and_is_said(chain: Chain, tmp_path: Path) -> None:
    result = distill("evaluate", chain.int8, "--data", chain.data)
    assert "measuring on test; choose with --split" in result.stderr
    assert "test, thresholds" in result.stdout
    for name in ("train.json", "dev.json", "labels.txt"):
        (tmp_path / name).write_bytes((chain.data / name).read_bytes())
    (tmp_path / "images").symlink_to(chain.data / "images")
    result = distill("evaluate", chain.int8, "--data", tmp_path)
    assert "measuring on dev, as there is no test; choose with --split" in result.stderr


def test_what_exists_is_refused_in_one_line_and_overwritten_when_told(chain: Chain, tmp_path: Path) -> None:
    """One rule for files and folders, before any work."""
    file, folder, text = tmp_path / "a.json", tmp_path / "split", ("--text", "a b")
    file.write_text("mine")
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "r.md").write_text("mine")
    (tmp_path / "a.jsonl").write_text("mine")
    assert distill("split", chain.data / "train.json", "-o", folder).exit_code == 0
    for words, out in (
        (("evaluate", chain.int8, "--data", chain.data), file),
        (("verify", chain.int8), file),
        (("data", "check", chain.data), file),
        (("explain", chain.int8, *text), tmp_path / "a.png"),
        (("bench", "run", chain.int8, "--data", chain.data), tmp_path / "r.json"),
        (("bench", "pack", chain.int8, "--data", chain.data), file),
        (("bench", "page", file), file),
        (("predict", chain.int8, *text), tmp_path / "a.jsonl"),
        (("split", chain.data / "train.json"), folder),
        (("export", chain.student, "--data", chain.data, "--set", "data.columns.id=id"), chain.int8),
    ):
        result = distill(*words, "-o", out)
        assert result.exit_code == 2, words
        assert "pass --overwrite to replace it, or choose another --out" in result.stderr
    assert file.read_text() == "mine"
    assert distill("predict", chain.int8, *text, "-o", tmp_path / "a.jsonl", "--overwrite").exit_code == 0
    assert '"labels"' in (tmp_path / "a.jsonl").read_text()
    assert distill("split", chain.data / "dev.json", "-o", folder, "--overwrite").exit_code == 0


def test_what_a_command_reads_is_never_written_over(chain: Chain, tmp_path: Path) -> None:
    image, rows, report = tmp_path / "a.png", tmp_path / "rows.json", tmp_path / "report.json"
    image.write_bytes(next((chain.data / "images").iterdir()).read_bytes())
    rows.write_bytes((chain.data / "train.json").read_bytes())
    report.write_text("{}")
    for words, out in (
        (("explain", chain.int8, "--image", image), image),
        (("evaluate", chain.int8, "--data", rows), rows),
        (("data", "check", rows), rows),
        (("bench", "page", report), report),
    ):
        before = out.read_bytes()
        result = distill(*words, "-o", out, "--overwrite")
        assert result.exit_code == 2, words
        assert "which is read" in result.stderr
        assert out.read_bytes() == before


def test_a_folder_of_others_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    refuse_existing(tmp_path / "thesis", False, lambda _: False, "a Bundle")  # it is empty
    (tmp_path / "thesis" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="holds something that is not a Bundle; choose another --out"):
            refuse_existing(tmp_path / "thesis", overwrite, lambda _: False, "a Bundle")
