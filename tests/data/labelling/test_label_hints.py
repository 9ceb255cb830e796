"""Where no column is known to hold labels: which may, and the options that take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from distill.cli.main import main
from distill.core.errors import ArgumentError, DataError
from distill.core.settings.columns import Columns
from distill.data.dataset import read_splits
from distill.data.dividing.split_file import split_file


def table(folder: Path, header: str, *rows: str) -> Path:
    path = folder / "all.csv"
    path.write_text(f"{header}\n" + "".join(f"word {n},{rows[n % len(rows)]}\n" for n in range(12)))
    return path


@pytest.mark.parametrize(
    ("header", "rows", "hint"),
    [
        ("text,target", ("sad", "glad"), "'target' may hold them: give --label-columns target"),
        (
            "text,sad,glad",
            ("0.3,0.1", "0.5,1"),
            "'sad', 'glad' hold numbers: give --label-columns sad,glad with the",
        ),
        ("text,sad,glad", ("x,", ",x"), "'sad', 'glad' hold one value or nothing: write 1 and 0 in place of these"),
        (
            "text,labels",
            ("",),
            "none of its 12 training rows has a label; give each its 'labels', a list of names$",
        ),
    ],
)
def test_data_without_labels_is_refused_with_the_columns_that_may_hold_them(
    tmp_path: Path, header: str, rows: tuple[str, ...], hint: str
) -> None:
    path = table(tmp_path, header, *rows)
    with pytest.raises(DataError, match=hint):
        read_splits(path)
    with pytest.raises(DataError, match=hint):
        split_file(path, tmp_path / "out", 13)


def test_where_no_column_may_hold_labels_the_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("id,text\n1,a\n2,b\n")
    with pytest.raises(DataError, match="or name their column with --label-columns; it has 'id', 'text'"):
        read_splits(tmp_path / "all.csv")


def test_a_column_whose_name_holds_a_comma_can_be_named(tmp_path: Path) -> None:
    path = table(tmp_path, 'text,"Name calling, Labeling",Doubt', "1,0", "0,1")
    result = CliRunner().invoke(
        main, ["data", "check", str(path), "--label-columns", "Name calling, Labeling,Doubt"]
    )
    assert "labels are the 2 columns 'Name calling, Labeling', 'Doubt'" in " ".join(result.output.split())


@pytest.mark.parametrize("cut", [float("nan"), float("inf")])
def test_a_cut_that_no_number_can_reach_is_refused(cut: Any) -> None:
    with pytest.raises(ArgumentError, match="--label-cut, or cut of columns, must be a finite number; got"):
        Columns(cut=cut)


def test_a_header_that_is_repeated_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("id,text,labels\n1,a,sad\nid,text,labels\n2,b,glad\n")
    with pytest.raises(DataError, match=r"all\.csv: line 3: repeats the header, as in files that were joined"):
        read_splits(path)
    path.write_text("id,text,labels\n1,a,sad\ntext,id,labels\nb,2,glad\n")
    with pytest.raises(DataError, match="and see that the columns after it are in the same order"):
        read_splits(path)
