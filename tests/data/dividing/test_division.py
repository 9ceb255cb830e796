"""One labelled file is divided once: duplicates and groups stay together, and time keeps its order."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import published
import pytest
from photos import photo

from distill.core.errors import DataError
from distill.data.columns import Columns
from distill.data.dataset import Example, read_splits
from distill.data.dividing import division
from distill.data.dividing.division import Order, divide
from distill.data.dividing.split_file import OrderColumns, split_file
from distill.data.dividing.time_order import parse_time, time_split
from distill.data.labels import LabelSet

LABELS = LabelSet(("a", "b"))


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def texts(count: int) -> list[Example]:
    return [Example(str(n), f"post number {n}", None, ("a",) if n % 2 else ("b",)) for n in range(count)]


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rows_with(count: int, **columns: Sequence[object]) -> list[dict[str, object]]:
    base = [{"id": str(n), "text": f"post number {n}", "labels": ["a"] if n % 2 else ["b"]} for n in range(count)]
    return [row | {name: values[n] for name, values in columns.items()} for n, row in enumerate(base)]


def test_images_that_look_the_same_stay_in_one_split(tmp_path: Path) -> None:
    rows = []
    for number in range(60):
        path = tmp_path / f"{number}.jpg"
        photo(number // 2).save(path, quality=90 if number % 2 else 50)
        rows.append(Example(str(number), f"caption {number}", path, ("a",) if number % 3 else ("b",)))
    parts = divide(rows, LABELS, tmp_path)
    pairs = [{int(row) // 2 for row in part} for part in parts]
    assert len(set.union(*pairs)) == sum(map(len, pairs)) == 30
    assert all(pairs)


def test_a_division_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "all.jsonl", rows_with(40))
    first = read_splits(source)

    def must_not_run(*arguments: object) -> None:
        raise AssertionError("divided again")

    monkeypatch.setattr(division, "stratified_split", must_not_run)
    assert read_splits(source) == first
    write(source, rows_with(41))
    with pytest.raises(AssertionError, match="divided again"):
        read_splits(source)


def test_an_image_that_has_changed_is_looked_at_again(tmp_path: Path, fresh_cache: Path) -> None:
    rows = []
    for number in range(10):
        photo(number).save(tmp_path / f"{number}.png")
        rows.append(Example(str(number), "", tmp_path / f"{number}.png", ("a",)))
    divide(rows, LABELS, tmp_path)
    divide(rows, LABELS, tmp_path)
    assert len(list(fresh_cache.rglob("divisions/*"))) == 1
    photo(11, (300, 200)).save(tmp_path / "0.png")
    divide(rows, LABELS, tmp_path)
    assert len(list(fresh_cache.rglob("divisions/*"))) == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * 39, b"\7" * 40])
def test_a_damaged_division_is_made_again(damage: bytes, tmp_path: Path, fresh_cache: Path) -> None:
    rows = texts(40)
    first = divide(rows, LABELS, tmp_path)
    (path,) = fresh_cache.rglob("divisions/*")
    path.write_bytes(damage)
    for one, other in zip(first, divide(rows, LABELS, tmp_path), strict=True):
        assert one.tolist() == other.tolist()


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = texts(40)
    first = divide(rows, LABELS, tmp_path)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "file"))
    assert [part.tolist() for part in divide(rows, LABELS, tmp_path)] == [part.tolist() for part in first]


def test_two_splits_share_as_three_would(tmp_path: Path) -> None:
    sizes = [len(part) for part in divide(texts(170), LABELS, tmp_path, names=("train", "dev"))]
    assert sizes == [140, 30]


def test_rows_of_a_group_stay_together_and_empty_cells_are_no_group(tmp_path: Path) -> None:
    authors = [[f"user {n % 20}", n % 20, None, ""][n % 4] for n in range(120)]
    source = write(tmp_path / "all.jsonl", rows_with(120, author=authors))
    assert sum(split_file(source, tmp_path / "out", 13, order=OrderColumns(group="author"))) == 120
    splits = read_splits(tmp_path / "out")
    seen = [{authors[int(e.id)] for e in part} - {None, ""} for part in (splits.train, splits.dev, splits.test)]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 10
    assert json.loads((tmp_path / "out/split.json").read_text())["columns"] == {"group": "author", "time": ""}


@pytest.mark.parametrize(("authors", "sizes"), [(3, (14, 14, 14)), (4, (20, 10, 10))])
def test_few_groups_leave_no_split_empty(tmp_path: Path, authors: int, sizes: tuple[int, ...]) -> None:
    rows = 42 if authors == 3 else 40
    source = write(tmp_path / "all.jsonl", rows_with(rows, author=[n % authors for n in range(rows)]))
    assert split_file(source, tmp_path / "out", 13, order=OrderColumns(group="author")) == sizes


def test_fewer_groups_than_splits_are_refused_with_their_number(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", rows_with(42, author=["one"] * 42))
    with pytest.raises(DataError, match=r"42 rows in 1 group that stay together cannot be divided into 3 parts"):
        split_file(source, tmp_path / "out", 13, order=OrderColumns(group="author"))


def test_a_group_that_leaves_the_others_little_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "all.jsonl", rows_with(60, author=["one"] * 57 + ["two", "three", "four"]))
    split_file(source, tmp_path / "out", 13, order=OrderColumns(group="author"))
    assert "dev has 3% of the rows in place of 15%, test has 2% of" in capsys.readouterr().err


def test_train_is_the_earliest_and_test_the_latest(tmp_path: Path) -> None:
    days = np.random.default_rng(0).permutation(100)
    dates = [f"2024-0{1 + day // 28}-{1 + day % 28:02d}T00:00:00Z" for day in days.tolist()]
    source = write(tmp_path / "all.jsonl", rows_with(100, date=dates))
    assert split_file(source, tmp_path / "out", 13, order=OrderColumns(time="date")) == (70, 15, 15)
    splits = read_splits(tmp_path / "out")
    train, dev, test = ([dates[int(e.id)] for e in part] for part in (splits.train, splits.dev, splits.test))
    assert max(train) < min(dev) <= max(dev) < min(test)


def test_what_is_posted_again_later_stays_with_its_first_time() -> None:
    times, groups = np.array([1.0, 2, 3, 4, 5, 6]), np.array([0, 1, 2, 3, 4, 0])
    parts = time_split(times, (0.6, 0.2, 0.2), groups)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 5], [3], [4]]


def test_equal_times_are_not_torn_apart() -> None:
    years = np.array([2020.0] * 50 + [2021.0] * 8 + [2022.0] * 2)
    parts = time_split(years, (0.7, 0.15, 0.15), np.arange(60))
    assert [len(part) for part in parts] == [50, 8, 2]
    with pytest.raises(DataError, match="58 rows of 2 different times cannot be divided into 3 parts by time"):
        time_split(years[:58], (0.7, 0.15, 0.15), np.arange(58))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (12, 12.0),
        ("1.5e3", 1500.0),
        ("1970-01-02", 86400.0),
        ("1970-02", 31 * 86400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01 00:01", 60.0),
        (date(1970, 1, 2), 86400.0),
    ],
)
def test_times_are_numbers_or_iso_8601(value: object, seconds: float) -> None:
    assert parse_time(value, "row 1") == seconds


@pytest.mark.parametrize(
    "value", [None, True, "yesterday", "", "nan", "2024_05", "2024-13", float("inf"), ["2024"], 10**400]
)
def test_what_is_no_time_is_refused_with_its_row(value: object) -> None:
    with pytest.raises(DataError, match=r"row 1: date is .*, not a time; write a number or an ISO 8601 time"):
        parse_time(value, "row 1: date")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            ["20240501", "2024-05-02"],
            "ISO 8601 times ('2024-05-02' in row 2) and compact dates ('20240501' in row 1)",
        ),
        ([2010, "2024-05-02"], "ISO 8601 times ('2024-05-02' in row 2) and years (2010 in row 1)"),
        (["7", "2024-05-02"], "ISO 8601 times ('2024-05-02' in row 2) and numbers ('7' in row 1)"),
        (
            [1700000000, 1700000000000],
            "seconds since 1970 (1700000000 in row 1) and milliseconds since 1970 (1700000000000 in row 2)",
        ),
        (["2024", "202405"], "years ('2024' in row 1) and compact months ('202405' in row 2)"),
        (
            ["20240501", "20240502", "20240503", "0"],
            "compact dates ('20240501' in row 1) and numbers ('0' in row 4)",
        ),
    ],
)
def test_a_column_of_several_notations_of_times_is_refused_with_an_example_of_each(
    tmp_path: Path, times: list[object], message: str
) -> None:
    dates = [times[n % len(times)] for n in range(40)]
    source = write(tmp_path / "all.jsonl", rows_with(40, date=dates))
    with pytest.raises(DataError) as caught:
        split_file(source, tmp_path / "out", 13, order=OrderColumns(time="date"))
    text = f"all.jsonl: column 'date' mixes notations of times: {message}; write all in one, such as 2024-05-01"
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "times",
    [
        [f"202405{1 + n % 30:02d}" for n in range(60)],
        list(range(1890, 1950)),
        [n * n * 1000.5 for n in range(60)],
        [100_000 * 2**n for n in range(60)],  # numbers of posts, as they are counted through by some networks
        ["2024-05-01", "2024-05-02T12:00:00Z", "2024-05-03 10:00", "2024-05-04T10:00:00+02:00"] * 15,
    ],
)
def test_a_column_of_one_notation_of_times_is_divided(tmp_path: Path, times: list[object]) -> None:
    source = write(tmp_path / "all.jsonl", rows_with(60, date=times))
    assert sum(split_file(source, tmp_path / "out", 13, order=OrderColumns(time="date"))) == 60


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", rows_with(10))
    for columns in (OrderColumns(group="author"), OrderColumns(time="author")):
        with pytest.raises(DataError, match=r"row 1: has no column 'author'; it has 'id', 'text', 'labels'"):
            split_file(source, tmp_path / "out", 13, order=columns)
    source = write(tmp_path / "all.jsonl", rows_with(10, author=[["x"]] * 10))
    with pytest.raises(DataError, match=r"row 1: author is .*; a group is named by a text or a number"):
        split_file(source, tmp_path / "out", 13, order=OrderColumns(group="author"))


def test_columns_of_groups_and_times_stand_beside_those_that_are_mapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "all.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["plot", "sad", "glad", "author", "day", "url"])
        for n in range(60):
            writer.writerow([f"post number {n}", n % 2, 1, "nan" if n % 2 else f"user {n // 10}", n, "u"])
    columns, order = Columns(text="plot", labels=("sad", "glad")), OrderColumns("author", "day")
    assert split_file(tmp_path / "all.csv", tmp_path / "out", 13, columns, order)[1] > 0
    assert "columns not used: url" in capsys.readouterr().err
    made = json.loads((tmp_path / "out/split.json").read_text())
    assert made["columns"] == {"text": "plot", "labels": ["sad", "glad"], "group": "author", "time": "day"}
    part_of = {
        e.text: name for name in ("train", "dev", "test") for e in getattr(read_splits(tmp_path / "out"), name)
    }
    users = [{part_of[f"post number {n}"] for n in range(10 * user, 10 * user + 10, 2)} for user in range(6)]
    assert all(len(parts) == 1 for parts in users)
    assert len({part_of[f"post number {n}"] for n in range(1, 60, 2)}) == 3  # "nan" is no author


def test_the_column_of_groups_is_one_of_a_published_file_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_with(40, link=[f"https://example.org/{n % 8}" for n in range(40)], labels=[["Doubt"]] * 40)
    (tmp_path / "all.json").write_text(json.dumps(rows), encoding="utf-8")
    split_file(tmp_path / "all.json", tmp_path / "out", 13, order=OrderColumns(group="link"))
    assert "read as SemEval-2024" in capsys.readouterr().err
    splits = read_splits(tmp_path / "out")
    seen = [{int(e.id) % 8 for e in part} for part in (splits.train, splits.dev, splits.test)]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 8


def test_groups_and_times_are_part_of_what_is_cached(tmp_path: Path) -> None:
    rows = texts(40)
    plain = divide(rows, LABELS, tmp_path)
    timed = divide(rows, LABELS, tmp_path, order=Order(times=tuple(map(float, range(40)))))
    grouped = divide(rows, LABELS, tmp_path, order=Order(groups=tuple(str(n % 5) for n in range(40))))
    assert timed[0].tolist() == list(range(28))
    assert len({tuple(parts[0].tolist()) for parts in (plain, timed, grouped)}) == 3


def test_a_folder_in_a_published_form_is_divided_and_one_with_splits_is_refused(tmp_path: Path) -> None:
    for form in published.FORMS:
        data, out = form.write(tmp_path / form.name), tmp_path / f"{form.name} out"
        if "all" in form.splits:
            assert sum(split_file(data, out, 13)) == form.splits["all"]
            splits = read_splits(out)
            assert splits.labels.names == tuple(sorted(form.labels))
            assert all(isinstance(e.image, Path) and e.image.is_file() for e in splits.train)
        else:
            with pytest.raises(DataError, match="is divided already, into train"):
                split_file(data, out, 13)
