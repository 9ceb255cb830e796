"""Bundles that somebody changed on purpose, with checksums that are right again. Knows how to break one, and how to
open many in a process that may die of it.

As a script it opens mutants until a time is up: `python tests/support/hostile_bundles.py BUNDLE SEED SECONDS`.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

MANIFEST = "manifest.json"
FILES = ["tokenizer.json", "labels.txt", "thresholds.json", "preprocess.json", "recipe.json", "golden.json"]
SLOW_S = 20  # a mutant that takes longer counts as hung; the whole ones take 0.1 s
MEMORY_BYTES = 8 << 30  # of address space: a greedy graph fails and does not take the machine along
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**400,
    1e-320,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x00",
    "\x1b[31m",
]
ODD += ["../../etc/passwd", "[/red]", "\ud800", "a" * 5000, [], {}, [[]], [None], {"": {}}]


def forge(bundle: Path, name: str, content: bytes) -> None:
    """Give a file new content and the manifest its checksum."""
    (bundle / name).unlink(missing_ok=True)  # a hard link to the original, perhaps
    (bundle / name).write_bytes(content)
    if name != MANIFEST:
        manifest = json.loads((bundle / MANIFEST).read_bytes())
        manifest["files"][name] = hashlib.sha256(content).hexdigest()
        forge(bundle, MANIFEST, json.dumps(manifest).encode())


def forge_model(bundle: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change the graph, or whatever else its file says, by a function."""
    model = onnx.load(str(bundle / "model.onnx"))
    change(model)
    forge(bundle, "model.onnx", model.SerializeToString())


def seal(model: onnx.ModelProto) -> bytes:
    """A single-file Bundle's bytes, with the checksum of its graph put right."""
    digest = hashlib.sha256(model.graph.SerializeToString()).hexdigest()
    for entry in model.metadata_props:
        if entry.key == "distill.graph_sha256":
            entry.value = json.dumps(digest)
    return bytes(model.SerializeToString())


def mutate(bundle: Path, rng: random.Random) -> str:
    """Change one file of a copy in one to three places; what was done."""
    kind = rng.choice(["graph", "graph", "graph", "model bytes", "json", "json", "bytes", "manifest"])
    if kind == "graph":
        said: list[str] = []
        forge_model(bundle, lambda model: said.extend(_graph(model, rng) for _ in range(rng.randint(1, 3))))
        return f"graph: {', '.join(said)}"
    if kind == "manifest":
        tree = json.loads((bundle / MANIFEST).read_bytes())
        where = _json(tree, rng)
        forge(bundle, MANIFEST, json.dumps(tree).encode("utf-8", "replace"))
        return f"{MANIFEST}: {where}"
    name = "model.onnx" if kind == "model bytes" else rng.choice(FILES)
    content = (bundle / name).read_bytes()
    if kind == "json" and name.endswith(".json"):
        tree = json.loads(content)
        where = _json(tree, rng)
        forge(bundle, name, json.dumps(tree).encode("utf-8", "replace"))
        return f"{name}: {where}"
    forge(bundle, name, _bytes(content, rng))
    return f"{name}: bytes"


def _bytes(content: bytes, rng: random.Random) -> bytes:
    result = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(result) or 1)
        do = rng.randrange(4)
        if do == 0 and result:
            result[place] ^= 1 << rng.randrange(8)
        elif do == 1:
            del result[place : place + rng.choice([1, 2, 8, 1000])]
        elif do == 2:
            result[place:place] = rng.randbytes(rng.randint(1, 8))
        else:
            result[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
    return bytes(result)


def _json(tree: Any, rng: random.Random) -> str:
    """Put something odd somewhere, or take something away, in place."""
    where = ""
    while True:
        key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
        where += f".{key}"
        inner = tree[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            tree = inner
            continue
        if rng.random() < 0.15:
            del tree[key]
            return f"{where} is gone"
        odd = rng.choice(ODD)
        tree[key] = odd
        return f"{where} is {odd!r:.30}"


def _graph(model: onnx.ModelProto, rng: random.Random) -> str:
    graph = model.graph
    node, weight = rng.choice(graph.node), rng.choice(graph.initializer)
    do = rng.randrange(12)
    if do == 0:
        node.op_type = rng.choice([other.op_type for other in graph.node])
        return f"{node.name} is a {node.op_type}"
    if do == 1 and node.input:
        names = [name for other in graph.node for name in other.output] + [item.name for item in graph.initializer]
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, "", "nothing"])
        return f"{node.name} takes {list(node.input)}"
    if do == 2:
        del weight.dims[:]
        weight.dims.extend(rng.choice([[], [0], [-1], [2**62], [2**31, 2**31], [1, 1], [65536, 65536]]))
        return f"{weight.name} is {list(weight.dims)}"
    if do == 3:
        weight.data_type = rng.choice([0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 16, 17, 21, 22, 23, 99])
        return f"{weight.name} is of type {weight.data_type}"
    if do == 4:
        weight.raw_data = weight.raw_data[: rng.randrange(len(weight.raw_data) or 1)]
        return f"{weight.name} is cut"
    if do == 5 and node.attribute:
        return _attribute(rng.choice(node.attribute), rng)
    if do == 6:
        graph.node.remove(node)
        return f"{node.name} is gone"
    if do == 7:
        value = numpy_helper.to_array(weight).copy()
        if value.size:
            value.flat[rng.randrange(value.size)] = rng.choice([0, 1, 127])
            weight.CopyFrom(numpy_helper.from_array(value, weight.name))
        return f"{weight.name} has another value"
    if do == 8 and weight.data_type == 7:
        value = numpy_helper.to_array(weight).copy()
        value[...] = rng.choice([-(2**63), -2, -1, 0, 2**31, 2**40, 2**62])
        weight.CopyFrom(numpy_helper.from_array(value, weight.name))
        return f"{weight.name} is {value.flat[:2].tolist()}"
    if do == 9:
        put = rng.choice([*graph.input, *graph.output]).type.tensor_type
        put.elem_type = rng.choice([0, 1, 2, 7, 8, 10, 99])
        return "an input or output has another type"
    if do == 10:
        dims = rng.choice([*graph.input, *graph.output]).type.tensor_type.shape.dim
        if dims:
            rng.choice(dims).dim_value = rng.choice([-1, 0, 1, 7, 2**40])
        return "an input or output has another shape"
    rng.choice(model.opset_import).version = rng.choice([-1, 0, 1, 9, 18, 25, 2**40])
    return "another opset"


def _attribute(attribute: onnx.AttributeProto, rng: random.Random) -> str:
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice([-(2**63), -1, 0, 1, 7, 2**31, 2**40])
    attribute.i = rng.choice([-(2**63), -1, 0, 1, 2, 3, 1000, 2**31, 2**62])
    attribute.f = rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e38])
    if rng.random() < 0.2:
        attribute.type = rng.randrange(12)
    return f"{attribute.name} is odd"


def mutant(bundle: Path, seed: int, folder: Path) -> tuple[Path, str]:
    """A copy, by hard links where nothing changes, of which one file was changed."""
    copy = folder / str(seed)
    copy.mkdir(parents=True)
    for path in bundle.iterdir():
        os.link(path, copy / path.name)
    return copy, mutate(copy, random.Random(seed))


def ask(bundle: Path) -> str:
    """What opening it, a question and `verify` come to: "answer", "refused", or an exception nobody should see."""
    from distill.core.errors import BundleError
    from distill.runtime.golden import print_report, replay_golden
    from distill.runtime.predictor import Predictor

    try:
        predictor = Predictor.load(bundle, threads=1)
        predictor.predict("WHO DID THIS", None)
        print_report(replay_golden(predictor), "mutant")
    except BundleError as error:
        return "refused" if "\n" not in str(error) else f"{error!r} has more than one line"
    except BaseException as error:  # noqa: BLE001 - the finding itself, a panic of Rust among them
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return "answer"


def ask_many(bundle: Path, first: int, seconds: float, count: int = 1 << 30) -> None:
    """Print one line a mutant; the line's beginning before it is opened, in case that ends the process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    end = time.monotonic() + seconds
    out, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115, PTH123 - until the process ends
    folder = Path(tempfile.mkdtemp(dir=bundle.parent))
    for seed in range(first, first + count):
        if time.monotonic() > end:
            break
        copy, done = mutant(bundle, seed, folder)
        print(json.dumps([seed, done]), end="\t", file=out, flush=True)
        print(ask(copy), file=out, flush=True)
        shutil.rmtree(copy)
    shutil.rmtree(folder)


def outcomes(bundle: Path, first: int, seconds: float, count: int = 1 << 30) -> dict[str, list[str]]:
    """Mutants by outcome, opened in processes of their own; "died" and "hung" are those that took one along."""
    found = collections.defaultdict(list)
    end, last = time.monotonic() + seconds, first + count
    while first < last and (left := end - time.monotonic()) > 0:
        words = [sys.executable, "-W", "ignore", __file__, str(bundle), str(first), str(left), str(last - first)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent), "RUST_BACKTRACE": "0"}
        child = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        try:
            printed, _ = child.communicate(timeout=left + SLOW_S)
            fate = "died" if child.returncode else ""
        except subprocess.TimeoutExpired:
            child.kill()
            printed, fate = child.communicate()[0], "hung"
        for line in printed.splitlines():
            said, _, outcome = line.partition("\t")
            first = json.loads(said)[0] + 1
            found[outcome or f"{fate} ({child.returncode})"].append(said)
        if not fate:
            break
    return dict(found)


if __name__ == "__main__":
    place, seed, seconds, *count = sys.argv[1:]
    ask_many(Path(place), int(seed), float(seconds), *map(int, count))
