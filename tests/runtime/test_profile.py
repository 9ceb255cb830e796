"""What onnxruntime ran, tower by tower, and graphs read without the onnx package."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from chain import Chain, random_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from bench.measure.work import work
from bench.report.measured import Peak
from distill.core.errors import BenchError, BundleError, ExportError
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx import profile, towers
from distill.runtime.onnx.graph import Graph, Initializer, Node, read_graph
from distill.runtime.onnx.metadata import read_metadata
from distill.runtime.onnx.profile import OperatorMacs
from distill.runtime.onnx.session import open_session
from export.quantize.coverage import measure_coverage


def weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array(np.full(shape, 0.01, dtype=np.float32), name)


def hand_made(path: Path, text: int, image: int, head: int, extra: list[NodeProto] | None = None) -> ModelInputs:
    """A model with towers so many wide, and a batch of one example with 2 tokens for it."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"], name="gather"),
        helper.make_node("ReduceMean", ["tokens", "axis1"], ["words"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["words", "text weights"], ["text"]),  # no name, as exporters leave some
        helper.make_node("Cast", ["pixels"], ["light"], to=TensorProto.FLOAT, name="cast"),
        helper.make_node("Conv", ["light", "kernel"], ["seen"], name="conv", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["seen"], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "image weights"], ["image"], name="image"),
        *(extra or []),
        helper.make_node("Concat", ["text", "image"], ["joint"], name="joint", axis=1),
        helper.make_node("MatMul", ["joint", "head weights"], ["logits"]),
    ]
    initializers = [
        weight("table", 100, text),
        weight("text weights", text, text),
        weight("kernel", 16, 3, 2, 2),  # a multiple of what kernels take at once: nothing is padded
        weight("image weights", 16 * 2 * 2, image),
        weight("head weights", text + image, head),
        numpy_helper.from_array(np.array([1]), "axis1"),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "t"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["b", "t"]),
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", 3, 4, 4]),
        helper.make_tensor_value_info("present", TensorProto.FLOAT, ["b", 2]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", head])]
    graph = helper.make_graph(nodes, "hand", inputs, outputs, initializers)
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return replace(random_batch(1, 2), pixels=np.zeros((1, 3, 4, 4), np.uint8))


def test_multiply_accumulates_are_those_counted_by_hand(tmp_path: Path) -> None:
    batch = hand_made(tmp_path / "hand.onnx", text=16, image=7, head=3)
    found = profile.count_macs(tmp_path / "hand.onnx", batch)
    convolution = 16 * 2 * 2 * 3 * 2 * 2  # channels out, their size, channels in, kernel
    assert sorted(found, key=str) == sorted(
        [
            OperatorMacs("text", False, 16 * 16),
            OperatorMacs("image", False, convolution),
            OperatorMacs("image", False, 16 * 2 * 2 * 7),
            OperatorMacs("head", False, (16 + 7) * 3),
        ],
        key=str,
    )


def test_weights_that_are_read_are_those_counted_by_hand_and_of_a_table_the_rows_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "hand.onnx"
    batch = hand_made(path, text=16, image=7, head=3)
    products = 4 * (16 * 16 + 16 * 3 * 2 * 2 + 16 * 2 * 2 * 7 + 23 * 3)  # four bytes each, whatever runs on them
    axis = 8
    assert profile.weight_bytes(path, batch) == products + axis + 4 * 2 * 16  # two tokens of the table's 100
    ids = np.zeros((1, 30), np.int64)
    longer = replace(batch, input_ids=ids, attention_mask=np.ones_like(ids))
    assert profile.weight_bytes(path, longer) == products + axis + 4 * 30 * 16
    ids = np.zeros((1, 300), np.int64)
    whole = replace(batch, input_ids=ids, attention_mask=np.ones_like(ids))
    assert profile.weight_bytes(path, whole) == products + axis + 4 * 100 * 16  # the table has no more


def test_weights_that_are_used_twice_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "hand.onnx"
    once = profile.weight_bytes(path, hand_made(path, text=16, image=7, head=3))
    again = [
        helper.make_node("MatMul", ["text", "text weights"], ["text twice"], name="twice"),
        helper.make_node("Gather", ["table", "input_ids"], ["tokens again"], name="gather again"),
    ]
    batch = hand_made(path, 16, 7, 3, again)
    model = onnx.load(str(path))
    for name in ("text twice", "tokens again"):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    onnx.save(model, str(path))
    assert once <= profile.weight_bytes(path, batch) <= once + 4 * 2 * 16  # equal gathers may become one


def test_a_graph_in_int8_reads_fewer_bytes_than_its_parent_and_that_fewer_than_its_file_has(chain: Chain) -> None:
    batch = random_batch(1, 8)
    fp32, int8 = (profile.weight_bytes(folder / "model.onnx", batch) for folder in (chain.fp32, chain.int8))
    assert int8 < fp32  # by how much depends on whether its convolutions are in int8
    assert fp32 < (chain.fp32 / "model.onnx").stat().st_size


def test_the_chains_work_is_what_coverage_counts_of_it(chain: Chain) -> None:
    batch = random_batch(1, 8)
    for folder in (chain.fp32, chain.int8):
        found = profile.count_macs(folder / "model.onnx", batch)
        for tower, reach in measure_coverage(folder / "model.onnx", batch).rows()[:3]:
            parts = [product for product in found if product.tower == tower]
            assert sum(part.macs for part in parts if part.quantised) == reach.low_bit_macs
            assert sum(part.macs for part in parts if not part.quantised) == reach.float_macs
            assert parts
        assert any(product.quantised for product in found) == (folder == chain.int8)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("heavy", towers.TOWERS)
def test_the_tower_that_works_takes_the_time(heavy: str, threads: int, tmp_path: Path) -> None:
    """Millions of multiply-accumulates against thousands. The products of text and head have no name."""
    widths = {"text": 10, "image": 10, "head": 3}
    widths |= {"text": {"text": 2500}, "image": {"image": 300_000, "head": 1}, "head": {"head": 200_000}}[heavy]
    batch = hand_made(tmp_path / "hand.onnx", **widths)
    found = profile.tower_time_shares(tmp_path / "hand.onnx", batch, threads, calls=5)
    assert list(found) == list(towers.TOWERS)
    assert sum(found.values()) == pytest.approx(1.0)
    assert min(found.values()) > 0.0
    assert max(found, key=lambda tower: found[tower]) == heavy  # type: ignore[index]


def test_the_chains_time_is_shared_out_whole(chain: Chain) -> None:
    for folder in (chain.fp32, chain.int8):
        found = profile.tower_time_shares(folder / "model.onnx", random_batch(1, 8), threads=1, calls=3)
        assert sum(found.values()) == pytest.approx(1.0)
        assert all(0.0 < share < 1.0 for share in found.values())


def branch(*nodes: NodeProto) -> GraphProto:
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "branch", [], [output])


def test_what_runs_inside_a_branch_is_no_node_of_the_graph_and_must_not_multiply(tmp_path: Path) -> None:
    path = tmp_path / "hand.onnx"
    minus = branch(helper.make_node("Neg", ["image"], ["minus"], name="minus"))
    product = branch(helper.make_node("MatMul", ["flat", "image weights"], ["more"], name="more"))
    for there, elsewhere in ((minus, product), (product, minus)):
        extra = [
            helper.make_node("ReduceMax", ["input_ids", "axis1"], ["most"], name="most", keepdims=0),
            helper.make_node("Cast", ["most"], ["flag"], to=TensorProto.BOOL, name="flag"),
            helper.make_node("If", ["flag"], ["chosen"], name="if", then_branch=there, else_branch=elsewhere),
        ]
        batch = hand_made(path, 16, 7, 3, extra)
        model = onnx.load(str(path))
        model.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None))
        onnx.save(model, str(path))
        if there is minus:
            assert len(profile.count_macs(path, batch)) == 4
            assert sum(profile.tower_time_shares(path, batch, 1, 2).values()) == pytest.approx(1.0)
            continue
        with pytest.raises(ExportError, match="onnxruntime ran more, which the graph that it wrote does not name"):
            profile.count_macs(path, batch)


def test_the_work_of_a_model_is_its_time_at_the_machines_peak(tmp_path: Path) -> None:
    path = tmp_path / "hand.onnx"
    batch = hand_made(path, text=16, image=7, head=3)
    macs = 16 * 16 + 16 * 2 * 2 * 3 * 2 * 2 + 16 * 2 * 2 * 7 + 23 * 3
    found = work(path, batch, model_ms=0.5, peak=Peak(1, 1, 1, 1, int8_gops=400.0, fp32_gops=0.01))
    assert (found.tokens, found.low_bit_macs, found.float_macs) == (2, 0, macs)
    assert found.ideal_ms == pytest.approx(2 * macs / 0.01e9 * 1e3)
    assert found.of_peak == pytest.approx(found.ideal_ms / 0.5)
    assert found.weight_bytes == profile.weight_bytes(path, batch)
    with pytest.raises(BenchError, match="counted for one example, not for 3"):
        work(path, random_batch(3, 2), 0.5, Peak(1, 1, 1, 1, 1.0, 1.0))


def test_eight_bits_count_at_the_peak_of_eight_bits(chain: Chain) -> None:
    given_ = (chain.int8 / "model.onnx", random_batch(1, 8), 2.0)
    found = work(*given_, Peak(1, 1, 1, 1, int8_gops=4.0, fp32_gops=1.0))
    assert found.low_bit_macs > 0
    assert found.ideal_ms == pytest.approx((2 * found.low_bit_macs / 4e9 + 2 * found.float_macs / 1e9) * 1e3)


def as_onnx_reads(path: Path) -> Graph:
    graph = onnx.load(str(path)).graph
    return Graph(
        tuple(Node(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in graph.node),
        tuple(Initializer(i.name, tuple(i.dims), i.data_type) for i in graph.initializer),
    )


def test_a_graph_is_read_as_onnx_reads_it(chain: Chain, tmp_path: Path) -> None:
    open_session(chain.int8 / "model.onnx", 1, record=tmp_path)
    hand_made(tmp_path / "hand.onnx", 4, 4, 4)
    for path in (chain.fp32 / "model.onnx", chain.int8 / "model.onnx", *tmp_path.glob("*.onnx")):
        found = read_graph(path)
        assert found == as_onnx_reads(path)
        assert towers.weight_towers(found) == towers.weight_towers(onnx.load(str(path)).graph)


def test_sizes_may_be_packed_and_are_never_negative(tmp_path: Path) -> None:
    def file_of(tensor: bytes) -> Path:
        graph = bytes([5 << 3 | 2, len(tensor)]) + tensor
        path = tmp_path / "x.onnx"
        path.write_bytes(bytes([7 << 3 | 2, len(graph)]) + graph)
        return path

    packed = file_of(bytes([1 << 3 | 2, 3, 0xAC, 0x02, 7]))  # 300 and 7
    assert read_graph(packed).initializer == (Initializer("", (300, 7), 0),)
    with pytest.raises(BundleError, match="negative size"):
        read_graph(file_of(bytes([1 << 3, *[0xFF] * 9, 0x01])))
    with pytest.raises(BundleError, match="cannot be read"):
        read_graph(tmp_path / "absent.onnx")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(BundleError, match="holds no graph"):
        read_graph(tmp_path / "empty.onnx")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "hand.onnx"
    hand_made(path, 4, 4, 4)
    return path.read_bytes()


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_damaged_file_is_refused_or_read_and_nothing_else(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(sound)
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = byte
    start, length = data.draw(st.tuples(places, st.integers(0, 20)))
    del content[start : start + length]
    if data.draw(st.booleans()):
        del content[data.draw(places) :]
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(content)
    for read in (read_graph, read_metadata):
        with suppress(BundleError):
            read(path)
