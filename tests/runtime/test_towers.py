"""A model's towers run as graphs of their own: with the same bits, and an absent half costs nothing."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from chain import Chain
from onnx import numpy_helper
from towers import assert_parts_answer_as_the_whole

from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.cut import LARGE_BYTES, CutGraph
from distill.runtime.onnx.tower_sessions import TowerSessions, open_towers
from distill.runtime.opened import Features, Towers
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
    onnx.load_external_data_for_model(head, str(chain.fp32))
    onnx.checker.check_model(head)
    assert {value.name for value in text.graph.input} == {"input_ids", "attention_mask", "present"}
    assert "input_ids" not in {value.name for value in image.graph.input}
    weights = [{constant.name for constant in part.graph.initializer if constant.dims} for part in (text, image)]
    assert not {name for name in weights[0] & weights[1] if "weight" in name}


def test_large_weights_stay_in_the_file(chain: Chain) -> None:
    file = chain.fp32 / "model.onnx"
    numbers = {
        constant.name: numpy_helper.to_array(constant) for constant in onnx.load(str(file)).graph.initializer
    }
    with file.open("rb") as handle:
        content = CutGraph(handle, file.stat().st_size, file.name).tower("text")
        assert content is not None
        part = onnx.load_from_string(content)
    left = {constant.name for constant in part.graph.initializer if constant.external_data}
    matrices = {name for node in part.graph.node if node.op_type != "Reshape" for name in node.input}
    assert left == {name for name in matrices & numbers.keys() if numbers[name].nbytes >= LARGE_BYTES} != set()
    onnx.load_external_data_for_model(part, str(file.parent))
    for constant in part.graph.initializer:
        assert np.array_equal(numpy_helper.to_array(constant), numbers[constant.name])


def test_a_file_is_cut_in_a_folder_of_any_name_and_behind_a_link(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner, 模型"
    folder.mkdir()
    shutil.copy(chain.int8 / "model.onnx", folder / "größer %20.onnx")
    (tmp_path / "link.onnx").symlink_to(folder / "größer %20.onnx")
    for model in (folder / "größer %20.onnx", tmp_path / "link.onnx"):
        assert_parts_answer_as_the_whole(model)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_a_text_tower_on_all_threads_has_the_bits_of_one(chain: Chain, precision: str) -> None:
    folder = getattr(chain, precision)
    one, *several = (Predictor.load(folder, threads) for threads in (1, 2, 3, 8))
    for example in chain.splits.test:
        for words in (1, 3, 40):
            (row,) = one.preprocessor.rows([" ".join([example.text] * words)], [None])
            alone = one.text_features(row)
            assert alone is not None
            for predictor in several:
                wide = predictor.text_features(row, wide=True)
                assert wide is not None
                assert {k: v.tobytes() for k, v in wide.items()} == {k: v.tobytes() for k, v in alone.items()}


def test_one_post_at_a_time_has_all_threads_and_rows_have_one_each(chain: Chain) -> None:
    predictor, example = Predictor.load(chain.int8, threads=3), chain.splits.test[0]
    towers = predictor.model
    assert isinstance(towers, TowerSessions)
    list(predictor.stream(chain.splits.test[:4]))
    assert towers._text.wide is None  # nothing is opened that nobody asked for
    alone = predictor.predict(example.text, example.image)
    narrow, wide = Watched(towers._text.narrow), Watched(towers._text.wide)
    assert narrow.part is not wide.part is not None
    towers._text.narrow, towers._text.wide = narrow, wide  # type: ignore[assignment]
    assert predictor.predict(example.text, example.image) == alone
    assert predictor.predict(example.text) is not None
    assert (narrow.runs, wide.runs) == (0, 2)
    with predictor._all_threads:  # another post has them
        assert predictor.predict(example.text, example.image) == alone
    list(predictor.stream(chain.splits.test[:4]))
    assert (narrow.runs, wide.runs) == (1 + 4, 2)


def test_of_two_threads_the_text_has_one_and_the_image_the_other(chain: Chain) -> None:
    predictor, example = Predictor.load(chain.int8, threads=2), chain.splits.test[0]
    assert isinstance(predictor.model, TowerSessions)
    predictor.predict(example.text, example.image)
    assert predictor.model._text.wide is None
    predictor.predict(example.text)
    assert predictor.model._text.wide not in (None, predictor.model._text.narrow)


def test_the_image_tower_runs_while_the_text_tower_does(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text tower is held until the image tower has answered."""
    predictor, example = Predictor.load(chain.int8, threads=2), chain.splits.test[0]
    expected, towers, image_ran = predictor.predict(example.text, example.image), predictor.model, threading.Event()
    assert isinstance(towers, TowerSessions)
    on_image, on_text = towers.image_features, towers.text_features

    def image_features(batch: ModelInputs) -> Features:
        features = on_image(batch)
        image_ran.set()
        return features

    def text_features(batch: ModelInputs, wide: bool = False) -> Features:
        assert image_ran.wait(60)
        return on_text(batch, wide)

    monkeypatch.setattr(towers, "image_features", image_features)
    monkeypatch.setattr(towers, "text_features", text_features)
    assert predictor.predict(example.text, example.image) == expected


def test_one_thread_opens_no_second_session(chain: Chain) -> None:
    predictor = Predictor.load(chain.int8, threads=1)
    predictor.predict("a post")
    assert isinstance(predictor.model, TowerSessions)
    assert predictor.model._text.wide is None


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_what_is_open_no_longer_depends_on_the_file(chain: Chain, tmp_path: Path, precision: str) -> None:
    folder = shutil.copytree(getattr(chain, precision), tmp_path / "bundle")
    predictor, examples = Predictor.load(folder, threads=2), chain.splits.test
    assert predictor.predict(examples[0].text) is not None  # opens what a post alone needs
    with (folder / "model.onnx").open("r+b") as file:  # as cp onto it does: no other file, this one
        size = file.seek(0, 2)
        file.seek(0)
        file.write(b"\0" * size)
        file.truncate(4096)
    expected = Predictor.load(getattr(chain, precision), threads=1)
    for example in examples:
        post = (example.text, example.image, "a")
        assert predictor.predict(*post) == expected.predict(*post)
    assert list(predictor.stream(examples)) == list(expected.stream(examples))


def test_a_bundle_that_is_replaced_meanwhile_goes_on_as_it_was_opened(chain: Chain, tmp_path: Path) -> None:
    folder = shutil.copytree(chain.int8, tmp_path / "bundle")
    expected = Predictor.load(chain.int8, threads=1).predict("a post")
    for change in ((folder / "model.onnx").touch, partial(shutil.rmtree, folder)):
        predictor = Predictor.load(folder, threads=2)
        change()
        assert predictor.predict("a post") == expected
        assert predictor.predict("a post") == expected
        towers = predictor.model
        assert isinstance(towers, TowerSessions)
        assert towers._text.wide is towers._text.narrow


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
    text, image = Watched(towers._text.narrow), Watched(towers._image)
    towers._text.narrow, towers._image = text, image  # type: ignore[assignment]
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

    def text_features(batch: ModelInputs, wide: bool) -> object:
        both.wait()
        return real[0](batch, wide)

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
