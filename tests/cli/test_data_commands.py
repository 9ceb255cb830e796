"""`distill data check`, `convert` and `split`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from distill.cli.main import main
from distill.data.dataset import examples_to_json, read_splits


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_check_writes_tables_json_and_a_page_with_the_images_of_duplicates(data: Path, tmp_path: Path) -> None:
    splits = read_splits(data)
    rows = [*splits.dev, *(row for row in splits.train[:1])]
    for name, part in (("train", splits.train), ("dev", rows)):
        lines = examples_to_json(part, tmp_path).replace('"train-0000"', f'"{name}-<b>0"')
        (tmp_path / f"{name}.json").write_text(lines, encoding="utf-8")
    result = distill("data", "check", tmp_path, "--out", tmp_path / "r.json", "--page", tmp_path / "p.html")
    assert result.exit_code == 0, result.output
    assert "equal images" in result.stdout
    assert "the same image is in two splits" in result.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert [part["rows"] for part in report["splits"]] == [64, 33]
    assert next(part for part in report["duplicates"] if part["kind"] == "image")["leaks"] == 1
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 4  # of the image, and of the text, in train and dev
    assert "train-&lt;b&gt;0" in page
    assert "<b>" not in page
    assert not re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,|#)", page)


def test_check_exits_with_1_where_a_training_would_stop_and_lists_every_reason(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\n")
    for name in ("train", "dev"):
        row = {"id": "1", "text": name, "image": "none.jpg", "labels": ["b"]}
        (tmp_path / f"{name}.json").write_text(json.dumps([row]))
    result = distill("data", "check", tmp_path, "--out", tmp_path / "report.json")
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(json.loads((tmp_path / "report.json").read_text())["errors"]) == 4
    assert distill("data", "check", tmp_path / "nowhere").exit_code == 2


def test_check_writes_over_nothing_of_the_dataset(data: Path) -> None:
    for option in ("--out", "--page"):
        for name in ("train.json", "labels.txt"):
            result = distill("data", "check", data, option, data / name, "--overwrite")
            assert result.exit_code == 2
            assert "which is read" in result.stderr
    result = distill("data", "check", data, "--out", "x", "--page", "./x")
    assert "name the same file" in result.stderr


@pytest.mark.parametrize("words", [("split",), ("data", "split")])
def test_split_has_two_names(words: tuple[str, ...], data: Path, tmp_path: Path) -> None:
    result = distill(*words, data / "train.json", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    splits = read_splits(tmp_path / "out")
    assert len(splits.train) + len(splits.dev) + len(splits.test) == 64
    result = distill(*words, data / "train.json", "--out", tmp_path / "other", "--time-column", "date")
    assert result.exit_code == 2
    assert "has no column 'date'; it has 'id', 'labels', 'text', 'image'" in result.stderr


def test_convert_writes_what_training_reads(data: Path, tmp_path: Path) -> None:
    result = distill("data", "convert", data, tmp_path / "out", "--to", "jsonl")
    assert result.exit_code == 0, result.output
    assert result.stderr.strip().endswith("64 train, 32 dev, 24 test")
    assert [e.id for e in read_splits(tmp_path / "out").test] == [e.id for e in read_splits(data).test]
