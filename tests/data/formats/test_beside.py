"""What lies in a dataset's folder beside its splits: read where its meaning is certain, else refused or named."""

from __future__ import annotations

import gzip
from pathlib import Path

import published
import pytest

from distill.core.errors import DataError
from distill.data.dataset import read_splits
from distill.data.formats.folders import find_parts

HEADER = "id,text,labels\n"


def write(path: Path, first: int = 0, rows: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{n},word number {n},{'sad' if n % 2 else 'glad'}\n" for n in range(first, first + rows))
    path.write_text(HEADER + "".join(lines))
    return path


def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    read_splits(folder)
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["validate.csv", "devel.csv", "Validate-00000-of-00001.csv"])
def test_dev_may_be_called_validate(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / name, 100)
    assert [row.id for row in read_splits(tmp_path).dev] == ["100", "101", "102", "103"]


def test_a_split_in_ndjson_is_read_as_a_single_file_is(tmp_path: Path) -> None:
    write(tmp_path / "train.csv")
    (tmp_path / "dev.ndjson").write_text('{"id": "a", "text": "b", "labels": ["sad"]}\n')
    assert [row.id for row in read_splits(tmp_path).dev] == ["a"]


def test_other_tables_and_archives_are_named_in_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / "dev.csv", 100)
    write(tmp_path / "holdout.csv", 200)
    write(tmp_path / "old" / "a.csv", 300)
    write(tmp_path / "old" / "more" / "b.csv", 300)
    (tmp_path / "extra.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "images.zip").write_bytes(b"PK\x03\x04")  # holds no rows
    (tmp_path / "dev.zip").write_bytes(b"PK\x03\x04")  # dev is read
    (tmp_path / "test_ids.txt").write_text("1\n2\n")
    line = f"warning: {tmp_path}: not read as part of the dataset: dev.zip, extra.xlsx, holdout.csv, old (2 files)"
    assert line.split() == said(tmp_path, capsys).split()[: len(line.split())]


def test_unlabelled_posts_beside_the_splits_are_named_with_the_option_that_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train.csv", "dev.csv", "unlabelled.csv"):
        (tmp_path / name).write_text("id,text,labels\n" + "".join(f"{name}{n},words {n},sad\n" for n in range(9)))
    read_splits(tmp_path)
    assert "not read as part of the dataset: unlabelled.csv (which --unlabelled reads)" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_split_in_a_form_that_is_not_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "train.csv")
    for name, content, step in (
        ("test.csv.gz", gzip.compress(HEADER.encode()), "unpack it"),
        ("dev.xlsx", b"PK\x03\x04", "save the sheet as CSV in UTF-8"),
        ("dev_seen.feather", b"ARROW1", "save it as Parquet or CSV"),
        ("dev.txt", b"id\ttext\tlabels\n1\ta\tsad\n", "call it dev.csv, or dev.tsv if tabs separate its columns"),
    ):
        (tmp_path / name).write_bytes(content)
        split = name[:4].rstrip("._")
        with pytest.raises(DataError) as refused:
            read_splits(tmp_path)
        assert str(refused.value) == (
            f"{tmp_path / name}: is named after the {split} split, and not read: {step}; if it is none, rename it"
        )
        (tmp_path / name).unlink()


@pytest.mark.parametrize("name", ["dev/dev.csv", "dev/rows.csv", "other/deep/valid.csv"])
def test_a_split_in_another_folder_than_train_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / name, 100)
    with pytest.raises(DataError, match=r"is named after the dev split, and not read: move it beside train\.csv"):
        read_splits(tmp_path)
    write(tmp_path / "dev.csv", 200)
    assert len(read_splits(tmp_path).dev) == 4


def test_a_file_to_divide_is_refused_beside_a_dev_split_that_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "all.csv", rows=20)
    write(tmp_path / "dev" / "dev.csv", 100)
    with pytest.raises(DataError, match=r"dev\.csv: is named after the dev split"):
        read_splits(tmp_path)


@pytest.mark.parametrize("form", published.FORMS, ids=lambda form: form.name)
def test_in_published_forms_nothing_is_unread(form: published.Form, tmp_path: Path) -> None:
    assert find_parts(form.write(tmp_path / "data")).unread == ""


def test_images_beside_folders_of_classes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cats/0.jpg", "dogs/0.jpg", "dogs/puppies/0.jpg", "dogs/puppies/small/1.jpg", "2.jpg"):
        for split in ("train", "validate"):
            published.image(tmp_path / split / name, len(split + name))
    published.image(tmp_path / "holdout" / "cats" / "3.jpg", 5)
    assert set(find_parts(tmp_path).parts) == {"train", "dev"}
    warned = " ".join(said(tmp_path, capsys).split())
    assert "holdout/ (1 image(s))" in warned
    assert "1 image(s) in train/, in no folder of a class, train/dogs/puppies/ (2 image(s))" in warned
    assert "validate/dogs/puppies/ (2 image(s))" in warned


def test_a_split_of_one_class_is_read_beside_train(tmp_path: Path) -> None:
    for name in ("train/cats/0.jpg", "train/dogs/0.jpg", "dev/dogs/1.jpg"):
        published.image(tmp_path / name, len(name))
    assert [row.labels for row in read_splits(tmp_path).dev] == [("dogs",)]


@pytest.mark.parametrize("numbers", [(0, 2), (0,), (1, 2)])
def test_a_missing_shard_is_named(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        write(tmp_path / f"train-0000{number}-of-00003.csv", 10 * number)
    missing = min({0, 1, 2} - set(numbers))
    with pytest.raises(DataError) as refused:
        find_parts(tmp_path)
    assert f"train-0000{missing}-of-00003.csv is missing: {len(numbers)} of 3 shards" in str(refused.value)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train_1", "train_3"], "2 files, train_1.csv to train_3.csv, without the number 2"),
        (
            ["train-0", "train-1", "train-5", "train-10"],
            "train-0.csv to train-10.csv, without the numbers 2, 3, 4, and",
        ),
        (["train/0", "train/2"], "train/0.csv to train/2.csv, without the number 1"),
        ([f"train/part-0000{n}-0d5dd3a9-3f0e-4c0b-9f0b-6a1f8f1a2b3c-c000" for n in (0, 2)], "without the number 1"),
        (["train_1", "train_2"], ""),
        (["train_2016", "train_2019"], ""),
    ],
)
def test_a_number_that_files_of_a_split_leave_out_is_warned_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], said: str
) -> None:
    for number, name in enumerate(names):
        write(tmp_path / f"{name}.csv", 10 * number)
    find_parts(tmp_path)
    assert capsys.readouterr().err == ""
    read_splits(tmp_path)
    warned = " ".join(capsys.readouterr().err.split())
    assert (
        warned.count(f"the train split is {len(names)} files") == warned.count("without the number") == bool(said)
    )
    assert said in warned


def test_shards_of_two_kinds_are_not_one_split_and_those_from_1_are(tmp_path: Path) -> None:
    write(tmp_path / "train-1-of-2.csv")
    write(tmp_path / "train-2-of-2.csv", 10)
    assert len(read_splits(tmp_path).train) + len(read_splits(tmp_path).dev) == 8
    write(tmp_path / "train-1-of-2.tsv", 20)
    with pytest.raises(DataError, match="are not the 2 shards of one train split"):
        find_parts(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002-6f33c0ffee123456.csv", "train-00001-of-00002-1c2d00ab45678900.csv"),
        (
            "train/part-00000-0d5dd3a9-3f0e-4c0b-9f0b-6a1f8f1a2b3c-c000.snappy.csv",
            "train/part-00001-0d5dd3a9-3f0e-4c0b-9f0b-6a1f8f1a2b3c-c000.snappy.csv",
        ),
        (
            "train/part-00000-tid-123-0d5dd3a9-3f0e-4c0b-9f0b-6a1f8f1a2b3c-7-1-c000.csv",
            "train/part-00001-tid-123-0d5dd3a9-3f0e-4c0b-9f0b-6a1f8f1a2b3c-8-1-c000.csv",
        ),
    ],
)
def test_shards_with_hashes_are_one_split(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        write(tmp_path / name, 10 * number)
    assert [part.path for part in find_parts(tmp_path).parts["train"]] == [tmp_path / name for name in names]


def test_a_missing_shard_with_a_hash_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002-6f33c0ffee123456.csv")
    with pytest.raises(DataError, match=r"train-00001-of-00002\.csv is missing: 1 of 2 shards"):
        find_parts(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test_predictions.csv", "id,text,labels\n900,words of nine,sad\n"),
        ("test_results.csv", "id,text,labels\n900,words of nine,sad\n"),
        ("train_log.csv", "epoch,loss\n1,0.5\n"),
        ("eval_results.json", '{"f1": 0.5}'),
        ("test_metrics.json", '{"f1": 0.5}'),
        ("evaluation.json", '{"f1": 0.5, "labels": {"sad": 1}}'),
        ("metrics.json", "[0.5]"),
        ("evaluation/results.csv", "model,f1\na,0.5\n"),
        ("predictions/test.csv", "id,text,labels\n900,words of nine,sad\n"),
        ("scripts/eval.json", '{"batch": 8}'),
        ("scripts/test.json", '{"batch": 8}'),
        ("scripts/test.csv", "model,f1\na,0.5\n"),
    ],
)
def test_what_programs_write_of_a_split_is_named_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    write(tmp_path / "train.csv")
    write(tmp_path / "dev.csv", 100)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    assert set(find_parts(tmp_path).parts) == {"train", "dev"}
    assert f"not read as part of the dataset: {name.split('/')[0]}" in " ".join(said(tmp_path, capsys).split())


@pytest.mark.parametrize(
    "content", ['{"text": {"0": "a"}, "label": {"0": "b"}}', '{"rows": [{"text": "a"}]}', '{"7": {"text": "a"}}']
)
def test_a_split_in_one_json_object_is_refused_and_not_passed_over(tmp_path: Path, content: str) -> None:
    write(tmp_path / "train.csv")
    (tmp_path / "eval.json").write_text(content)
    with pytest.raises(DataError, match=r"eval\.json: expected a JSON list of rows"):
        read_splits(tmp_path)


def test_a_file_to_divide_is_read_beside_its_results_and_results_alone_are_rows(tmp_path: Path) -> None:
    write(tmp_path / "results.csv", rows=20)
    assert len(read_splits(tmp_path).train) == 14
    write(tmp_path / "posts.csv", rows=40)
    assert len(read_splits(tmp_path).train) == 28


def test_files_and_empty_folders_beside_folders_of_classes_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(20):
        published.image(tmp_path / ("cat", "dog")[n % 2] / f"{n}.jpg", n)
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird" / ".gitkeep").touch()
    for name in ("__pycache__/a.pyc", ".cache/a.csv", "results.csv", "metrics.json", "logs/run.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}" if name.endswith("json") else "model,f1\na,0.5\n")
    warned = " ".join(said(tmp_path, capsys).split())
    assert "not read as part of the dataset: logs, metrics.json, results.csv, bird/ (empty)" in warned
    published.image(tmp_path / "__background__" / "a.jpg", 77)
    assert read_splits(tmp_path).labels.names == ("__background__", "cat", "dog")


def test_a_folder_of_other_files_beside_those_of_classes_is_no_class(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "dog/2.jpg"):
        published.image(tmp_path / name, len(name))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("no image")
    with pytest.raises(DataError, match="no other form of dataset that is known"):
        read_splits(tmp_path)
