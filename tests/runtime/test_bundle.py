"""Bundles: whole or absent, refused when touched, and served without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chain import BLOCKER, Chain, contents_of

from distill.core.errors import BundleError
from distill.core.storage.files import atomic_folder, sha256_of, write_bytes
from distill.data.dataset import Example
from distill.data.sources import FailedRow
from distill.model.checkpoint import Checkpoint
from distill.runtime import bundle as bundles
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import FILES, MANIFEST
from distill.runtime.predictor import Prediction, Predictor
from distill.scoring.metrics import sigmoid


@pytest.fixture
def copy(chain: Chain, tmp_path: Path) -> Path:
    return Path(shutil.copytree(chain.int8, tmp_path / "copy"))


@pytest.mark.parametrize("name", FILES)
def test_bundle_with_a_flipped_byte_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match="its content does not match") as caught:
        Bundle.open(copy)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_bundle_with_a_missing_file_or_a_link_is_refused(copy: Path, name: str) -> None:
    (copy / name).rename(copy.parent / "elsewhere")
    with pytest.raises(BundleError, match="missing or not a plain file"):
        Bundle.open(copy)
    (copy / name).symlink_to(copy.parent / "elsewhere")
    with pytest.raises(BundleError, match="missing or not a plain file"):
        Bundle.open(copy)


def forge(copy: Path, name: str, text: str) -> None:
    """Change a file and its checksum, as a bug (not an accident) would."""
    (copy / name).write_text(text, encoding="utf-8")
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"][name] = sha256_of(copy / name)
    (copy / MANIFEST).write_text(json.dumps(manifest))


def test_thresholds_for_other_labels_are_refused(copy: Path) -> None:
    forge(copy, "labels.txt", "one\ntwo\n")
    with pytest.raises(BundleError, match="thresholds for 6 labels, label set has 2; run distill export again"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thresholds.json", "{}"),
        ("thresholds.json", "["),
        ("preprocess.json", '{"image": 3}'),
        ("labels.txt", "\n"),
    ],
)
def test_files_of_the_wrong_shape_are_refused_in_one_line(copy: Path, name: str, text: str) -> None:
    forge(copy, name, text)
    with pytest.raises(BundleError) as caught:
        Bundle.open(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"format": 99}', '{"format": 1}', '{"format": 1, "files": {"../x": ""}}']
)
def test_manifests_of_another_form_are_refused(copy: Path, manifest: str) -> None:
    (copy / MANIFEST).write_text(manifest)
    with pytest.raises(BundleError):
        Bundle.open(copy)


def test_a_bundle_of_an_older_format_says_what_to_run(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(manifest | {"format": 3}))
    with pytest.raises(
        BundleError, match=r"manifest\.json: its format is 3, expected 4 or 5; run distill export again$"
    ):
        Bundle.open(copy)


def test_a_model_that_is_no_graph_is_one_line(copy: Path) -> None:
    forge(copy, "model.onnx", "not a graph")
    with pytest.raises(BundleError, match="cannot be read as an ONNX file") as caught:
        Predictor.load(copy)
    assert "\n" not in str(caught.value)


def test_a_write_that_fails_leaves_the_old_bundle_whole(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sha256_of(copy / MANIFEST)
    contents = contents_of(copy)
    bad = replace(contents, figures={"speed": float("nan")})  # refused by JSON, after the other files
    with pytest.raises(ValueError, match="JSON"):
        bundles.write_bundle(copy, bad)
    assert sha256_of(Bundle.open(copy).folder / MANIFEST) == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    bundles.write_bundle(copy, contents)
    assert (copy / "README.md").read_text() == "# card"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_folder_and_a_file_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "new") as part:
        (part / "absent" / "a").write_text("x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "file", "text")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_predicts_without_torch(chain: Chain) -> None:
    example = chain.splits.test[0]
    words = ["predict", str(chain.int8), "--image", str(example.image), "--text", example.text]
    script = BLOCKER + (
        f"from distill.cli.main import main\nmain({words!r}, standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = Predictor.load(chain.int8).predict(example.text, example.image)
    assert json.loads(done.stdout)["probabilities"] == pytest.approx(expected.probabilities)


@pytest.mark.parametrize("command", ["train-teacher --data x --out y", "export x --data {data} --out y"])
def test_training_without_torch_says_what_to_install(chain: Chain, command: str, tmp_path: Path) -> None:
    words = command.replace("x ", str(chain.data) + " ", 1) if "train" in command else command
    words = words.replace("{data}", str(chain.data)).replace("export x", f"export {chain.student}")
    script = BLOCKER + f"from distill.cli.main import run\nsys.argv = ['distill', *{words.split()!r}]\nrun()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'distill[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_predictor_answers_as_the_students_own_network(chain: Chain, checkpoint: Checkpoint) -> None:
    ours = Predictor.load(chain.fp32).probabilities(chain.splits.test)
    assert np.abs(ours - sigmoid(checkpoint.logits(chain.splits.test))).max() < 1e-4


def test_one_by_one_and_many_at_once_give_the_same_answers_in_order(chain: Chain) -> None:
    predictor = Predictor.load(chain.fp32)
    many = list(predictor.stream(chain.splits.test))
    for example, answer in zip(chain.splits.test, many, strict=True):
        single = predictor.predict(example.text, example.image, example.id)
        assert isinstance(answer, Prediction)
        assert (answer.id, answer.labels) == (single.id, single.labels)
        assert answer.probabilities == pytest.approx(single.probabilities, abs=2e-4)


def test_bad_items_do_not_cost_the_good_ones(chain: Chain, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    good = chain.splits.test[:3]
    items: list[Example | FailedRow] = [
        good[0],
        Example("bad", "x", bad, ()),
        FailedRow("row 3", "no id"),
        *good[1:],
    ]
    answers = list(Predictor.load(chain.fp32).stream(items))
    assert [answer.id for answer in answers] == [good[0].id, "bad", "row 3", good[1].id, good[2].id]
    assert [isinstance(answer, FailedRow) for answer in answers] == [False, True, True, False, False]


def test_threads_share_a_predictor_and_get_the_same_answers(chain: Chain) -> None:
    predictor = Predictor.load(chain.int8, threads=1)
    expected = predictor.probabilities(chain.splits.test[:8])
    answers: list[np.ndarray] = []
    workers = [
        threading.Thread(target=lambda: answers.append(predictor.probabilities(chain.splits.test[:8])))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(answers) == 4
    assert all((answer == expected).all() for answer in answers)
