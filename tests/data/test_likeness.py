"""Equal and nearly equal posts stay on one side of a split, and are named on two; so are labels that look alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.core.errors import DataError
from distill.data.checks import check_splits
from distill.data.dataset import Example, Splits, read_splits
from distill.data.dividing.split_file import split_file
from distill.data.dividing.stratify import stratified_split
from distill.data.labels import LabelSet
from distill.data.likeness import alike, groups_of, text_key


@pytest.mark.parametrize(
    "text",
    ["who did  this", "WHO did THIS?!", "Who\u200b did\nthis…", "\uff37ho did\u00a0this", "wh\u00ado did_this"],
)
def test_texts_that_differ_in_how_they_are_written_share_a_key(text: str) -> None:
    assert text_key(text) == "who did this"


def test_other_texts_do_not_share_a_key() -> None:
    assert len({text_key(text) for text in ("who did this", "who did that", "whodid this", "")}) == 4
    assert text_key("e\u0301te\u0301") == text_key("été") != text_key("ete")
    assert text_key("?!") == ""


def test_labels_that_look_alike_are_found_together() -> None:
    labels = ("Doubt", "doubt", "caf\u00e9", "cafe\u0301", "fe\u200bar", "fear", "irony")
    assert alike(labels) == [labels[:2], labels[2:4], labels[4:6]]


def test_rows_are_one_group_by_way_of_others() -> None:
    assert groups_of(["a", "b", "bc", "", "ca", "d", ""]).tolist() == [0, 0, 0, 1, 0, 2, 3]


def test_groups_stay_together_and_labels_keep_their_shares() -> None:
    generator = np.random.default_rng(0)
    groups = np.sort(generator.integers(0, 300, 600))
    groups = np.unique(groups, return_inverse=True)[1]
    targets = (generator.random((600, 3)) < 0.4).astype(np.float32)
    parts = stratified_split(targets, (0.7, 0.15, 0.15), 1, groups)
    assert sorted(np.concatenate(parts)) == list(range(600))
    members = [set(groups[part]) for part in parts]
    assert len(set.union(*members)) == sum(map(len, members))
    for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
        assert targets[part].sum(0) / targets.sum(0) == pytest.approx([share] * 3, abs=0.03)
    with pytest.raises(DataError, match="600 rows, of which 2 differ, cannot be divided into 3 parts"):
        stratified_split(targets, (0.7, 0.15, 0.15), 1, np.arange(600) % 2)


def rows_with_twins() -> list[dict[str, object]]:
    texts = [f"post number {number} of many" for number in range(60)]
    twins = [text.upper() + "!" for text in texts[:20]]
    return [
        {"id": str(number), "text": text, "image": None, "labels": ["a"] if number % 2 else ["a", "b"]}
        for number, text in enumerate([*texts, *twins])
    ]


def test_a_split_keeps_equal_posts_together(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps(rows_with_twins()), encoding="utf-8")
    split_file(tmp_path / "all.json", tmp_path / "out", 13)
    for splits in (read_splits(tmp_path / "out"), read_splits(tmp_path / "all.json")):
        keys = [{text_key(e.text) for e in part} for part in (splits.train, splits.dev, splits.test)]
        assert len(set.union(*keys)) == sum(map(len, keys))
        assert not [line for line in check_splits(splits) if "in two splits" in line]


def example(id_: str, text: str, *labels: str) -> Example:
    return Example(id_, text, None, labels)


def small(train: list[Example], dev: list[Example]) -> Splits:
    return Splits(LabelSet(("a", "b")), train, dev, [])


TRAIN = [example("1", "one thing", "a"), example("2", "another thing", "b")]
DEV = [example("3", "a third", "a"), example("4", "a fourth", "b"), example("5", "One  THING...", "a")]


def test_a_text_in_two_splits_is_a_warning() -> None:
    lines = check_splits(small(TRAIN, DEV))
    assert [line for line in lines if "in two splits" in line] == [
        "the same text, up to case, spaces and punctuation, is in two splits, which inflates the metrics: "
        "'1' (train) and '5' (dev)"
    ]


def test_a_label_that_every_row_has_is_a_warning() -> None:
    everywhere = [replace(row, labels=("a", *row.labels[1:])) for row in (*TRAIN, *DEV)]
    lines = check_splits(small([*everywhere[:2], example("9", "x", "a", "b")], everywhere[2:]))
    assert "train: every row has a: there is nothing to learn" in lines
    assert "dev: every row has a: its F1 is 1 whatever a model has learned" in lines
    assert not [line for line in check_splits(small(TRAIN, DEV)) if "every row" in line]


def test_labels_that_look_alike_are_a_warning_that_shows_the_difference() -> None:
    splits = replace(small(TRAIN, DEV), labels=LabelSet(("a", "b", "caf\u00e9", "cafe\u0301")))
    (line,) = [line for line in check_splits(splits) if "Unicode form" in line]
    assert "'caf\\xe9' and 'cafe\\u0301'" in line


def test_a_training_split_without_a_positive_is_refused() -> None:
    with pytest.raises(DataError, match="train: none of 2 rows has a label, so there is nothing to learn"):
        check_splits(small([replace(row, labels=()) for row in TRAIN], DEV))


def test_rows_without_any_label_are_named_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text('[{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]')
    for call in (lambda: split_file(path, tmp_path / "out", 1), lambda: read_splits(path)):
        with pytest.raises(
            DataError, match=r"all\.json: none of its 2 training rows has a label; give each its 'labels'"
        ):
            call()
    path.write_text('[{"id": "1", "text": "a", "labels": ["x"]}]')
    for call in (lambda: split_file(path, tmp_path / "out", 1), lambda: read_splits(path)):
        with pytest.raises(DataError, match=r"all\.json: 1 rows cannot be divided into 3 parts"):
            call()
    (tmp_path / "labels.txt").write_text("y\n")
    with pytest.raises(DataError, match=r"'1' \(all\.json\) has label 'x'"):
        split_file(path, tmp_path / "out", 1)


def test_a_split_says_which_labels_look_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"id": str(n), "text": f"text {n}", "image": None, "labels": ["Doubt" if n % 2 else "doubt"]}
        for n in range(20)
    ]
    (tmp_path / "all.json").write_text(json.dumps(rows), encoding="utf-8")
    split_file(tmp_path / "all.json", tmp_path / "out", 13)
    assert "'Doubt' and 'doubt'; write each in one way" in " ".join(capsys.readouterr().err.split())
