"""Rows as Python code passes them to a Predictor: dicts, tuples, a DataFrame, and images in memory."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chain import Chain
from PIL import Image

from distill.core.errors import DataError, ImageError
from distill.data.sources import FailedRow
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.rows import to_items


class Frame:
    """As much of a pandas DataFrame as a Predictor asks for."""

    columns = ("id", "text", "image")
    index = SimpleNamespace(names=(None,))

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return self.rows


@pytest.fixture(scope="module")
def predictor(chain: Chain) -> Predictor:
    return Predictor.load(chain.fp32, threads=1)


def test_dicts_tuples_and_data_frames_get_the_same_predictions(predictor: Predictor, chain: Chain) -> None:
    examples = chain.splits.test[:3]
    dicts = [{"id": e.id, "text": e.text, "image": e.image} for e in examples] + [{"id": "x", "text": "words"}]
    expected = predictor.predict_many(dicts)
    assert [prediction.id for prediction in expected] == [*(e.id for e in examples), "x"]
    frame = Frame([*dicts[:3], {"id": math.nan, "text": "words", "image": math.nan}])
    tuples = [*((e.text, str(e.image)) for e in examples), ("words", None)]
    for rows in (frame, tuples):
        predictions = predictor.predict_many(rows)
        assert predictions[3].id == "3"
        for prediction, other in zip(predictions, expected, strict=True):
            assert isinstance(prediction, Prediction)
            assert isinstance(other, Prediction)
            assert (prediction.labels, prediction.probabilities) == (other.labels, other.probabilities)


def test_predict_proba_has_a_column_for_each_label(predictor: Predictor, chain: Chain) -> None:
    examples = chain.splits.test[:3]
    probabilities = predictor.predict_proba([(e.text, e.image) for e in examples])
    assert probabilities == pytest.approx(predictor.probabilities(examples), abs=1e-6)
    assert probabilities.shape == (3, len(predictor.labels))
    assert predictor.predict_proba([]).shape == (0, len(predictor.labels))


def test_images_in_memory_are_those_of_their_files(predictor: Predictor, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = predictor.predict("words", path)
    for image in (str(path), path.read_bytes(), bytearray(path.read_bytes()), Image.fromarray(pixels), pixels):
        assert predictor.predict("words", image) == expected


def test_a_row_that_cannot_be_read_raises_or_is_returned_as_a_fault(predictor: Predictor, tmp_path: Path) -> None:
    rows = [("good", None), ("bad", tmp_path / "none.jpg"), ("worse", b"no image"), ("good", None)]
    with pytest.raises(ImageError, match=r"^1: .*none\.jpg"):
        predictor.predict_many(rows)
    with pytest.raises(ImageError, match=r"^1: "):
        predictor.predict_proba(rows)
    predictions = predictor.predict_many(rows, on_error="return")
    assert [isinstance(prediction, FailedRow) for prediction in predictions] == [False, True, True, False]
    assert [prediction.id for prediction in predictions] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("words", "give a list of rows"),
        ([{"text": "a", "img": "b"}], "row 0: unknown key 'img'; expected id, text, image, labels"),
        (["words"], r"row 0: expected a dict or a tuple \(text, image\); got 'words'"),
        ([("a", None), (3, None)], "row 1: text must be a string; got 3"),
        ([(" ", None)], "row 0: has neither text nor image"),
        ([("a", 3)], "row 0: image must be a path, bytes, a PIL image or a numpy array; got 3"),
        ([("a", np.zeros((2, 2)))], r"row 0: an image array must be uint8 .*; got float64 \(2, 2\)"),
        ([("a" * 10_000_001, None)], "over the limit of"),
    ],
)
def test_rows_of_another_shape_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(to_items(rows))
