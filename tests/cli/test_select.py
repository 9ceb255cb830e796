"""`distill select` as a user types it: which posts, why, and what is left out."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from chain import Chain
from click.testing import CliRunner, Result
from PIL import Image

import distill as package
from distill.cli.main import main
from distill.core.errors import ArgumentError, DataError
from distill.data.sources import Source
from distill.training.selection.select import COLUMNS


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def pool(chain: Chain, tmp_path: Path) -> Path:
    """Twelve posts in one file: eight of test with a column of their own, one of train, one of test again in other
    letters and size, one without its image's file, one without anything."""
    images = tmp_path / "images"
    images.mkdir()
    rows = []
    for example in [*chain.splits.test[:8], chain.splits.train[0]]:
        assert isinstance(example.image, Path)
        shutil.copy(example.image, images / example.image.name)
        rows.append({"id": example.id, "text": example.text, "image": f"images/{example.image.name}", "by": "Ann"})
    first = chain.splits.test[0]
    with Image.open(str(first.image)) as image:
        image.resize((image.width * 2, image.height * 2)).save(images / "again.png")
    rows.append({"id": "again", "text": f"{first.text.upper()} !", "image": "images/again.png", "by": "Bob"})
    rows.append({"id": "gone", "text": "words", "image": "images/gone.jpg", "by": "Bob"})
    rows.append({"id": "nothing", "text": "", "image": None, "by": "Bob"})
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_run_leaves_out_what_it_has_learned_what_repeats_and_what_cannot_be_read(
    chain: Chain, pool: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deeper" / "to_label.jsonl"
    out.parent.mkdir()
    done = distill("select", "--unlabelled", pool, "--model", chain.student, "--n", 5, "--out", out, "--json")
    assert done.exit_code == 1, done.output
    summary = json.loads(done.stdout)
    assert (summary["posts"], summary["labelled"], summary["repeated"]) == (12, 1, 1)
    assert {row["id"] for row in summary["failed"]} == {"gone", "nothing"}
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    tests = [example.id for example in chain.splits.test[:8]]
    assert len(rows) == 5
    assert [row["id"] for row in rows] == [id_ for id_ in tests if id_ in {row["id"] for row in rows}]
    for row, chosen in zip(rows, summary["chosen"], strict=True):
        assert row["by"] == "Ann"
        assert (out.parent / row["image"]).is_file()
        assert row["undecided"] == chosen["undecided"]
        assert row["reason"].startswith(f"{row['undecided']} is undecided: probability {row['probability']:.4f}")
    assert sum(summary["by_label"].values()) == 5


def test_a_bundle_gives_its_own_probabilities_and_leaves_out_what_is_near_to_the_data(
    chain: Chain, pool: Path, tmp_path: Path
) -> None:
    out = tmp_path / "to_label.csv"
    words = ("select", "--unlabelled", pool, "--model", chain.int8, "--n", 50, "--per-label", 0, "--out", out)
    assert distill(*words).exit_code == 1
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert list(rows[0]) == ["id", "text", "image", "by", *COLUMNS]
    predicted = package.load(chain.int8).predict_many(
        [{"text": r["text"], "image": tmp_path / r["image"]} for r in rows]
    )
    for row, prediction in zip(rows, predicted, strict=True):
        assert float(row["probability"]) == pytest.approx(prediction.probabilities[row["undecided"]], abs=0.02)
    done = distill(*words, "--overwrite", "--data", chain.data)
    assert done.exit_code == 2
    assert "of the 11 that were read, 1 cannot be used, 10 are labelled, 0 repeat another" in done.stderr


def test_posts_that_carry_a_label_are_left_out_and_counted(chain: Chain, pool: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in pool.read_text().splitlines()][:4]
    labelled = [row | {"labels": ["fear"] if number < 2 else None} for number, row in enumerate(rows)]
    pool.write_text("".join(json.dumps(row) + "\n" for row in labelled))
    selection = package.select(pool, chain.int8, tmp_path / "out.jsonl", n=4, per_label=0)
    assert selection.labelled == 2
    assert [each.id for each in selection.chosen] == [row["id"] for row in rows[2:]]


def test_a_folder_of_images_and_parquet_are_taken_and_written(chain: Chain, pool: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (pool.parent / "images" / f"{chain.splits.test[0].id}.txt").write_text("words of it")
    out = tmp_path / "to_label.parquet"
    selection = package.select(pool.parent / "images", chain.int8, out, n=4, per_label=0)
    rows = parquet.read_table(out).to_pylist()
    assert [row["id"] for row in rows] == [chosen.id for chosen in selection.chosen]
    assert all((tmp_path / row["image"]).is_file() for row in rows)
    again = (
        package.select(out, chain.int8, tmp_path / "b.jsonl", n=2, per_label=0, overwrite=True) if False else None
    )
    assert again is None
    embedded = tmp_path / "held.parquet"
    import pyarrow

    image = (tmp_path / rows[0]["image"]).read_bytes()
    table = pyarrow.Table.from_pylist([{"id": "a", "text": "x", "image": {"bytes": image, "path": "a.jpg"}}])
    parquet.write_table(table, embedded)
    package.select(embedded, chain.int8, tmp_path / "held.jsonl", n=1, per_label=0)
    (row,) = [json.loads(line) for line in (tmp_path / "held.jsonl").read_text().splitlines()]
    assert row["image"].startswith("data:image/")
    package.select(embedded, chain.int8, tmp_path / "held2.parquet", n=1, per_label=0)
    assert parquet.read_table(tmp_path / "held2.parquet").to_pylist()[0]["image"]["bytes"] == image


def test_what_is_asked_wrongly_is_refused_in_one_line_with_nothing_written(chain: Chain, pool: Path) -> None:
    out = pool.parent / "to_label.jsonl"
    with pytest.raises(ArgumentError, match="per_label 9 for 6 labels are more posts than n, 20"):
        package.select(pool, chain.student, out, n=20, per_label=9)
    with pytest.raises(ArgumentError, match="is a training run; provider and runtime are for Bundles"):
        package.select(pool, chain.student, out, provider="openvino")
    text = distill("select", "--unlabelled", pool, "--model", chain.student, "--out", out.with_suffix(".txt"))
    assert "the suffix must be one of .jsonl" in text.stderr
    row = {"id": "a", "text": "some words", "reason": "why"}
    (pool.parent / "b.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="have a column 'reason'"):
        package.select(pool.parent / "b.jsonl", chain.student, out, n=1, per_label=0)
    same = distill("select", "--unlabelled", pool, "--model", chain.student, "--out", pool, "--overwrite")
    assert same.exit_code == 2
    assert not out.exists()


def test_the_same_posts_are_chosen_again_and_others_for_another_seed_or_share(chain: Chain, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"id": e.id, "text": e.text, "image": str(e.image)} for e in chain.splits.test]
    for name in ("train", "test"):
        (data / f"{name}.json").write_text(json.dumps(rows))

    def chosen(**how: int) -> list[str]:
        out = tmp_path / "out.jsonl"
        selection = package.select(data, chain.int8, out, split="test", n=6, overwrite=True, **how)
        return [each.id for each in selection.chosen]

    assert chosen() == chosen()
    everything = Source.of_split(data, "test")
    assert set(chosen(per_label=1)) <= {item.id for item in everything.items()}
    assert len(np.unique(chosen(per_label=1))) == 6
