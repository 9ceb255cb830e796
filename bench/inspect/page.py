"""What an inspection's page is made of; page.html.jinja says where its tables, plots and sentences go.

No script, no font and no image comes from elsewhere, and none could: the page forbids it itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.inspect import curves, examples, plots, sentences, tables
from bench.inspect.colours import GOLD, KINDS, PREDICTED
from bench.inspect.findings import Findings
from bench.inspect.temperature import Calibrated
from bench.report.kit.html import render
from bench.report.kit.plot import Plot
from bench.report.kit.reliability import Series, reliability
from bench.report.kit.thumbnail import Thumbnail
from bench.report.tables import reliability as reliability_table


def to_html(findings: Findings, thumbnails: Mapping[int, Thumbnail]) -> str:
    """The page; `thumbnails` are of the most wrong examples, by their row."""
    findings = findings.most_frequent_first()
    return render(
        "inspect/page.html.jinja",
        title=f"{findings.name} on {findings.split}",
        findings=findings,
        thumbnails=thumbnails,
        kinds=KINDS,
        sentences=sentences,
        tables=tables,
        curves=curves,
        plots=_plots(findings),
        bins=reliability_table([(name, part) for name, side in _sides(findings) for part in side.bins]),
    )


def plots_of(findings: Findings, thumbnails: Mapping[int, Thumbnail]) -> dict[str, Plot]:
    """All plots, drawn anew, by the names of their files."""
    findings = findings.most_frequent_first()
    return _plots(findings) | {
        "precision-recall": curves.together(findings.curves),
        "most-wrong": examples.sheet(findings.wrong, thumbnails),
    }


def _plots(findings: Findings) -> dict[str, Plot]:
    """Those that page and files share."""
    names, together = [c.name for c in findings.confusion], findings.co_occurrence
    series = [
        Series(f"{name}: ECE {side.ece:.3f}, log loss {side.log_loss:.3f}", colour, side.bins)
        for (name, side), colour in zip(_sides(findings), (PREDICTED, GOLD), strict=True)
    ]
    drawn = {
        "confusion": plots.confusion(findings.confusion),
        "together-gold": plots.heat("Gold", together.gold, names, GOLD),
        "together-decided": plots.heat("Decided", together.predicted, names, PREDICTED),
        "calibration": reliability(series),
        "trade-off": plots.trade_off(
            findings.trade_off,
            (findings.quality.micro_f1.value, findings.quality.macro_f1.value),
            findings.constant.micro_f1,
        ),
        "coverage": plots.coverage(findings.selective.steps),
    }
    if findings.training is not None:
        drawn["learning"] = plots.learning(findings.training, sentences.training(findings))
    return drawn


def _sides(findings: Findings) -> tuple[tuple[str, Calibrated], ...]:
    return ("before", findings.scaling.before), ("after", findings.scaling.after)
