"""Changes to a Bundle's files that its checksums would not tell, and a part of what each refusal says. Knows the
formats, not distill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Change:
    """`change` alters a model or a JSON tree in place, or gives the file's new content."""

    name: str
    file: str
    change: Callable[[Any], object]
    reason: str


def put(*path: str | int, value: Any) -> Callable[[Any], object]:
    """Set one value of a tree."""

    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


def outside(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../secret.bin", "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)


def external_weight(model: onnx.ModelProto) -> None:
    outside(model.graph.initializer[0])


def external_by_flag_alone(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def external_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, dtype=np.float32), "c")
    outside(tensor)
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def external_in_a_branch(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, dtype=np.float32), "c")
    outside(tensor)
    branch = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("c", 1, [1])], [tensor])
    model.graph.node.append(helper.make_node("If", ["present"], ["unused"], then_branch=branch, else_branch=branch))


def endless_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [helper.make_tensor_value_info("i", 7, []), helper.make_tensor_value_info("go", 9, [])],
        [helper.make_tensor_value_info("on", 9, [])],
    )
    model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def function(model: onnx.ModelProto) -> None:
    made = helper.make_function("ai.onnx", "F", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [])
    model.functions.append(made)


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "ai.evil"


def compiled_elsewhere(model: onnx.ModelProto) -> None:
    node = helper.make_node("EPContext", [], ["x"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    model.graph.node.append(node)


def sparse_weight(model: onnx.ModelProto) -> None:
    values, places = (helper.make_tensor(name, kind, [1], [1]) for name, kind in (("v", 1), ("i", 7)))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


def renamed_input(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.input[:] = ["image" if name == "pixels" else name for name in node.input]
    next(item for item in model.graph.input if item.name == "pixels").name = "image"


def one_input_more(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", 1, [1]))


def one_output_more(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["logits"], ["twice"]))
    model.graph.output.append(helper.make_tensor_value_info("twice", 1, None))


def last(operator: str, *inputs: str, **attributes: Any) -> Callable[[onnx.ModelProto], None]:
    """Put one operator behind the logits."""

    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.output[:] = ["before" if name == "logits" else name for name in node.output]
        model.graph.node.append(helper.make_node(operator, ["before", *inputs], ["logits"], **attributes))
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", 1, None))

    return change


def tiled(model: onnx.ModelProto) -> None:
    """A shape that is not known before it runs."""
    model.graph.node.append(helper.make_node("Shape", ["present"], ["times"]))
    last("Tile", "times")(model)


def other_size(model: onnx.ModelProto) -> None:
    next(item for item in model.graph.input if item.name == "pixels").type.tensor_type.shape.dim[1].dim_value = 7


def other_type(model: onnx.ModelProto) -> None:
    next(item for item in model.graph.input if item.name == "present").type.tensor_type.elem_type = 7


def all_memory(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 60], dtype=np.int64), "vast"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["vast"], ["all"]))
    last("Add", "all")(model)


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Nothing"


def few_words(model: onnx.ModelProto) -> None:
    """An embedding with fewer rows than the tokenizer has tokens."""
    table = next(item for item in model.graph.initializer if "word_embeddings" in item.name and len(item.dims) == 2)
    table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[:2], table.name))


def nothing_at_all(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


ELSEWHERE = "weights in another file"
GRAPHS = [
    Change("external weight", "model.onnx", external_weight, ELSEWHERE),
    Change("external by its flag alone", "model.onnx", external_by_flag_alone, ELSEWHERE),
    Change("external constant", "model.onnx", external_constant, ELSEWHERE),
    Change("external in a branch", "model.onnx", external_in_a_branch, "graphs inside operators"),
    Change("endless loop", "model.onnx", endless_loop, "graphs inside operators"),
    Change("function", "model.onnx", function, "functions or training steps"),
    Change("foreign operator", "model.onnx", foreign_operator, "neither onnx's nor com.microsoft's"),
    Change("compiled elsewhere", "model.onnx", compiled_elsewhere, "a compiled model in another file"),
    Change("sparse weight", "model.onnx", sparse_weight, "sparse weights"),
    Change("no graph", "model.onnx", nothing_at_all, "holds 0 graphs"),
    Change("two graphs", "model.onnx", lambda m: m.SerializeToString() + b"\x3a\x00", "holds 2 graphs"),
    Change("cut off", "model.onnx", lambda m: m.SerializeToString()[:-100], "cut off"),
    Change("empty", "model.onnx", lambda _: b"", "it is empty"),
    Change(
        "many empty fields", "model.onnx", lambda m: m.SerializeToString() + b"\x32\x00" * 1_100_000, "more than"
    ),
    Change("unknown operator", "model.onnx", unknown_operator, "cannot open it"),
    Change("renamed input", "model.onnx", renamed_input, "takes and gives"),
    Change("one input more", "model.onnx", one_input_more, "takes and gives"),
    Change("one output more", "model.onnx", one_output_more, "takes and gives"),
    Change("other image size", "model.onnx", other_size, "pixels is tensor(uint8)"),
    Change("other type", "model.onnx", other_type, ""),
    Change("one label more", "model.onnx", last("Concat", "before", axis=1), "logits is tensor(float)"),
    Change("twice the labels when it runs", "model.onnx", tiled, "gives float32 (1, 12), not float32 (1, 6)"),
    Change("no finite answer", "model.onnx", last("Log"), "not all finite"),
    Change("one number", "model.onnx", last("ReduceSum", keepdims=0), "logits is tensor(float)"),
    Change("all memory", "model.onnx", all_memory, "onnxruntime"),
    Change("few words", "model.onnx", few_words, "onnxruntime cannot run it"),
]
SPECS = [
    *(Change(f"size {v}", "preprocess.json", put("image", "size", value=v), "size") for v in (0, -1, 10**9, 1e9)),
    *(Change(f"std {v}", "preprocess.json", put("image", "std", value=v), "std") for v in ([1, 1], [0, 1, 1], [])),
    Change("mean beyond floats", "preprocess.json", put("image", "mean", value=[10**400] * 3), "mean"),
    Change("another fit", "preprocess.json", put("image", "fit", value="../x"), "fit"),
    *(
        Change(f"max_tokens {v}", "preprocess.json", put("text", "max_tokens", value=v), "max_tokens")
        for v in (-1, 0, 1, 10**9, True, "9")
    ),
    *(
        Change(f"pad_id {v}", "preprocess.json", put("text", "pad_id", value=v), "pad_id")
        for v in (-1, 2**40, None)
    ),
    *(
        Change(f"threshold {v}", "thresholds.json", put("values", 0, value=v), "threshold")
        for v in (0, 1, -0.5, 2, 10**400, "0.5", None, True)
    ),
    Change("threshold nan", "thresholds.json", lambda t: json.dumps(t).replace("0.", "NaN, 0.", 1).encode(), "NaN"),
    Change("threshold 1e999", "thresholds.json", lambda t: b'{"values": [1e999]}', "thresholds"),
    Change("no thresholds", "thresholds.json", put("values", value=[]), "thresholds for 0 labels"),
    Change("a key twice", "thresholds.json", lambda t: b'{"values": [], "values": []}', "'values' appears twice"),
    Change("deep", "thresholds.json", lambda t: b"[" * 90_000, "not readable as JSON"),
    Change("rather deep", "golden.json", lambda t: b"[" * 90 + b"]" * 90, "nested more than 64 deep"),
    Change("golden of another form", "golden.json", lambda t: b"[]", "golden is []"),
    Change("million labels", "labels.txt", lambda _: b"\n".join(b"%d" % i for i in range(10**6)), "more than"),
    Change("many labels", "labels.txt", lambda _: b"\n".join(b"%d" % i for i in range(90_000)), "thresholds for 6"),
    Change("a label for a terminal", "labels.txt", lambda _: b"a\x1b[2J\nb\nc\nd\ne\nf\n", "control character"),
    Change("labels no text", "labels.txt", lambda _: b"\xff\xfe", "is not UTF-8"),
]
NAMES = [
    "../x",
    "/etc/passwd",
    "..\\x",
    "C:\\Windows\\x",
    "\\\\server\\share\\x",
    "model.onnx/../../x",
    "CON",
    "",
    ".",
]
MANIFESTS = [
    *(Change(f"names {n!r}", "manifest.json", put("files", n, value="0" * 64), "does not list") for n in NAMES),
    Change("one file less", "manifest.json", lambda t: t["files"].pop("README.md"), "does not list"),
    Change(
        "checksum of another type",
        "manifest.json",
        put("files", "model.onnx", value=0),
        "its content does not match",
    ),
    Change("files in a list", "manifest.json", put("files", value=[]), "does not list"),
    Change("kind", "manifest.json", put("kind", value="oracle"), "kind 'oracle'"),
    Change("precision", "manifest.json", put("precision", value=["int8"]), "precision ['int8']"),
    Change("target", "manifest.json", put("target", value="\x1b[2J"), "no name of a processor"),
    Change("long target", "manifest.json", put("target", value="x" * 10**5), "no name of a processor"),
    Change("figures", "manifest.json", put("figures", value=3), "figures is 3"),
    Change("no kind", "manifest.json", lambda t: t.pop("kind"), "no 'kind'"),
    Change(
        "format twice", "manifest.json", lambda t: b'{"format": 1,' + json.dumps(t).encode()[1:], "appears twice"
    ),
    Change("nan", "manifest.json", lambda t: b'{"x": NaN,' + json.dumps(t).encode()[1:], "NaN is not a JSON"),
    Change("deep", "manifest.json", lambda _: b'{"a":' * 90_000, "not readable as JSON"),
    Change("not text", "manifest.json", lambda _: b"\xff\xff", "not readable as JSON"),
]
CHANGES = [*GRAPHS, *SPECS, *MANIFESTS]
