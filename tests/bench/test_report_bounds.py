"""A report may come from anybody: figures that none can have are refused where the file is read, in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench_reports import report

from bench.compare import compare, show
from bench.report import types
from bench.report.tables import to_whole_markdown
from distill.core.errors import BenchError

Change = Callable[[Any], object]


@pytest.fixture
def tree() -> Any:
    return json.loads(json.dumps(report().to_json()))


def put(*path: str | int, value: Any) -> Change:
    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    return change


CHANGES: dict[str, Change] = {
    "rows.timings.p50.value": put("rows", 0, "timings", 0, "p50", "value", value=0),
    "rows.timings.p50.low": put("rows", 0, "timings", 0, "p50", "low", value=-1.0),
    "rows.timings.raw_ms": put("rows", 0, "timings", 0, "raw_ms", 0, 0, value=-1.0),
    "rows.timings.batch": put("rows", 0, "timings", 0, "batch", value=0),
    "rows.size_bytes": put("rows", 0, "size_bytes", value=-1),
    "rows.memory.peak_bytes": put("rows", 0, "memory", "peak_bytes", value=10**30),
    "rows.stages.ms": put("rows", 0, "stages", 0, "ms", value=1e300),
    "rows.quality.micro_f1.value": put("rows", 0, "quality", "micro_f1", "value", value=3.0),
    "rows.quality.labels.threshold": put("rows", 0, "quality", "labels", 0, "threshold", value=1.5),
    "rows.reliability.low": put("rows", 0, "reliability", 0, "low", value=-0.1),
    "rows.joules": put("rows", 0, "joules", value=-2.0),
    "noise.ratio.value": put("noise", "ratio", "value", value=0.0),
    "machine.cores": put("machine", "cores", value=-4),
    "conditions.examples": put("conditions", "examples", value=-1),
    "other timings": put("rows", 0, "timings", value=[]),
    "has no times": put("rows", 0, "cold", "starts_ms", value=[]),
    "has no times of": put("rows", 0, "timings", 0, "raw_ms", value=[[]]),
    "another number of rounds or calls than the first row": put("rows", 1, "timings", 0, "raw_ms", value=[[1.0]]),
    "other streams than the first row": put("rows", 1, "streams", value=[]),
    "or no times of them": put("rows", 0, "streams", 0, "seconds", value=[]),
    "rows.streams.seconds": put("rows", 0, "streams", 0, "seconds", 0, value=0.0),
    "rows.streams.posts": put("rows", 0, "streams", 0, "posts", value=0),
    "rows.timings.model_raw_ms": put("rows", 0, "timings", 0, "model_raw_ms", 0, 0, value=-1.0),
    "peaks.read_gb_s": put("peaks", 0, "read_gb_s", value=-1.0),
    "peaks.int8_gops": put("peaks", 0, "int8_gops", value=0.0),
    "rows.work.weight_bytes": put("rows", 0, "work", "weight_bytes", value=-1),
    "the labels of a row": put("rows", 0, "quality", "labels", value=[]),
    "it needs one own row": put("rows", value=[]),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_a_figure_that_no_report_has_is_refused(tree: Any, reason: str, tmp_path: Path) -> None:
    CHANGES[reason](tree)
    (tmp_path / "bench.json").write_text(json.dumps(tree))
    with pytest.raises(BenchError, match=re.escape(reason)) as caught:
        types.read(tmp_path / "bench.json")
    assert str(caught.value).startswith(f"{tmp_path / 'bench.json'}: ")


@pytest.mark.parametrize("absurd", ["1e999", "-1e999", "NaN", "-Infinity", "1" + "0" * 400, "1" * 5000])
def test_what_is_no_finite_number_is_refused(tree: Any, absurd: str, tmp_path: Path) -> None:
    tree["rows"][0]["timings"][0]["p50"]["value"] = 12345.5
    (tmp_path / "bench.json").write_text(json.dumps(tree).replace("12345.5", absurd))
    with pytest.raises(BenchError) as caught:
        types.read(tmp_path / "bench.json")
    assert len(str(caught.value)) < len(str(tmp_path)) + 200


def test_every_number_of_a_report_has_bounds_that_keep_its_tables_whole(tree: Any, tmp_path: Path) -> None:
    """Numbers in turn are made -7, 0 and 1e12: of what is read all tables can be made, the rest is one line."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in list(items)[:3] if isinstance(node, list) else items:
            walk(value)
            if isinstance(value, int | float) and not isinstance(value, bool):
                places.append((node, key))

    walk(tree)
    path = tmp_path / "bench.json"
    for node, key in places[:: max(1, len(places) // 10)]:
        before = node[key]
        for value in (-7, 0, 10**12):
            node[key] = value
            path.write_text(json.dumps(tree))
            try:
                assert to_whole_markdown(types.read(path))
            except BenchError as error:
                assert "\n" not in str(error)  # noqa: PT017 - most are refused, and some are possible
        node[key] = before


def test_names_of_a_foreign_report_command_no_terminal(
    tree: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree["machine"]["cpu"] = tree["rows"][0]["name"] = "\x1b[2J\u202e[/red]"
    (tmp_path / "bench.json").write_text(json.dumps(tree))
    show(compare(types.read(tmp_path / "bench.json"), report(), ()))
    printed = capsys.readouterr().out
    assert "[/red]" in printed
    assert not {"\x1b", "\u202e"} & set(printed)
