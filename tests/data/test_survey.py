"""A survey of a dataset: counts, duplicates that leak or clash, labels that exclude each other, every error."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from photos import photo

from distill.data.checks import check_splits, thin_dev
from distill.data.columns import Columns
from distill.data.dataset import Example, Splits, read_splits
from distill.data.labels import LabelSet
from distill.data.survey import Apart, DuplicateSurvey, ImageSurvey, SplitSurvey, Spread, Survey, survey


def text(id_: str, words: str, *labels: str) -> Example:
    return Example(id_, words, None, labels)


def dataset(folder: Path) -> Splits:
    """Six images, two of them equal and two alike, across train and dev."""
    images = []
    for number, (seed, quality) in enumerate([(1, 95), (2, 95), (3, 95), (1, 95), (2, 40), (4, 95)]):
        images.append(folder / f"{number}.png")
        photo(seed, (64, 48)).save(images[-1], "JPEG", quality=quality)
    train = [
        Example("1", "One thing", images[0], ("a",)),
        Example("2", "two", images[1], ("a", "b")),
        Example("3", "three words here", images[2], ("b",), ("a",)),
        Example("4", "one THING!", images[3], ("b",)),
        Example("5", "", images[5], None),
    ]
    dev = [Example("6", "two more", images[4], ("a",)), text("7", "One  thing", "b")]
    return Splits(LabelSet(("a", "b")), train, dev, [])


def of(report: Survey, kind: str) -> DuplicateSurvey:
    return next(part for part in report.duplicates if part.kind == kind)


def test_rows_labels_words_and_images_are_counted(tmp_path: Path) -> None:
    report = survey(dataset(tmp_path), tmp_path).survey
    assert report.splits == (
        SplitSurvey("train", 5, 4, 5, 4, 4, Spread(1, 2, 3, 3)),
        SplitSurvey("dev", 2, 2, 1, 2, 2, Spread(2, 2, 2, 2)),
    )
    assert [(label.name, label.positives, label.unknown) for label in report.labels] == [
        ("a", {"train": 2, "dev": 1}, 1),
        ("b", {"train": 3, "dev": 1}, 0),
    ]
    assert report.images == ImageSurvey(6, 5, {"JPEG": 6}, Spread(64, 64, 64, 64), Spread(48, 48, 48, 48))
    assert json.loads(json.dumps(report.to_json()))["images"]["formats"] == {"JPEG": 6}


def test_duplicates_leak_across_splits_and_clash_in_their_labels(tmp_path: Path) -> None:
    report = survey(dataset(tmp_path), tmp_path).survey
    same, alike, texts = (of(report, kind) for kind in ("image", "similar image", "text"))
    assert (same.groups, same.rows, same.leaks, same.clashes) == (1, 2, 0, 1)
    assert (alike.groups, alike.rows, alike.leaks, alike.clashes) == (1, 2, 1, 0)  # their texts differ
    assert [member.id for member in alike.listed[0].members] == ["2", "6"]
    assert (texts.groups, texts.rows, texts.leaks, texts.clashes) == (1, 3, 1, 1)
    assert (
        "an image that looks the same is in two splits, which inflates the metrics: '2' (train) and '6' (dev)"
        in (report.warnings)
    )
    assert (
        "the same image has different labels in different rows (1 x): '1' (train) and '4' (train)"
        in report.warnings
    )


def test_similar_images_clash_under_equal_texts(tmp_path: Path) -> None:
    whole = dataset(tmp_path)
    dev = [replace(example, text="Two!") if example.id == "6" else example for example in whole.dev]
    report = survey(replace(whole, dev=dev), tmp_path).survey
    assert of(report, "similar image").clashes == 1


def test_equal_texts_on_other_images_do_not_clash(tmp_path: Path) -> None:
    for seed in (1, 2):
        photo(seed).save(tmp_path / f"{seed}.png")
    train = [Example(str(seed), "so true", tmp_path / f"{seed}.png", ("ab"[seed - 1],)) for seed in (1, 2)]
    report = survey(Splits(LabelSet(("a", "b")), train, [], []), tmp_path).survey
    assert (of(report, "text").groups, of(report, "text").clashes) == (1, 0)
    bare = [replace(example, image=None) for example in train]
    report = survey(Splits(LabelSet(("a", "b")), bare, [], []), tmp_path).survey
    assert of(report, "text").clashes == 1


def test_labels_that_chance_would_bring_together_and_no_row_has(tmp_path: Path) -> None:
    rows = [text(str(n), f"post {n}", "cat" if n % 2 else "dog", *(["rare"] if n == 0 else [])) for n in range(40)]
    report = survey(Splits(LabelSet(("cat", "dog", "rare")), rows, [], []), tmp_path).survey
    assert report.never_together == (Apart("dog", "cat", 10.0),)


def test_all_errors_are_listed_where_a_training_stops_at_the_first(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    train = [Example("1", "x", tmp_path / "broken.jpg", ("a", "strange"))]
    report = survey(Splits(LabelSet(("a",)), train, [text("1", "y", "a")], []), tmp_path).survey
    words = ("not in the label set", "id in two splits", "thresholds need 2", "missing or unreadable")
    assert len(report.errors) == 4
    for line, part in zip(report.errors, words, strict=True):
        assert part in line
    assert [label.name for label in report.labels] == ["a", "strange"]


def test_a_survey_says_which_format_and_columns_each_file_has(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.csv").write_text("nr;caption;tags;url\n1;so true;a|b;u\n2;so false;a;u\n")
    read = survey(read_splits(tmp_path, columns=Columns(id="nr")), tmp_path).survey.read_as
    how = "read as CSV separated by semicolons: id 'nr', text 'caption', image none, labels 'tags'"
    assert read == (f"{tmp_path / 'train.csv'}: {how}",)  # dev is read in the same way


def test_a_survey_says_what_a_training_says(data: Path) -> None:
    splits = read_splits(data)
    leaky = replace(splits, dev=[replace(splits.train[0], id="again"), *splits.dev])
    report = survey(leaky, data).survey
    *warnings, thin = report.warnings
    assert warnings == check_splits(leaky)
    assert len(warnings) == 2
    assert thin.startswith("dev: 33 labelled rows")
    assert not report.errors


def test_a_dev_split_by_which_little_can_be_decided_is_warned_of_with_its_numbers() -> None:
    def lines(rows: int, rare: int) -> list[str]:
        dev = [text(str(i), "x", *(["a"] if i % 2 else []), *(["b"] if i < rare else [])) for i in range(rows)]
        return thin_dev(Splits(LabelSet(("a", "b", "c")), [], dev, []), "do this")

    assert lines(50, 3) == []
    assert lines(49, 3) == ["dev: 49 labelled rows, on which thresholds and the best epoch would rest; do this"]
    few = "dev: 50 labelled rows and fewer than 3 positive examples of b (2), on which"
    assert lines(50, 2) == [f"{few} thresholds and the best epoch would rest; do this"]
    assert lines(50, 0) == []  # of a label without any, there is a line of its own
