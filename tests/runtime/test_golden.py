"""Golden answers and single files: what a device can check before it trusts a Bundle."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from chain import BLOCKER, Chain, contents_of
from click.testing import CliRunner
from hostile_images import jpeg_scans, red, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from distill.cli.main import main
from distill.core.errors import BundleError
from distill.runtime import golden
from distill.runtime.bundle import Bundle
from distill.runtime.onnx.metadata import read_metadata
from distill.runtime.predictor import Predictor
from export.embed import embed_contents


@pytest.fixture(scope="module")
def single(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("single") / "student.onnx"
    embed_contents(chain.int8 / "model.onnx", contents_of(chain.int8), out)
    return out


def test_a_bundle_gives_its_own_answers_again(bundle: Bundle) -> None:
    answer = golden.replay_golden(Predictor(bundle))
    assert answer.passed
    assert (answer.cases, answer.other_tokens, answer.other_pixels, answer.flipped) == (8, 0, 0, 0)
    assert answer.logit_rms < 1e-5


def test_golden_answers_cover_missing_halves_and_long_texts(bundle: Bundle) -> None:
    cases = bundle.golden["cases"]
    assert any(case["image"] is None for case in cases)
    assert any(case["text"] == "" for case in cases)
    assert max(len(ids) for ids in bundle.golden["ids"]) == bundle.preprocess.text.max_tokens


def test_a_file_with_other_weights_is_found_out(bundle: Bundle, tmp_path: Path) -> None:
    proto = onnx.load(str(bundle.model))
    bias = next(item for item in proto.graph.initializer if item.name.endswith("output.bias"))
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    onnx.save(proto, tmp_path / "other.onnx")
    answer = golden.replay_golden(Predictor(replace(bundle, model=tmp_path / "other.onnx")))
    assert answer.logit_rms == pytest.approx(0.5, abs=1e-3)
    assert not answer.passed


def test_other_tokens_are_found_out(bundle: Bundle) -> None:
    changed = json.loads(bundle.tokenizer_json)
    words = changed["model"]["vocab"]
    first, second = list(words)[10:12]
    words[first], words[second] = words[second], words[first]
    others = {**bundle.golden, "ids": [[*ids, 1] for ids in bundle.golden["ids"]]}
    answer = golden.replay_golden(Predictor(replace(bundle, golden=others)))
    assert (answer.other_tokens, answer.passed) == (8, False)


@pytest.mark.parametrize("damage", [{}, {"cases": 3}, {"logits": [[1.0]]}])
def test_golden_answers_of_another_form_are_one_line(bundle: Bundle, damage: dict[str, object]) -> None:
    broken = {**bundle.golden, **damage} if damage else {}
    with pytest.raises(BundleError, match="its golden answers cannot be read"):
        golden.replay_golden(Predictor(replace(bundle, golden=broken)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (saved(red(size=(1200, 900)), "JPEG"), "1200 x 900 pixels, over the limit of 1,000,000"),
        (jpeg_scans(42), "more than 50 scans"),
        (saved(red(), "AVIF"), "neither JPEG nor PNG"),
    ],
)
def test_golden_answers_of_a_stranger_hold_small_plain_images(bundle: Bundle, content: bytes, said: str) -> None:
    cases = [{"text": "", "image": base64.b64encode(content).decode()}] * len(bundle.golden["cases"])
    with pytest.raises(BundleError, match=f"its golden answers cannot be read: .*{said}"):
        golden.replay_golden(Predictor(replace(bundle, golden={**bundle.golden, "cases": cases})))


def test_verify_says_what_this_machine_is_and_exits_with_0(chain: Chain) -> None:
    done = CliRunner().invoke(main, ["verify", str(chain.int8)])
    assert done.exit_code == 0, done.output
    assert "int8 instructions" in done.output
    assert "verified" in done.output


def test_verify_exits_with_1_for_answers_that_moved(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    real = golden._logits
    monkeypatch.setattr(golden, "_logits", lambda *a: real(*a) + np.float32(1.0))
    done = CliRunner().invoke(main, ["verify", str(chain.int8)])
    assert done.exit_code == 1
    assert "NOT verified" in done.output


def test_one_file_answers_as_its_bundle_does(chain: Chain, single: Path, tmp_path: Path) -> None:
    whole, one = Predictor.load(chain.int8), Predictor.load(single)
    for example in chain.splits.dev[:4]:
        assert one.predict(example.text, example.image) == whole.predict(example.text, example.image)
    assert one.bundle.thresholds == whole.bundle.thresholds
    assert golden.replay_golden(one).passed
    # And on a machine without torch or onnx.
    code = (
        BLOCKER
        + f"""
from pathlib import Path
from distill.runtime.predictor import Predictor
print(Predictor.load(Path({str(single)!r})).predict("who did this", None).labels)
"""
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(whole.predict("who did this", None).labels)


def test_one_file_with_a_flipped_weight_is_refused(single: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(single, tmp_path / "copy.onnx"))
    content = bytearray(copy.read_bytes())
    content[len(content) // 3] ^= 1
    copy.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=r"copy it again|cannot be read as an ONNX file"):
        Bundle.open(copy)


def test_a_model_without_metadata_is_refused_with_the_next_step(chain: Chain) -> None:
    with pytest.raises(BundleError, match="holds a model alone; give the Bundle's folder, or export with --embed"):
        Bundle.open(chain.int8 / "model.onnx")


def test_metadata_and_digest_agree_with_onnx_and_hashlib(single: Path) -> None:
    import hashlib

    proto, found = onnx.load(str(single)), read_metadata(single)
    assert found.entries == {item.key: item.value for item in proto.metadata_props}
    assert found.graph_sha256 == hashlib.sha256(proto.graph.SerializeToString()).hexdigest()


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_no_bytes_do_more_to_the_reader_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError):
        Bundle.open(path)


def test_export_with_embed_makes_the_bundles_model_serve_alone(
    chain: Chain, checkpoint: object, tmp_path: Path
) -> None:
    from distill.core.machine.cpu import detect_target
    from export.pipeline import ExportRequest, export_run

    request = ExportRequest("fp32", detect_target(), tmp_path / "out", embed=True)
    (bundle,) = export_run(checkpoint, chain.splits, chain.recipe.export, request)  # type: ignore[arg-type]
    alone = Path(shutil.copy(bundle.model, tmp_path / "alone.onnx"))
    example = chain.splits.dev[0]
    both = [Predictor.load(path).predict(example.text, example.image) for path in (bundle.folder, alone)]
    assert both[0] == both[1]
