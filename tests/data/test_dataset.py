"""Readers, label sets, splits and integrity: what is accepted, and what each refusal says."""

from __future__ import annotations

import cProfile
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.core.errors import DataError, DistillError, OutputError
from distill.data.checks import check_splits, content_hash, image_faults
from distill.data.dataset import (
    MAX_TEXT,
    Example,
    Splits,
    encode_targets,
    examples_to_json,
    read_examples,
    read_splits,
)
from distill.data.dividing.split_file import split_file
from distill.data.dividing.stratify import stratified_folds, stratified_split
from distill.data.labels import LabelSet
from distill.data.sources import FailedRow, Source
from distill.preprocess.images import FORMATS

ROWS = [
    {"id": "1", "text": 'He said "hi", twice', "image": "a.jpg", "labels": ["x", "y"]},
    {"id": "2", "text": "línea\nnueva 🔥", "image": "b.jpg", "labels": []},
]


def write_rows(folder: Path, suffix: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"rows{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    else:
        quoted = [[str(row["id"]), row["text"], row["image"], "|".join(row["labels"])] for row in rows]
        lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in quoted]
        path.write_text("id,text,image,labels\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_all_three_forms_give_the_same_examples(tmp_path: Path, suffix: str) -> None:
    examples = read_examples(write_rows(tmp_path, suffix, ROWS))
    assert [(e.id, e.text, e.labels) for e in examples] == [
        ("1", 'He said "hi", twice', ("x", "y")),
        ("2", "línea\nnueva 🔥", ()),
    ]


@pytest.mark.parametrize("place", ["", "images", "rows"])
def test_images_are_found_beside_the_file_in_images_and_in_the_splits_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(tmp_path / place / "a.jpg")
    path = write_rows(tmp_path, ".json", ROWS[:1])
    assert read_examples(path)[0].image == tmp_path / place / "a.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": 1}', "expected a JSON list of rows; got {'id': 1}"),
        ("[1]", "row 1: expected an object"),
        ("[", "not valid JSON"),
        ("[]", "has no rows"),
        ('[{"id": "1", "text": "a"}, {"text": "b"}]', "row 2: has no 'id'"),
        ('[{"id": "1", "text": " "}]', "row 1: has neither 'text' nor 'image'"),
        ('[{"id": ["1"], "image": "a"}]', "id must be a string or a whole number"),
        ('[{"id": "1", "image": 3.5}]', "image must be a file name; got 3.5"),
        ('[{"id": "1", "image": "a\\u0000b"}]', "holds a NUL character"),
        ('[{"id": "1", "image": "a", "text": 5}]', "text must be a string; got 5"),
        ('[{"id": "1", "image": "a", "labels": 7}]', "labels must be a list of names"),
        ('[{"id": "1", "image": "a"}, {"id": 1, "image": "b"}]', "rows 1 and 2 have the same id '1'"),
    ],
)
def test_a_bad_json_file_is_refused_with_its_name_and_reason(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_examples(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,words\n1,a\n", "has no column for texts or images; name one with --text-column or --image-column"),
        (b"id,text,text\n1,a,b\n", "the header has two columns 'text'"),
        (b'id,text,image,labels\n1,"a,b.jpg,x\n', "broken CSV"),
        (b"id,text,image,labels\n1,a\n", "expected 4 fields"),
        (b"id,text,image,labels\n1,\x81,b.jpg,x\n", "neither UTF-8 nor Windows-1252"),
    ],
)
def test_a_bad_csv_file_is_refused_with_its_name_and_reason(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_examples(path)
    assert str(path) in str(caught.value)


def test_a_long_text_of_csv_is_read_and_one_too_long_costs_no_other_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lengths = (200_000, MAX_TEXT, MAX_TEXT + 1, 3)
    path.write_text("id,text,image\n" + "".join(f"{n},{'a' * n},\n" for n in lengths))
    before = csv.field_size_limit(131_072)  # as it is in a process that has read no CSV
    try:
        items = list(Source.open(path).items())
        read = [len(item.text) for item in items if isinstance(item, Example)]
        assert read == [200_000, MAX_TEXT, 3]
        assert "text has 1,000,001 characters, over the limit of 1,000,000" in str(items[2])
        csv.field_size_limit(1 << 30)
        list(Source.open(path).items())
        assert csv.field_size_limit() == 1 << 30  # somebody else needs it
    finally:
        csv.field_size_limit(before)


@given(st.binary(max_size=200), st.sampled_from([".json", ".jsonl", ".csv"]))
@settings(max_examples=300, deadline=None)
def test_readers_answer_any_bytes_with_examples_or_our_own_error(content: bytes, suffix: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(content)
        try:
            assert read_examples(path)
        except DistillError as error:
            message = str(error)
            assert message.startswith(str(path))


def test_label_sets_keep_their_order_and_refuse_strangers(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("b\n\na\n", encoding="utf-8")
    labels = LabelSet.read(tmp_path / "labels.txt")
    assert labels.names == ("b", "a")
    encoded = labels.encode([("a",), ("a", "b"), ()])
    assert encoded.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert labels.decode(np.array([True, False])) == ("b",)
    with pytest.raises(DataError, match="'c' is not in the label set of 2"):
        labels.encode([("c",)])
    with pytest.raises(DataError, match="'a' is listed twice"):
        LabelSet(("a", "a"))
    for odd in ("", " a", "a\nb"):
        with pytest.raises(DataError, match="is empty or has spaces"):
            LabelSet(("x", odd))


def test_stratified_split_gives_every_label_its_share() -> None:
    generator = np.random.default_rng(0)
    y = (generator.random((1000, 8)) < np.linspace(0.02, 0.6, 8)).astype(np.float32)
    parts = stratified_split(y, (0.7, 0.15, 0.15), seed=13)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
        assert len(part) == pytest.approx(1000 * share, abs=5)
        assert np.abs(y[part].sum(0) - share * y.sum(0)).max() <= 2
    again = stratified_split(y, (0.7, 0.15, 0.15), seed=13)
    assert all((a == b).all() for a, b in zip(parts, again, strict=True))


def split_as_the_paper_says(targets: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Algorithm 1 word by word, with every count made anew for every row."""
    generator, part_of = np.random.default_rng(seed), np.full(len(targets), -1)
    wanted_rows, wanted = np.asarray(shares) * len(targets), np.outer(shares, targets.sum(0))
    while (free := part_of < 0).any():
        left = targets[free].sum(0)
        label = int(np.where(left > 0, left, np.inf).argmin()) if left.any() else None
        chosen = np.flatnonzero(free if label is None else free & (targets[:, label] > 0))
        row = int(generator.choice(chosen))
        desire = wanted_rows if label is None else wanted[:, label]
        part = int(np.lexsort(np.stack([generator.random(len(shares)), wanted_rows, desire]))[-1])
        part_of[row] = part
        wanted[part] -= targets[row]
        wanted_rows[part] -= 1
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


@pytest.mark.parametrize("seed", range(6))
def test_the_quick_split_is_the_papers(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = (int(generator.integers(5, 300)), int(generator.integers(1, 9)))
    targets = (generator.random(shape) < 0.5 * generator.random(shape[1])).astype(np.float32)
    for shares in ((0.7, 0.15, 0.15), (0.2,) * 5):
        quick, slow = stratified_split(targets, shares, seed), split_as_the_paper_says(targets, shares, seed)
        assert all(np.array_equal(a, b) for a, b in zip(quick, slow, strict=True))


def test_twice_the_rows_take_about_twice_the_time_to_split() -> None:
    """Counted in steps of the interpreter, which a busy machine does not change."""
    steps = []
    for rows in (1000, 2000):
        targets = (np.random.default_rng(0).random((rows, 8)) < 0.2).astype(np.float32)
        profile = cProfile.Profile()
        profile.runcall(stratified_split, targets, (0.7, 0.15, 0.15), 13)
        steps.append(sum(entry.callcount for entry in profile.getstats()))
    assert steps[1] / steps[0] == pytest.approx(2, abs=0.1)


def test_stratified_folds_spread_a_rare_label() -> None:
    y = np.zeros((50, 2), dtype=np.float32)
    y[:5, 0] = 1
    assert [int(y[fold, 0].sum()) for fold in stratified_folds(y, 5, seed=1)] == [1] * 5
    with pytest.raises(DataError, match="3 rows cannot be divided into 5 parts"):
        stratified_folds(y[:3], 5, seed=1)


def test_a_single_file_is_split_the_same_way_each_time(data: Path, tmp_path: Path) -> None:
    rows = read_splits(data)
    everything = tmp_path / "all.json"
    everything.write_text(examples_to_json([*rows.train, *rows.dev, *rows.test], tmp_path), encoding="utf-8")
    first, second = read_splits(everything), read_splits(everything)
    assert first == second
    assert (len(first.train), len(first.dev), len(first.test)) == (84, 18, 18)
    sizes = split_file(everything, tmp_path / "out", seed=13)
    written = read_splits(tmp_path / "out")
    assert sizes == (84, 18, 18)
    assert [e.id for e in written.dev] == [e.id for e in first.dev]
    assert all(example.image is not None and example.image.is_file() for example in written.train)
    assert json.loads((tmp_path / "out/split.json").read_text())["seed"] == 13
    with pytest.raises(OutputError, match="holds a split dataset already; pass --overwrite"):
        split_file(everything, tmp_path / "out", seed=13)


def test_missing_and_doubled_split_files_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        read_splits(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no train\.json"):
        read_splits(tmp_path)
    for name in ("train.json", "train.csv"):
        (tmp_path / name).write_text("[]")
    with pytest.raises(DataError, match=r"both train\.json and train\.csv"):
        read_splits(tmp_path)
    splits = read_splits(data)
    with pytest.raises(DataError, match="no test split"):
        replace(splits, test=[]).examples("test")


def test_a_clean_data_set_passes_without_a_warning(data: Path) -> None:
    assert check_splits(read_splits(data)) == []


def broken(splits: Splits, **changes: Any) -> Splits:
    return replace(splits, train=[replace(splits.train[0], **changes), *splits.train[1:]])


def test_integrity_refuses_what_would_spoil_a_result(data: Path, tmp_path: Path) -> None:
    splits = read_splits(data)
    truncated = tmp_path / "cut.jpg"
    truncated.write_bytes(splits.train[0].image.read_bytes()[:900])
    page = tmp_path / "page.png"
    page.write_text("<html>not found</html>")
    for changed, message in (
        (broken(splits, labels=("prase",)), r"'train-0000' \(train\) has label 'prase'"),
        (broken(splits, id=splits.dev[0].id), "'dev-0000' in train and dev"),
        (broken(splits, image=tmp_path / "gone.jpg"), "no such image"),
        (broken(splits, image=truncated), "damaged"),
        (broken(splits, image=page), "not an image"),
    ):
        with pytest.raises(DataError, match=message):
            check_splits(changed)


def test_a_label_that_a_run_cannot_learn_is_not_to_be_added_to_a_file(data: Path, tmp_path: Path) -> None:
    """From a folder, and from one file, which is divided by its labels."""
    splits = read_splits(data)
    strange = broken(splits, labels=("prase",))
    (tmp_path / "all.json").write_text(examples_to_json(strange.train, tmp_path), encoding="utf-8")
    for found in (strange, read_splits(tmp_path / "all.json", splits.labels)):
        with pytest.raises(DataError, match="has label 'prase'") as failed:
            check_splits(found, Path("runs/teacher"))
        assert "of runs/teacher, whose 6 labels are fixed; remove it from the row" in str(failed.value)
        assert "labels.txt" not in str(failed.value)
        with pytest.raises(DataError, match=r"add the label to labels\.txt"):
            check_splits(found)


def test_integrity_warns_of_what_may(data: Path) -> None:
    splits = read_splits(data)
    changed = broken(splits, image=splits.dev[0].image, text=" ")
    changed = replace(changed, labels=LabelSet((*splits.labels.names, "never")))
    warnings = "\n".join(check_splits(changed))
    assert "'train-0000' (train) and 'dev-0000' (dev)" in warnings
    assert "train: no positive example of never: cannot be learned" in warnings
    assert "have no text" in warnings


def test_an_image_is_known_by_its_content_not_its_suffix(data: Path, tmp_path: Path) -> None:
    splits = read_splits(data)
    misnamed = tmp_path / "a.png"
    misnamed.write_bytes(splits.train[0].image.read_bytes())  # JPEG bytes
    changed = broken(splits, image=misnamed)
    assert check_splits(changed) == []
    assert content_hash(changed.train[0]) == content_hash(splits.train[0])
    assert content_hash(replace(changed.train[0], text="other")) != content_hash(splits.train[0])


def test_items_of_a_bad_file_keep_the_good_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": "1", "image": "a.jpg"}\n{"id": "2"}\n[]\nnot json\n\n{"id": "\xff", "image": "a"}\n')
    items = list(Source.open(path).items())
    assert [type(item) for item in items] == [Example, FailedRow, FailedRow, FailedRow, FailedRow]
    assert [item.id for item in items] == ["1", "2", "row 3", "row 4", "row 6"]
    assert Source.open(path).count() == 5


def test_a_folder_is_searched_for_every_form_that_is_read(tmp_path: Path) -> None:
    Image.init()
    known = {suffix for suffix, form in Image.EXTENSION.items() if form in FORMATS}
    unusual, extra = {".jpe", ".apng", ".avifs"}, {".heic", ".heif"}
    for suffix in sorted(known | extra):
        (tmp_path / f"a{suffix}").touch()
    assert {Path(item.id).suffix for item in Source.open(tmp_path).items()} == known - unusual | extra


def test_a_folder_of_images_takes_its_texts_from_beside_them(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "b.txt").write_text("words", encoding="utf-8")
    items = list(Source.open(tmp_path).items())
    assert [(item.id, item.text) for item in items if isinstance(item, Example)] == [
        ("a.PNG", ""),
        ("b.jpg", "words"),
    ]
    with pytest.raises(DataError, match="holds no image"):
        list(Source.open(tmp_path / "empty").items()) if (tmp_path / "empty").mkdir() is None else None


def test_one_image_is_a_source_and_folders_below_are_read_on_request(tmp_path: Path) -> None:
    (tmp_path / "below" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "below/b.PNG", "below/deep/a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "below" / "b.txt").write_text("words", encoding="utf-8")
    for name in ("notes.pdf", "clip.mov", ".DS_Store", "below/letter.pdf"):
        (tmp_path / name).touch()
    flat, whole = Source.open(tmp_path), Source.open(tmp_path, recursive=True)
    assert [item.id for item in flat.items()] == ["a.jpg"]
    assert flat.passed_over == (
        "passed over: 2 file(s) that are no images (1 .mov, 1 .pdf) and 1 folder(s) "
        "(below; --recursive reads them too)"
    )
    assert [item.id for item in whole.items()] == ["a.jpg", "below/b.PNG", "below/deep/a.jpg"]
    assert whole.passed_over == "passed over: 3 file(s) that are no images (2 .pdf, 1 .mov)"
    assert whole.count() == 3
    assert whole.digest() != flat.digest()
    (one,) = Source.open(tmp_path / "below" / "b.PNG").items()
    assert isinstance(one, Example)
    assert (one.id, one.text) == ("b.PNG", "words")
    before = Source.open(tmp_path / "below" / "b.PNG").digest()
    (tmp_path / "below" / "b.txt").write_text("other words", encoding="utf-8")
    assert Source.open(tmp_path / "below" / "b.PNG").digest() != before


@pytest.mark.parametrize("name", ["metadata.jsonl", "a.parquet"])
def test_folders_below_are_not_passed_over_in_silence_where_a_file_names_the_rows(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(
        DataError, match=f"its rows are in {name}, so no other folder is read; leave out --recursive"
    ):
        Source.open(tmp_path, recursive=True)


def test_a_folder_without_an_image_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "letter.pdf").touch()
    with pytest.raises(DataError, match=r"holds no image .*; passed over: 1 file.*\.pdf.* --recursive reads"):
        Source.open(tmp_path)


def test_absent_labels_are_unknown_and_an_empty_list_is_none_of_them(tmp_path: Path) -> None:
    labels: list[Any] = [["x"], [], None, "y|x", {"x": 1, "y": 0, "z": None}, {"x": True, "y": False}, {"x": None}]
    rows: list[dict[str, Any]] = [{"id": f"{i}", "text": "words", "labels": each} for i, each in enumerate(labels)]
    rows.append({"id": "absent", "text": "words"})
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    examples = read_examples(path)
    assert [(e.labels, e.unknown_labels) for e in examples] == [
        (("x",), ()),
        ((), ()),
        (None, ()),
        (("y", "x"), ()),
        (("x",), ("z",)),
        (("x",), ("z",)),
        (None, ("x",)),
        (None, ()),
    ]
    nan = np.nan
    expected = [[1, 0, 0], [0, 0, 0], [nan] * 3, [1, 1, 0], [1, 0, nan], [1, 0, nan], [nan] * 3, [nan] * 3]
    assert np.array_equal(encode_targets(examples, LabelSet(("x", "y", "z"))), np.array(expected), equal_nan=True)
    again = tmp_path / "again.json"
    again.write_text(examples_to_json(examples, tmp_path))
    encoded = encode_targets(read_examples(again), LabelSet(("x", "y", "z")))
    assert np.array_equal(encoded, np.array(expected), equal_nan=True)


@pytest.mark.parametrize("value", [{"x": "yes"}, {"x": 0.5}, {"x": 2}, {"x": []}])
def test_labels_that_are_neither_1_nor_0_nor_null_are_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"id": "1", "text": "words", "labels": value}]))
    with pytest.raises(DataError, match=r"rows\.json: row 1: labels must map each name to 1, 0 or, where unknown"):
        read_examples(path)


def test_unknown_labels_are_counted_aloud_and_leave_the_splits(data: Path) -> None:
    splits = read_splits(data)
    train = [replace(e, labels=None) if i % 2 else e for i, e in enumerate(splits.train)]
    dev = [replace(e, unknown_labels=("rally",)) if i < 3 else e for i, e in enumerate(splits.dev)]
    partly = replace(splits, train=train, dev=dev, test=[replace(e, labels=None) for e in splits.test])
    warnings = check_splits(partly)
    assert any(line.startswith("train: 32 of 64 rows have no 'labels', so theirs are unknown") for line in warnings)
    assert any(line.startswith("dev: 3 labels are null, so unknown") for line in warnings)
    known = partly.with_known_labels()
    assert len(known.train) == len(known.unlabelled) == 32
    assert len(known.test) == 24  # all are secret: it stays, for what needs no labels


def test_a_missing_column_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key;words\n1;a\n")
    with pytest.raises(DataError, match=r"has no column for texts or images; .* It has 'key', 'words'$"):
        read_examples(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "a", "note": "b"}\n{"id": "2", "note": "b"}\n')
    with pytest.raises(DataError, match=r"row 2: has neither 'text' nor 'image'.* It has 'id', 'note'"):
        read_examples(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text(json.dumps({f"key{n}": "x" * 500 for n in range(300)}))
    with pytest.raises(DataError, match=r"has no column for texts .* It has 'key0', .*'key7', \.\.\.$"):
        read_examples(tmp_path / "b.jsonl")


def test_json_that_goes_on_behind_a_row_is_refused_with_a_next_step(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"id": 1, "text": "a"},\n{"id": 2, "text": "b"},\n')
    with pytest.raises(DataError, match="write one object a line, and nothing after it, such as a comma"):
        read_examples(path)
    path = path.with_suffix(".json")
    path.write_text('{"id": 1, "text": "a"}{"id": 2, "text": "b"}')
    with pytest.raises(DataError, match="write one list of objects, or one object a line"):
        read_examples(path)


def test_images_that_are_not_there_may_be_in_another_folder(tmp_path: Path) -> None:
    broken = [r"'0' (train): C:\data\0.jpg: no such image"]
    assert next(image_faults(broken)).startswith(
        "1 x image missing or unreadable; give --images FOLDER if they are"
    )
    assert "--images" not in next(image_faults(["'0' (train): 0.jpg: is cut off"]))
