"""Write the figures of README.md from docs/results/*.json, between their markers. Measures nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.report import read, to_markdown

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"


def teacher_table() -> str:
    """The teacher's figures, out-of-fold and on dev, beside the constant predictor."""
    metrics = json.loads((RESULTS / "teacher.json").read_text(encoding="utf-8"))
    lines = ["| | examples | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP |", "|---|---:|---:|---:|---:|"]
    for row in metrics["quality"]:
        micro, macro = row["micro_f1_interval"], row["macro_f1_interval"]
        lines.append(
            f"| {row['what']} | {row['examples']} "
            f"| {row['micro_f1']:.3f} [{micro['low']:.2f}, {micro['high']:.2f}] "
            f"| {row['macro_f1']:.3f} [{macro['low']:.2f}, {macro['high']:.2f}] | {row['micro_ap']:.3f} |"
        )
    constant = metrics["constant"]
    lines.append(
        f"| out-of-fold train, always {', '.join(constant['names'])} | {metrics['quality'][0]['examples']} "
        f"| {constant['micro_f1']:.3f} | {constant['macro_f1']:.3f} | |"
    )
    return "\n".join(lines) + "\n"


def render(readme: str) -> str:
    """The README with its marked parts made again."""
    for name, text in (("bench", to_markdown(read(RESULTS / "bench.json"))), ("teacher", teacher_table())):
        start, end = f"<!-- {name}: made by make figures -->\n", f"<!-- end of {name} -->"
        before, _, rest = readme.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            sys.exit(f"README.md: no markers for {name}; put {start.strip()} and {end} around its place")
        readme = before + start + text + end + after
    return readme


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")
