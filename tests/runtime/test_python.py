"""Using distill from Python: `distill.load`, the Predictor's methods, and what it refuses."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_type_hints

import numpy as np
import pandas
import pytest
from chain import TINY, Chain
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import f1_score

import distill
from distill.core.errors import BundleError, DataError, ImageError, OutputError, RunError
from distill.data.labels import LabelSet
from distill.data.run_folder import weights_sha256
from distill.data.sources import FailedRow
from distill.runtime.predictor import Predictor


def test_the_types_of_every_function_can_be_asked_for() -> None:
    for name in ("read_dataset", "train_teacher", "train_student", "finetune_int8", "export", "evaluate", "load"):
        assert "return" in get_type_hints(getattr(distill, name))
    assert get_type_hints(distill.train_teacher)["return"] is distill.Checkpoint


def test_answering_a_post_imports_no_reader_of_datasets_and_nothing_that_draws(chain: Chain) -> None:
    code = (
        f"import sys, distill; distill.load({str(chain.int8)!r}, threads=2).predict('a post')\n"
        "loaded = {name for name in sys.modules if name.startswith(('distill.data.formats', 'rich'))}\n"
        "loaded |= {'distill.core.settings.recipe', 'distill.data.dataset'} & set(sys.modules)\n"
        "loaded |= {'distill.data.sources'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


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
        (
            [{"image": "https://example.org/a.jpg"}],
            "row 0: image is 'https://example.org/a.jpg', and nothing",
        ),
        ([{"image": "A" * 5_000_000}], r"row 0: image is 'A+\.\.\.A+', which is no path; .*give bytes"),
        ([{"image": io.BytesIO(b"GIF89a")}], r"row 0: image must be a path.*; give what its read\(\) returns"),
        (
            [{"image": Image.new("RGB", (0, 5))}],
            "row 0: an image must have .*; got mode RGB, 0 x 5",
        ),
        ([{"image": Image.new("F", (2, 2))}], "row 0: an image must have 8 bits a channel .*; got mode F, 2 x 2"),
        ([("a", np.ma.masked_array(np.zeros((2, 2), dtype=np.uint8)))], "row 0: image must be a path"),
        ([{"text": "a", "id": [3]}], r"row 0: id must be a string or a number; got \[3\]"),
        (pandas.DataFrame({"text": [], "bogus": []}), "table: unknown key 'bogus'"),
        (pandas.DataFrame([["a", "b"]], columns=["text", "text"]), "table: two columns are named text; keep one"),
        ([{"image": b"no image"}], "0: row 0: image: not an image in a supported format"),
    ],
)
def test_what_is_no_row_is_refused_in_one_line(predictor: Predictor, rows: Any, message: str) -> None:
    with pytest.raises(distill.DistillError, match=message) as caught:
        predictor.predict_many(rows)
    assert "\n" not in str(caught.value)
    with pytest.raises(distill.DistillError, match=message):
        predictor.predict_proba(rows)


def test_an_image_that_was_closed_is_named_so(predictor: Predictor, rows: list[dict[str, Any]]) -> None:
    with Image.open(rows[0]["image"]) as image:
        pass
    with pytest.raises(DataError, match=r"the image is closed; give its path, or call its load\(\) before"):
        predictor.predict(image=image)
    with Image.open(rows[0]["image"]) as image:
        image.load()
    assert isinstance(predictor.predict(image=image), distill.Prediction)


def test_a_generator_may_use_one_buffer_for_all_its_images(predictor: Predictor) -> None:
    def rows() -> Iterator[tuple[None, NDArray[np.uint8]]]:
        buffer = np.empty((40, 40), dtype=np.uint8)
        for grey in (0, 255, 120):
            buffer[...] = grey
            yield None, buffer

    alone = [predictor.predict(image=np.full((40, 40), grey, np.uint8)).probabilities for grey in (0, 255, 120)]
    together = [answer.probabilities for answer in predictor.predict_many(rows())]  # type: ignore[union-attr]
    assert alone[0] != alone[1]
    for one, answer in zip(alone, together, strict=True):
        assert one == pytest.approx(answer, abs=0.05)  # int8 ranges are a batch's


def test_tables_of_other_packages_and_named_tuples_are_read_by_name(predictor: Predictor) -> None:
    class Post(NamedTuple):
        image: None
        text: str

    class Polars:
        columns: ClassVar = ["id", "text"]

        def to_dicts(self) -> list[dict[str, str]]:
            return [{"id": "7", "text": "words"}]

    expected = predictor.predict("words").probabilities
    frame = pandas.DataFrame({"id": [7], "text": ["words"]}).set_index("id")
    for rows, id_ in (([Post(None, "words")], "0"), (Polars(), "7"), (frame, "7")):
        (answer,) = predictor.predict_many(rows)
        assert isinstance(answer, distill.Prediction)
        assert (answer.id, answer.probabilities) == (id_, expected)
    gaps = pandas.DataFrame({"id": [12, None], "text": ["a", "b"]})  # a float column
    assert [answer.id for answer in predictor.predict_many(gaps)] == ["12", "1"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: distill.load(c.int8, threads=10_000), "threads must be an integer from 0 to"),
        (lambda c: distill.load(c.int8, threads="2"), "threads must be an integer from 0 to .*; got '2'"),
        (lambda c: distill.load(b"runs"), "bundle must be a path"),
        (lambda c: distill.load(c.student), "is a training run, no Bundle; `distill export` makes one of it"),
        (lambda c: distill.load(c.int8).predict_many([], on_error="skip"), "on_error must be one of raise, return"),
        (lambda c: distill.export(c.student, c.data, "b", precision="FP32"), "precision must be one of fp32, int8"),
        (lambda c: distill.export(c.student, c.data, "b", target="x86_avx2"), "target must be one of x86-avx2"),
        (lambda c: distill.export(c.student, c.data, "."), "is the directory that you are in"),
        (lambda c: distill.train_student(c.data, "s", teacher=[]), r"teacher must be a path .*; got \[\]"),
        (lambda c: distill.train_student(c.data, "s", teacher=c.teacher, seeds=0), "seeds must be an integer >= 1"),
        (
            lambda c: distill.train_teacher(c.data, "t", overrides={3: 1}),
            "a key must be a string; got 3",
        ),
        (lambda c: distill.train_teacher(c.data, "t", overrides=[7]), 'overrides: expected "KEY=VALUE"; got 7'),
        (
            lambda c: distill.train_teacher(c.data, "t", overrides="teacher.epochs=-1"),
            "teacher.epochs must be 0 to",
        ),
        (lambda c: distill.train_teacher(c.data, "a" * 300), "File name too long"),
        (lambda c: distill.train_teacher(c.data, c.data / "labels.txt"), "is a file; choose another folder"),
        (
            lambda c: distill.metrics.micro_f1(np.ones((2, 3)), np.ones(3, bool)),
            r"one shape \(N, L\)",
        ),
        (lambda c: distill.metrics.micro_f1(np.ones((2, 3)), np.ones((2, 3))), "decisions must be bool"),
        (lambda c: distill.metrics.micro_ap(np.ones((2, 3)), np.full((2, 3), np.nan)), "must be finite"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_in_one_line(
    chain: Chain, call: Callable[[Chain], Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(distill.DistillError, match=message) as caught:
        call(chain)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_is_read_is_never_overwritten(chain: Chain, tmp_path: Path) -> None:
    """Neither the teacher nor a folder that holds it; and resume and overwrite together delete nothing."""
    teacher = shutil.copytree(chain.teacher, tmp_path / "runs" / "teacher")
    before = weights_sha256(teacher)
    settings = {"recipe": TINY, "overrides": chain.overrides}
    for out in (teacher, tmp_path / "runs"):
        with pytest.raises(OutputError, match=r"is or holds .*teacher, which is read"):
            distill.train_student(chain.data, out, teacher=teacher, overwrite=True, **settings)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="resume and overwrite exclude each other"):
        distill.train_teacher(chain.data, teacher, resume=True, overwrite=True, **settings)  # type: ignore[arg-type]
    assert weights_sha256(teacher) == before


def test_a_finished_run_without_a_control_says_so_when_one_is_asked_for(chain: Chain, tmp_path: Path) -> None:
    student = tmp_path / "student"
    arguments = {"teacher": chain.teacher, "recipe": TINY, "overrides": chain.overrides}
    distill.train_student(chain.data, student, **arguments)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is finished, and without a control"):
        distill.train_student(chain.data, student, resume=True, control=True, **arguments)  # type: ignore[arg-type]


def test_a_bundle_shows_itself_in_a_line_and_survives_a_change_of_directory(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(chain.int8.parent)
    predictor = distill.load(chain.int8.name)
    assert len(repr(predictor.bundle)) < 2000
    assert "int8, 6 labels" in repr(predictor)
    with pytest.raises(ValueError, match="read-only"):
        predictor.thresholds[:] = 0.5
    monkeypatch.chdir(tmp_path)
    copy = pickle.loads(pickle.dumps(predictor))  # noqa: S301
    assert copy.predict("words").probabilities == predictor.predict("words").probabilities
    assert predictor.bundle.size_bytes() > 0


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
    _, failed = predictor.predict_many([rows[0], {"id": 5, "text": 3}], on_error="return")
    assert failed == FailedRow("5", "row 1: text must be a string; got 3")
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
    held, own = pickle.dumps(predictor), predictor.bundle
    swapped = LabelSet((own.labels.names[1], own.labels.names[0], *own.labels.names[2:]))
    for other in (distill.Bundle.open(chain.fp32), replace(own, labels=swapped)):
        monkeypatch.setattr(Predictor, "load", classmethod(lambda cls, *_, other=other: cls(other)))
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
