"""The options that say which columns hold what: on every command that reads rows, and remembered afterwards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from chain import Chain
from click.testing import CliRunner

from bench.quality.eval_set import EvalSet
from distill import api
from distill.cli.bench import _eval_set
from distill.cli.main import main
from distill.core.errors import BenchError
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import Recipe
from distill.data.dataset import read_splits
from distill.data.run_folder import read_run_columns
from distill.runtime.bundle import Bundle, columns_of
from distill.training.run_writer import RunStart, begin_run

OPTIONS = {"id_column", "text_column", "image_column", "label_columns", "label_separator", "label_cut", "images"}
READERS = "train-teacher,train-student,finetune-int8,export,evaluate,inspect,tune,compare-teachers,retrain,predict"
READERS += ",search-student,split,data check,data convert,data split,data ocr,bench run,bench pack"


def command(words: str) -> click.Command:
    found: click.Command = main
    for word in words.split():
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word) or pytest.fail(words)
    return found


@pytest.mark.parametrize("words", READERS.split(","))
def test_every_command_that_reads_rows_has_the_options(words: str) -> None:
    assert {parameter.name for parameter in command(words).params} >= OPTIONS


def test_the_options_are_one_value(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(api, "evaluate", lambda *arguments, columns, **rest: seen.append(columns))
    words = "evaluate x --data y --id-column key --text-column plot --image-column - --label-columns a,b"
    words += " --label-column is_* --label-separator tab --label-cut 2 --images posters"
    assert CliRunner().invoke(main, words.split()).exit_code == 0
    assert seen == [Columns("key", "plot", "-", ("a", "b", "is_*"), "\t", 2.0, "posters")]


def test_a_recipe_says_them_too(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[data.columns]\ntext = "plot"\nlabels = ["is_*"]\ncut = 2\n')
    assert Recipe.load(tmp_path / "own.toml").data.columns == Columns(text="plot", labels=("is_*",), cut=2.0)
    assert Recipe.load().data.columns == Columns()


def renamed(data: Path, out: Path, names: dict[str, str]) -> Path:
    """The dataset with other names of columns."""
    shutil.copytree(data, out)
    for path in out.glob("*.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps([{names.get(k, k): v for k, v in row.items()} for row in rows]), "utf-8")
    return out


def test_a_run_remembers_its_columns_so_that_later_commands_need_no_repetition(
    chain: Chain, tmp_path: Path
) -> None:
    data = renamed(chain.data, tmp_path / "data", {"text": "plot", "labels": "mood", "image": "file_name"})
    said = Columns(text="plot", labels=("mood",))
    splits = read_splits(data, columns=said)
    assert [replace(e, image=None) for e in splits.train] == [replace(e, image=None) for e in chain.splits.train]
    begin_run(tmp_path / "run", RunStart("teacher", chain.recipe.teacher, splits), resume=False, overwrite=False)
    assert read_run_columns(tmp_path / "run") == said
    assert read_splits(data, remembered=said) == splits
    assert read_splits(chain.data, remembered=said).train == chain.splits.train  # where they fit


def test_a_bundle_remembers_its_columns(chain: Chain, tmp_path: Path) -> None:
    bundle = shutil.copytree(chain.int8, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert "columns" not in manifest
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"columns": {"text": "plot", "labels": ["mood"]}}))
    assert Bundle.open(bundle).columns == columns_of(bundle) == Columns(text="plot", labels=("mood",))
    data = renamed(chain.data, tmp_path / "data", {"text": "plot", "labels": "mood"})
    splits = api.read_dataset(data, bundle)
    assert [e.text for e in splits.dev] == [e.text for e in chain.splits.dev]
    assert [e.labels for e in splits.dev] == [e.labels for e in chain.splits.dev]


def test_images_under_img_are_answered_as_images(chain: Chain, tmp_path: Path) -> None:
    answers = []
    for name in ("image", "img"):
        rows = [
            {"id": e.id, name: str(e.image), "text": e.text, "label": 1 - n}
            for n, e in enumerate(chain.splits.dev[:2])
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = CliRunner().invoke(main, ["predict", str(chain.int8), str(path)])
        answers.append(result.stdout)
        assert "columns not used: label" in result.stderr
    assert answers[0] == answers[1]
    assert answers[0].count("\n") == 2


def test_a_benchmark_reads_each_run_from_its_own_columns(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(chain.int8, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    data = renamed(chain.data, tmp_path / "data", {})
    for path in data.glob("*.json"):
        rows = json.loads(path.read_text())
        path.write_text(json.dumps([row | {"title": f"title of {row['id']}"} for row in rows]))

    def eval_set(columns: dict[str, Any], said: Columns | None = None) -> EvalSet:
        (other / "manifest.json").write_text(json.dumps(manifest | {"columns": columns}))
        return _eval_set(data, chain.int8, "dev", said or Columns(), (other,))[1]

    asked = eval_set({"text": "title"})
    assert [e.text for e in asked.as_read_by(other).examples] == [f"title of {e.id}" for e in asked.examples]
    assert asked.as_read_by(chain.int8).examples == asked.examples
    assert "its quality is measured on its own columns" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(BenchError, match="was trained on other columns, and one file holds one set"):
        asked.save(tmp_path / "packed")
    assert eval_set({"text": "title"}, Columns(text="text")).own == {}  # named for all
    assert eval_set({"text": "text"}).own == {}
    with pytest.raises(BenchError, match="reads other rows or labels"):
        eval_set({"id": "title"})
