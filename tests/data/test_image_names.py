"""Images in the row itself, on the web, and names that are none: read, kept or refused in a short line."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.core.errors import DataError
from distill.core.settings.columns import Columns
from distill.data.checks import content_hash
from distill.data.dataset import Example, examples_to_json, read_examples
from distill.data.dividing.split_file import split_file
from distill.data.image_names import find_image, from_data_url, to_data_url
from distill.data.labelling.cells import LabelCells
from distill.data.roles import Ask, Roles
from distill.data.rows import RowReader
from distill.data.sources import FailedRow, Source
from distill.runtime.rows import to_item


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()
URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def row_of(image: str) -> Example:
    roles = Roles("id", "text", "image", LabelCells("names", ("labels",)))
    reader = RowReader(Path("rows.json"), roles, ids_are_numbers=False, has_words=False, known=frozenset())
    return reader.read({"id": "1", "text": "", "image": image, "labels": []}, 3)


def test_a_data_url_is_the_image_itself(tmp_path: Path) -> None:
    assert row_of(URL).image == PNG
    (tmp_path / "a.png").write_bytes(PNG)
    assert content_hash(row_of(URL)) == content_hash(Example("2", "", tmp_path / "a.png", ()))
    assert from_data_url(URL.replace("data:image/png", "DATA:image/svg+xml;name=a b.png"), "") == PNG
    assert from_data_url(to_data_url(PNG), "") == PNG
    item = to_item("words", URL)
    assert not isinstance(item, FailedRow)
    assert item.image == PNG
    (tmp_path / "rows.json").write_text(examples_to_json([row_of(URL)], tmp_path), encoding="utf-8")
    assert read_examples(tmp_path / "rows.json")[0].image == PNG


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (URL.replace("image/png", "text/plain"), "must begin with data:image/TYPE;base64"),
        (URL.replace(";base64", ""), "must begin with data:image/TYPE;base64"),
        (URL[:-3] + "*==", "is not base64"),
        (URL.partition(",")[0] + ",", "is empty"),
        (base64.b64encode(PNG).decode(), "which names no file; give an image in base64 as data:image/png"),
        ("https://example.org/a.jpg", "nothing is downloaded; save it to a file"),
        ("https://example.org/" + "a" * 50_000, "nothing is downloaded"),
        ("a" * 300 + ".jpg", "304 characters, which names no file"),
        ("a/" * 3000 + ".jpg", "which names no file"),
        ("/9j/4AAQ" * 60, "480 characters, which names no file"),
    ],
)
def test_a_name_that_is_no_image_is_refused_in_a_short_line(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        row_of(name)
    assert str(caught.value).startswith("rows.json: row 3: ")
    assert len(str(caught.value)) < 400
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "1", "text": "", "image": name}))
    (item,) = Source.open(tmp_path / "rows.jsonl").items()
    assert isinstance(item, FailedRow)
    assert len(item.error) < 400 + len(str(tmp_path))


def test_a_file_is_found_as_ever(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    assert find_image(tmp_path / "rows.json", "a.png", "") == tmp_path / "images" / "a.png"


def test_a_split_keeps_addresses_and_images_in_rows_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    names = ["https://example.org/a//b.jpg?x=1", "HTTP://example.org/c.jpg", URL, "a.png"] * 3
    rows = [
        {"id": str(number), "text": "", "image": name, "labels": ["a"]}
        for number, name in enumerate([*names, *(f"https://example.org/{n}.jpg" for n in range(8))])
    ]
    (tmp_path / "all.json").write_text(json.dumps(rows), encoding="utf-8")
    split_file(tmp_path / "all.json", tmp_path / "out", 13)
    written = {
        row["id"]: row["image"]
        for name in ("train", "dev", "test")
        for row in json.loads((tmp_path / "out" / f"{name}.json").read_text(encoding="utf-8"))
    }
    expected = {row["id"]: "../a.png" if row["image"] == "a.png" else row["image"] for row in rows}
    assert written == expected
    assert "14 of 20 images are addresses on the web" in " ".join(capsys.readouterr().err.split())


def test_a_name_of_two_different_images_beside_the_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text('{"id": 1, "image": "0.png", "labels": []}\n')
    for folder in ("images", "dev"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.png").write_bytes(PNG)
    assert read_examples(path)[0].image == tmp_path / "images/0.png"  # a copy is the same image
    (tmp_path / "dev/0.png").write_bytes(PNG[:-1] + b"x")
    with pytest.raises(DataError) as refused:
        read_examples(path)
    assert str(refused.value).startswith(
        f"{path}: row 1: image may be {tmp_path}/images/0.png or {tmp_path}/dev/0.png, which differ; name it"
    )
    said = Ask(Columns(images=str(tmp_path / "dev")))
    assert read_examples(path, said)[0].image == tmp_path / "dev/0.png"
    path.write_text('{"id": 1, "image": "dev/0.png", "labels": []}\n')
    assert read_examples(path)[0].image == tmp_path / "dev/0.png"
