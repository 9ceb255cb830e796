"""Using distill from Python: `distill.load`, the Predictor's methods, and what it refuses."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from chain import Chain
from PIL import Image
from sklearn.metrics import f1_score

import distill
from distill.core.errors import BundleError, DataError, ImageError
from distill.data.sources import FailedRow
from distill.runtime.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(chain: Chain) -> Predictor:
    return distill.load(str(chain.int8))


@pytest.fixture
def rows(chain: Chain) -> list[dict[str, Any]]:
    return [{"id": e.id, "text": e.text, "image": e.image} for e in chain.splits.test]


def test_importing_distill_imports_nothing_else_and_offers_its_names() -> None:
    code = (
        "import sys; before = set(sys.modules); import distill\n"
        "extra = {name for name in set(sys.modules) - before if name not in ('distill', '__future__')}\n"
        "assert not extra, extra\n"
        "for name in distill.__all__:\n    assert name in dir(distill)\n"
        "for name in ('load', 'Predictor', 'Bundle', 'Prediction', 'FailedRow', 'metrics', 'DistillError'):\n"
        "    assert getattr(distill, name) is not None\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match=r"no attribute 'lod'; it has Bundle, .*load"):
        distill.lod  # noqa: B018


def test_dicts_tuples_and_a_dataframe_give_the_answers_of_one_at_a_time(
    predictor: Predictor, rows: list[dict[str, Any]]
) -> None:
    alone = [predictor.predict(**row) for row in rows[:4]]
    as_dicts = predictor.predict_many(rows[:4])
    as_tuples = predictor.predict_many([(row["text"], str(row["image"])) for row in rows[:4]])
    as_frame = predictor.predict_many(pandas.DataFrame(rows[:4]))
    assert [answer.id for answer in as_dicts] == [row["id"] for row in rows[:4]]
    assert [answer.id for answer in as_tuples] == ["0", "1", "2", "3"]
    for many in (as_dicts, as_tuples, as_frame):
        for one, answer in zip(alone, many, strict=True):
            assert isinstance(answer, distill.Prediction)
            assert one.probabilities == pytest.approx(answer.probabilities, abs=0.05)  # int8 ranges are a batch's


def test_probabilities_and_thresholds_decide_as_the_predictions_do(
    predictor: Predictor, chain: Chain, rows: list[dict[str, Any]]
) -> None:
    probabilities = predictor.predict_proba(rows)
    assert probabilities.shape == (len(rows), len(predictor.labels))
    assert probabilities.dtype == np.float32
    decided = probabilities >= predictor.thresholds
    names = [tuple(np.array(predictor.labels)[row]) for row in decided]
    assert names == [answer.labels for answer in predictor.predict_many(rows)]  # type: ignore[union-attr]
    gold = chain.splits.labels.encode([example.labels for example in chain.splits.test])
    ours = distill.metrics.micro_f1(gold, decided)
    assert ours == pytest.approx(f1_score(gold, decided, average="micro"))


def test_an_image_may_be_a_path_bytes_an_opened_image_or_an_array(predictor: Predictor, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    expected = predictor.predict("words", path).probabilities
    alpha = np.dstack([array, np.full((64, 48), 255, dtype=np.uint8)])
    for image in (str(path), path.read_bytes(), Image.open(path), array, alpha, bytearray(path.read_bytes())):
        assert predictor.predict("words", image).probabilities == pytest.approx(expected, abs=1e-4)
    grey = np.zeros((20, 20), dtype=np.uint8)
    assert predictor.predict(image=grey).probabilities == pytest.approx(
        predictor.predict(image=np.zeros((20, 20, 3), dtype=np.uint8)).probabilities, abs=1e-4
    )


def test_a_missing_half_may_be_none_nan_or_pandas_na(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    image, text = rows[0]["image"], rows[0]["text"] or "words"
    alone = predictor.predict(image=image).probabilities
    for missing in (None, float("nan"), np.float32("nan"), pandas.NA, "", "  "):
        assert predictor.predict(missing, image).probabilities == pytest.approx(alone, abs=1e-4)
    frame = pandas.DataFrame([{"text": text, "image": None}, {"text": None, "image": str(image)}])
    first, second = predictor.predict_many(frame)
    assert isinstance(first, distill.Prediction)
    assert isinstance(second, distill.Prediction)
    assert second.probabilities == pytest.approx(alone, abs=0.05)


def test_an_empty_list_gives_an_empty_answer(predictor: Predictor) -> None:
    assert predictor.predict_many([]) == []
    assert predictor.predict_many(pandas.DataFrame({"text": [], "image": []})) == []
    assert predictor.predict_proba([]).shape == (0, len(predictor.labels))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": None}], "row 0: has neither text nor image"),
        ([{"text": 3}], "row 0: text must be a string; got 3"),
        ([{"text": "a"}, {"caption": "b"}], "row 1: unknown key 'caption'; expected id, text, image"),
        (["a text"], r"row 0: expected a dict or a tuple \(text, image\); got 'a text'"),
        ("a text", "give a list of rows"),
        ({"text": "a"}, "give a list of rows"),
        (7, "give a list of rows"),
        ([("a", 7)], "row 0: image must be a path, bytes, a PIL image or a numpy array; got 7"),
        ([("a", np.zeros((3, 3)))], r"row 0: an image array must be uint8 .* got float64 \(3, 3\)"),
        ([("a", np.zeros((3, 0, 3), dtype=np.uint8))], r"row 0: an image array must be uint8 .* \(3, 0, 3\)"),
        ([{"image": "nowhere.jpg"}], "0: nowhere.jpg: no such image"),
        ([{"image": b"no image"}], "0: row 0: image: not an image in a supported format"),
    ],
)
def test_what_is_no_row_is_refused_in_one_line(predictor: Predictor, rows: Any, message: str) -> None:
    with pytest.raises(distill.DistillError, match=message) as caught:
        predictor.predict_many(rows)
    assert "\n" not in str(caught.value)
    with pytest.raises(distill.DistillError, match=message):
        predictor.predict_proba(rows)


def test_nothing_at_all_is_refused_as_on_the_command_line(predictor: Predictor) -> None:
    for text, image in ((None, None), ("", None), (" ", float("nan"))):
        with pytest.raises(DataError, match="has neither text nor image"):
            predictor.predict(text, image)


def test_a_bad_image_leaves_the_others_their_answers_when_asked_for(
    predictor: Predictor, rows: list[dict[str, Any]]
) -> None:
    broken = [rows[0], {"id": "broken", "image": b"\xff\xd8\xff no jpeg"}, rows[1]]
    with pytest.raises(ImageError, match="broken"):
        predictor.predict_many(broken)
    first, fault, last = predictor.predict_many(broken, on_error="return")
    assert isinstance(fault, FailedRow)
    assert fault.id == "broken"
    assert isinstance(first, distill.Prediction)
    assert isinstance(last, distill.Prediction)


def test_a_path_that_is_no_bundle_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no Bundle"):
        distill.load(tmp_path)
    with pytest.raises(BundleError, match="nowhere"):
        distill.load(str(tmp_path / "nowhere"))


def test_a_pickle_opens_the_same_bundle_and_refuses_another(
    predictor: Predictor, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = pickle.loads(pickle.dumps(predictor))  # noqa: S301
    assert copy.predict("words").probabilities == predictor.predict("words").probabilities
    held = pickle.dumps(predictor)
    monkeypatch.setattr(Predictor, "load", classmethod(lambda cls, *_: cls(distill.Bundle.open(chain.fp32))))
    with pytest.raises(BundleError, match="holds another Bundle than the one that was pickled"):
        pickle.loads(held)  # noqa: S301


def _answer_in_child(predictor: Predictor, pipe: Any) -> None:
    pipe.send(predictor.predict("words").probabilities)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_it_answers_after_a_fork_and_in_threads(chain: Chain) -> None:
    predictor = distill.load(chain.int8, threads=2)  # a session with threads of its own, which no fork copies
    expected = predictor.predict("words").probabilities
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_answer_in_child, args=(predictor, theirs))
    child.start()
    assert ours.poll(60), "the child waits for threads that it has not"
    assert ours.recv() == expected
    child.join(10)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: predictor.predict("words").probabilities, range(16)))
    assert all(answer == expected for answer in answers)


def test_an_opened_jpeg_is_read_as_the_file_is_but_for_its_decoding(predictor: Predictor) -> None:
    array = np.linspace(0, 255, 300 * 200 * 3).reshape(300, 200, 3).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95)
    whole = predictor.predict(image=Image.open(io.BytesIO(buffer.getvalue()))).probabilities
    assert predictor.predict(image=buffer.getvalue()).probabilities == pytest.approx(whole, abs=0.05)
