"""Predictions as tables: what a row says, and that a table is whole or not there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from click.testing import CliRunner, Result

from distill.cli.main import main
from distill.core.errors import OutputError
from distill.data.answer_rows import iter_answer_rows
from distill.data.formats.open_table import open_table
from distill.runtime import predictions
from distill.runtime.pipeline import CHUNK_SIZE
from distill.runtime.prediction_table import check_table

ODD = 'Tabs\tand "quotes",\nlines; =1+1 ünd'


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [{"id": f"{ODD} {n}", "text": f"word {n}"} for n in range(CHUNK_SIZE + 5)]
    rows[3] = {"id": "broken", "text": 7}
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return [row for _, row in open_table(path).rows if isinstance(row, dict)]
    with path.open(encoding="utf-8", newline="") as handle:
        read = list(csv.DictReader(handle, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True))
    labels = [name for name in read[0] if name not in ("id", "labels", "error")]
    return [
        row
        | {"labels": json.loads(row["labels"]) if row["labels"] else None, "error": row["error"] or None}
        | {name: float(row[name]) if row[name] else None for name in labels}
        for row in read
    ]


def test_a_table_says_what_the_lines_say(chain: Chain, posts: Path, tmp_path: Path) -> None:
    assert distill("predict", chain.int8, posts, "--out", tmp_path / "a.jsonl").exit_code == 1
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    names = list(lines[0]["probabilities"])
    for suffix in (".csv", ".tsv", ".parquet"):
        out = tmp_path / f"a{suffix}"
        result = distill("predict", chain.int8, posts, "--out", out)
        assert (result.exit_code, "1 row(s) could not be read" in result.stderr) == (1, True)
        rows = rows_of(out)
        assert list(rows[0]) == ["id", "labels", *names, "error"]
        for row, line in zip(rows, lines, strict=True):
            assert (row["id"], row["labels"], row["error"]) == (line["id"], line.get("labels"), line.get("error"))
            assert {name: row[name] for name in names} == line.get("probabilities", dict.fromkeys(names))
        answers = [answer.values for answer in iter_answer_rows(out, tuple(names)) if not answer.is_failed]
        assert len(answers) == len(lines) - 1
        assert float(answers[0][names[0]]) == lines[0]["probabilities"][names[0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.csv",
        "a.jsonl",
        "a.parquet",
        "a.tsv",
        "posts.jsonl",
    ]


def test_a_table_that_could_not_be_written_costs_no_prediction(
    chain: Chain, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("predict", chain.int8, posts, "--out", tmp_path / "a.csv")
    with monkeypatch.context() as patch:

        def fail(lines: Path, **options: Any) -> None:
            raise OutputError("no room")

        patch.setattr(predictions, "write_table", fail)
        assert "no room" in distill(*words).stderr
    assert not (tmp_path / "a.csv").exists()
    assert (tmp_path / "a.csv.part").is_file()
    assert "go on with --resume" in distill(*words).stderr
    assert distill(*words, "--resume").exit_code == 1
    distill(*words[:-1], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "posts.jsonl"]


@pytest.mark.parametrize("name", ["a.json", "a.xlsx", "a.csv.gz"])
def test_predictions_are_not_written_under_a_name_of_something_else(
    chain: Chain, posts: Path, tmp_path: Path, name: str
) -> None:
    result = distill("predict", chain.int8, posts, "--out", tmp_path / name)
    assert result.exit_code == 2
    assert "the suffix must be one of .jsonl, .ndjson, .csv, .tsv, .parquet; name it" in result.stderr
    assert not (tmp_path / name).exists()


def test_a_label_that_is_called_like_a_column_is_refused() -> None:
    with pytest.raises(OutputError, match=r"a\.csv: the label 'error' would be a column .*; write a\.jsonl"):
        check_table(Path("a.csv"), ["sad", "error"])


def test_the_rows_that_are_read_are_never_written_over(chain: Chain, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "text": "some words"}\n')
    result = CliRunner().invoke(main, ["predict", str(chain.int8), str(rows), "-o", str(rows), "--overwrite"])
    assert result.exit_code == 2
    assert "which is read" in result.output
    assert rows.read_text() == '{"id": "1", "text": "some words"}\n'
