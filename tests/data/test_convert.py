"""What is converted reads back equal, with its images, unknown labels and splits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from photos import photo

from distill.core.errors import DataError, OutputError
from distill.data.convert import convert
from distill.data.dataset import Example, examples_to_json, read_examples, read_split, read_splits
from distill.data.sources import InMemoryExample, Source

pyarrow = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two splits with an image in two rows, two images of one name, one in its row, and unknown labels."""
    folder = tmp_path / "memes"
    for name, seed in (("x/same.png", 1), ("y/same.png", 2), ("x/no suffix", 3)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photo(seed, (30, 20)).save(folder / name, "PNG")
    x, y, bare = (folder / name for name in ("x/same.png", "y/same.png", "x/no suffix"))
    train = [
        Example("1", "é\nline", x, ("b", "a")),
        Example("two", "", y, ()),
        Example("3", "again", x, ("a",), ("b",)),
        Example("4", "nothing known", bare, None),
    ]
    dev = [Example("5", "dev", y.read_bytes(), ("a",)), Example("6", "text alone", None, ("b",))]
    for name, rows in (("train", train), ("dev", dev)):
        (folder / f"{name}.json").write_text(examples_to_json(rows, folder), encoding="utf-8")
    (folder / "labels.txt").write_text("b\na\n")
    return folder


def plain(example: Example) -> tuple[object, ...]:
    """What must be equal: an image by its content, labels whatever their order."""
    image = example.image.read_bytes() if isinstance(example.image, Path) else example.image
    labels = None if example.labels is None else set(example.labels)
    return example.id, example.text, image, labels, set(example.unknown_labels)


@pytest.mark.parametrize("link", [False, True])
def test_json_lines_read_back_equal(source: Path, tmp_path: Path, link: bool) -> None:
    assert convert(source, tmp_path / "out", "jsonl", link) == {"train": 4, "dev": 2}
    first, again = read_splits(source), read_splits(tmp_path / "out")
    assert again.labels == first.labels
    assert list(map(plain, again.train)) == list(map(plain, first.train))
    assert list(map(plain, again.dev)) == list(map(plain, first.dev))
    rows = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    names = ["train/same.png", "train/same-1.png", "train/same.png", "train/no suffix.png"]
    linked = ["../memes/x/same.png", "../memes/y/same.png", "../memes/x/same.png", "../memes/x/no suffix"]
    assert [row["image"] for row in rows] == (linked if link else names)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert list(map(plain, read_splits(tmp_path / "moved").train)) == list(map(plain, first.train))


@pytest.mark.parametrize("link", [False, True])
def test_an_imagefolder_names_an_image_and_its_row_in_each_line(source: Path, tmp_path: Path, link: bool) -> None:
    rows = read_examples(source / "train.json")
    convert(source / "train.json", tmp_path / "out", "imagefolder", link)
    lines = (tmp_path / "out/train/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    for line, example in zip(lines, rows, strict=True):
        row = json.loads(line)
        image = tmp_path / "out/train" / row["file_name"]
        assert image.suffix == ".png"
        assert image.is_symlink() == link
        labels = row["labels"]
        unknown = {k for k, v in labels.items() if v is None} if isinstance(labels, dict) else set()
        known = None if labels is None else set(labels) - unknown
        assert (row["id"], row["text"], image.read_bytes(), known, unknown) == plain(example)
    assert len(list((tmp_path / "out/train").iterdir())) == 4
    assert list(map(plain, read_split(tmp_path / "out", "train"))) == list(map(plain, rows))


def test_an_imagefolder_refuses_rows_without_an_image(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 x row without an image.*use --to jsonl or parquet: '6' \(dev\)"):
        convert(source, tmp_path / "out", "imagefolder")
    assert not (tmp_path / "out").exists()


def test_a_parquet_file_holds_the_images_and_is_read_by_predict(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out", "parquet")
    for name, rows in (("train", read_splits(source).train), ("dev", read_splits(source).dev)):
        path = tmp_path / "out" / f"{name}.parquet"
        items = list(Source.open(path).items())
        assert [item.id for item in items] == [row.id for row in rows]
        for item, row in zip(items, rows, strict=True):
            assert isinstance(item, Example | InMemoryExample)
            assert (item.text, item.image) == plain(row)[1:3]
    first, again = read_splits(source), read_splits(tmp_path / "out")
    assert list(map(plain, again.train)) == list(map(plain, first.train))
    labels = pyarrow.read_table(tmp_path / "out/train.parquet").column("labels").to_pylist()
    assert labels == [{"b": 1, "a": 1}, {"b": 0, "a": 0}, {"b": None, "a": 1}, None]
    assert pyarrow.read_table(tmp_path / "out/dev.parquet").column("labels").to_pylist() == [["a"], ["b"]]
    features = json.loads(pyarrow.read_schema(tmp_path / "out/dev.parquet").metadata[b"huggingface"])
    assert features["info"]["features"]["image"] == {"_type": "Image"}


def test_one_file_is_converted_undivided(source: Path, tmp_path: Path) -> None:
    assert convert(source / "dev.json", tmp_path / "out", "jsonl") == {"dev": 2}
    again = read_examples(tmp_path / "out/dev.jsonl")
    assert list(map(plain, again)) == list(map(plain, read_examples(source / "dev.json")))


def test_nothing_is_written_over_or_left_half(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="which is read; choose another folder"):
        convert(source, source, "jsonl")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="holds something that is not a converted dataset; choose another"):
            convert(source, tmp_path / "full", "jsonl", overwrite=overwrite)
    with pytest.raises(DataError, match="a Parquet file holds its images: leave out --link"):
        convert(source, tmp_path / "out", "parquet", link=True)
    (source / "y/same.png").unlink()
    with pytest.raises(DataError, match=r"1 x image missing; fix or remove the row: 'two' \(train\)"):
        convert(source, tmp_path / "out", "jsonl")
    rows = [replace(row, image=b"no image") for row in read_examples(source / "dev.json")]
    (source / "dev.json").write_text(examples_to_json(rows, source), encoding="utf-8")
    with pytest.raises(DataError, match="'5'"):
        convert(source / "dev.json", tmp_path / "out", "jsonl")
    assert not (tmp_path / "out").exists()
