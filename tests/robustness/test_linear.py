"""Every guard takes a time linear in its input: four times the input takes about four times as long."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from bench_reports import report
from hostile_tokenizers import charsmap
from onnx import helper

from bench.report import types
from distill.core.errors import DistillError
from distill.core.output.printable import escape_markdown
from distill.core.settings.schema import read_toml
from distill.core.storage.files import read_json
from distill.core.untrusted import parse_json, parse_strict_json
from distill.data.checks import refuse_unknown_labels
from distill.data.dataset import Example, read_examples
from distill.data.labels import LabelSet
from distill.preprocess.tokenizer_guard import check_tokenizer
from distill.runtime.onnx.graph import read_graph
from distill.runtime.onnx.guard import check_onnx_file
from distill.runtime.onnx.metadata import read_metadata
from distill.runtime.rows import to_items

TIMES, MOST = 4, 9  # quadratic would be 16


@dataclass(frozen=True)
class Guard:
    """`prepare` makes an input of a size in a folder, `run` puts it through a guard; `size` takes some 10 ms."""

    name: str
    size: int
    prepare: Callable[[int, Path], Any]
    run: Callable[[Any], object]


def doubled_at_the_end(n: int) -> str:
    return "{" + "".join(f'"k{i}": 0, ' for i in range(n)) + f'"k{n - 1}": 1}}'


def file_of(suffix: str, content: Callable[[int], str]) -> Callable[[int, Path], Path]:
    def prepare(n: int, folder: Path) -> Path:
        path = folder / f"{n}{suffix}"
        path.write_text(content(n), encoding="utf-8")
        return path

    return prepare


def rows(n: int) -> list[dict[str, Any]]:
    """Whose last repeats the id of the one before."""
    return [{"id": str(min(i, n - 2)), "text": "a", "labels": [f"l{i}"]} for i in range(n)]


def tokenizer(n: int, _: Path) -> str:
    added = [{"id": i, "content": f"t{i}"} for i in range(min(n, 20_000))]
    pieces = {f"p{i}": i for i in range(n)}
    normalizer = {"type": "Precompiled", "precompiled_charsmap": charsmap("b\0" * n)}
    return json.dumps({"added_tokens": added, "normalizer": normalizer, "model": {"vocab": pieces, "x": 1}})


def model(n: int, folder: Path) -> Path:
    nodes = [helper.make_node("Relu", [f"x{i}"], [f"x{i + 1}"]) for i in range(n)]
    made = helper.make_model(helper.make_graph(nodes, "g", [], []))
    for i in range(n):
        made.metadata_props.add(key=str(min(i, n - 2)), value="x")
    onnx.save(made, str(folder / f"{n}.onnx"))
    return folder / f"{n}.onnx"


def bench_report(n: int, folder: Path) -> Path:
    tree = json.loads(json.dumps(report().to_json()))
    tree["gold"] = [[0]] * n
    for row in tree["rows"]:
        row["decided"] = [[0]] * n
    (folder / f"{n}.json").write_text(json.dumps(tree))
    return folder / f"{n}.json"


def unknown(n: int, _: Path) -> list[tuple[str, Example]]:
    return [("train", Example(str(i), "a", None, (f"l{i}",))) for i in range(n)]


GUARDS = (
    Guard("JSON", 20_000, lambda n, _: doubled_at_the_end(n), lambda text: parse_json(text, "x", DistillError)),
    Guard(
        "strict",
        20_000,
        lambda n, _: doubled_at_the_end(n),
        lambda text: parse_strict_json(text, "x", DistillError),
    ),
    Guard("a JSON file", 20_000, file_of(".json", doubled_at_the_end), lambda path: read_json(path, DistillError)),
    Guard("rows in JSON", 2000, file_of(".json", lambda n: json.dumps(rows(n))), read_examples),
    Guard("rows in lines", 2000, file_of(".jsonl", lambda n: "\n".join(map(json.dumps, rows(n)))), read_examples),
    Guard(
        "rows in CSV",
        2000,
        file_of(".csv", lambda n: "id,text,image,labels\n" + "".join(f"{i},a,,l\n" for i in [*range(n), 0])),
        read_examples,
    ),
    Guard("a CSV header", 20_000, file_of(".csv", lambda n: "id,text,image," + "id," * n + "\n"), read_examples),
    Guard("rows in memory", 2000, lambda n, _: rows(n), lambda tree: list(to_items(tree))),
    Guard("labels", 10_000, lambda n, _: "\n".join(map(str, [*range(n), n - 1])), LabelSet.parse),
    Guard("unknown labels", 10_000, unknown, lambda e: refuse_unknown_labels(e, LabelSet(("a",)), None)),
    Guard("a recipe", 1000, file_of(".toml", lambda n: "".join(f"[a.b{i}]\nc = 1\n" for i in range(n))), read_toml),
    Guard("a tokenizer", 5000, tokenizer, check_tokenizer),
    Guard("a graph", 1000, model, check_onnx_file),
    Guard("a graph's nodes", 1000, model, read_graph),
    Guard("a graph's metadata", 1000, model, read_metadata),
    Guard("a bench report", 300, bench_report, types.read),
    Guard("Markdown", 5_000, lambda n, _: "[a](\u202e" * n, escape_markdown),
)


def seconds(guard: Guard, size: int, folder: Path) -> float:
    """The least processor time of three."""
    prepared, times = guard.prepare(size, folder), []
    for _ in range(3):
        start = time.process_time()
        with suppress(DistillError):
            guard.run(prepared)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_takes_a_time_linear_in_its_input(guard: Guard, tmp_path: Path) -> None:
    seconds(guard, 10, tmp_path)  # imports
    ratios = []
    for _ in range(3):  # a machine's mood may double one of them
        ratios.append(seconds(guard, TIMES * guard.size, tmp_path) / seconds(guard, guard.size, tmp_path))
        if ratios[-1] < MOST:
            return
    assert min(ratios) < MOST, f"{guard.name}: {TIMES} times the input takes {ratios} times as long"
