"""A model's towers run as graphs of their own: with the same bits, and an absent half costs nothing."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
from chain import Chain
from towers import assert_parts_answer_as_the_whole

from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.tower_sessions import TowerSessions, open_towers
from distill.runtime.opened import Towers
from distill.runtime.predictor import Predictor


def test_parts_have_the_bits_of_the_whole_and_are_sound(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[bytes] = []
    real = onnxruntime.InferenceSession

    def kept(model: str | bytes, *arguments: object, **options: object) -> object:
        parts.extend([model] if isinstance(model, bytes) else [])
        return real(model, *arguments, **options)

    for bundle in (chain.fp32, chain.int8):
        assert_parts_answer_as_the_whole(bundle / "model.onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", kept)
    assert open_towers(chain.fp32 / "model.onnx") is not None
    text, image, head = map(onnx.load_from_string, parts)
    onnx.checker.check_model(head)
    assert {value.name for value in text.graph.input} == {"input_ids", "attention_mask", "present"}
    assert "input_ids" not in {value.name for value in image.graph.input}
    weights = [{constant.name for constant in part.graph.initializer if constant.dims} for part in (text, image)]
    assert not {name for name in weights[0] & weights[1] if "weight" in name}
    assert len(parts[2]) < len(parts[0])


def test_a_graph_whose_towers_are_entangled_runs_whole(chain: Chain, tmp_path: Path) -> None:
    model = onnx.load(str(chain.fp32 / "model.onnx"))
    shape = next(node for node in model.graph.node if node.op_type == "Shape" and "attention_mask" in node.input)
    inner = next(node for node in model.graph.node if node.op_type == "Conv").output[0]
    shape.input[0] = inner  # the text tower takes the batch's size from within the image tower
    nodes = [node for node in model.graph.node if node is not shape]
    place = 1 + next(number for number, node in enumerate(nodes) if inner in node.output)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:place], shape, *nodes[place:]])
    onnx.save(model, str(tmp_path / "model.onnx"))
    towers = open_towers(tmp_path / "model.onnx")
    if towers is not None:  # where onnx sorts its nodes otherwise
        assert_parts_answer_as_the_whole(tmp_path / "model.onnx")


class Watched:
    """A part of a model that counts its runs."""

    def __init__(self, part: object) -> None:
        self.part, self.runs = part, 0

    def run(self, feed: object) -> object:
        self.runs += 1
        return self.part.run(feed)  # type: ignore[attr-defined]


def test_an_absent_half_runs_once_and_never_again(chain: Chain) -> None:
    predictor = Predictor.load(chain.int8, threads=1)
    towers = predictor.model
    assert isinstance(towers, TowerSessions)
    text, image = Watched(towers._text), Watched(towers._image)
    towers._text, towers._image = text, image  # type: ignore[assignment]
    examples = chain.splits.test[:5]
    for example in examples:
        predictor.predict("words and more")
        predictor.predict(image=example.image)
    assert (text.runs, image.runs) == (5 + 1, 5 + 1)
    list(predictor.stream([replace(example, text="") for example in examples]))
    assert (text.runs, image.runs) == (6, 6 + 5)


def test_one_posts_towers_run_at_the_same_time_where_there_are_two_workers(chain: Chain) -> None:
    example = chain.splits.test[0]
    alone = Predictor.load(chain.int8, threads=1).predict(example.text, example.image, "a")
    predictor = Predictor.load(chain.int8, threads=2)
    towers, both = predictor.model, threading.Barrier(2, timeout=10)
    assert isinstance(towers, Towers)
    real = towers.text_features, predictor.preprocessor.image

    def text_features(batch: ModelInputs) -> object:
        both.wait()
        return real[0](batch)

    def image(*arguments: object) -> object:
        both.wait()
        return real[1](*arguments)  # type: ignore[arg-type]

    towers.text_features = text_features  # type: ignore[method-assign, assignment]
    predictor.preprocessor.image = image  # type: ignore[method-assign, assignment]
    assert predictor.predict(example.text, example.image, "a") == alone


def test_a_file_that_cannot_be_cut_says_what_the_whole_says(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x07 not a model")
    assert open_towers(tmp_path / "model.onnx") is None
    assert open_towers(tmp_path / "missing.onnx") is None
