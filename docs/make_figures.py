"""Write the figures of README.md and the pages of docs from docs/results/*.json, between their markers.

Measures nothing. The tables of each page stand in a figures_*.py beside this file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import figures_bench
import figures_cluster
import figures_export
import figures_ocr
import figures_reliability
import figures_serve
import figures_student
import figures_teacher
import figures_web

from bench.report import tables as report
from bench.report.types import BenchReport, read

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


@cache
def load(name: str) -> Any:
    """One committed JSON file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@cache
def bench() -> BenchReport:
    """The one benchmark."""
    return read(RESULTS / "bench.json")


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "bench": lambda: figures_bench.bench_table(bench()),
        "teacher": lambda: figures_student.teacher_table(load("teacher")),
    },
    "docs/results-student.md": {
        "verdict": lambda: figures_student.verdict_table(load("student")),
        "halves": lambda: figures_student.halves_table(load("student")),
        "sizes": lambda: figures_student.sizes_table(load("student")),
        "int8": lambda: figures_student.int8_table(load("student")),
    },
    "docs/results-teacher.md": {
        "teachers": lambda: figures_teacher.teachers_table(load("teachers"), "fusion"),
        "gains": lambda: figures_teacher.gains_table(load("teachers"), "fusion"),
        "choices": lambda: figures_teacher.teachers_table(load("teachers"), "choices"),
        "choices gains": lambda: figures_teacher.gains_table(load("teachers"), "choices"),
        "epochs": lambda: figures_teacher.epochs_table(load("teachers")["epochs"]),
        "thresholds": lambda: figures_teacher.thresholds_table(load("thresholds")),
    },
    "docs/results-export.md": {
        "times": lambda: figures_bench.times_table(bench()),
        "stages": lambda: figures_bench.grid_table(report.stages(bench())),
        "memory": lambda: figures_bench.grid_table(report.memory(bench())),
        "scaling": lambda: figures_bench.grid_table(report.scaling(bench())),
        "limit": lambda: figures_bench.grid_table(report.limit(bench())),
        "precisions": lambda: figures_export.precisions_table(load("export")),
        "tried": lambda: figures_export.tried_table(load("export")),
        "coverage": lambda: figures_export.coverage_table(load("export")),
        "devices": lambda: figures_export.devices_table(load("export")),
    },
    "docs/reliability.md": {
        "faults": lambda: figures_reliability.faults_table(load("reliability")),
        "inputs": lambda: figures_reliability.inputs_table(load("reliability")),
        "long": lambda: figures_reliability.long_table(load("reliability")),
        "found": lambda: figures_reliability.found_table(load("reliability")),
        "open": lambda: figures_reliability.open_list(load("reliability")),
    },
    "docs/ocr.md": {
        "ocr": lambda: figures_ocr.rates(load("ocr")),
        "ocr-f1": lambda: figures_ocr.f1(load("ocr")),
    },
    "docs/cluster.md": {
        "cluster": lambda: figures_cluster.cluster_table(load("ray")),
        "cost": lambda: figures_cluster.cost_table(load("ray")),
    },
    "docs/web.md": {"web": lambda: figures_web.web_table(load("web"))},
    "docs/serve.md": {
        "serving": lambda: figures_serve.load_table(load("serve")),
        "serving memory": lambda: figures_serve.memory_sentence(load("serve")),
    },
}


def render(page: str, text: str) -> str:
    """The page with its marked parts made again."""
    for name, table in PAGES[page].items():
        start, end = f"<!-- {name}: made by make figures -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            sys.exit(f"{page}: no markers for {name}; put {start.strip()} and {end} around its place")
        text = before + start + table() + end + after
    return text


if __name__ == "__main__":
    plot = figures_bench.front_plot(bench())
    (ROOT / "docs" / "front.svg").write_text(plot, encoding="utf-8")
    for page in PAGES:
        path = ROOT / page
        path.write_text(render(page, path.read_text(encoding="utf-8")), encoding="utf-8")
