"""The tables of an inspection's page."""

from __future__ import annotations

from bench.inspect.findings import Findings
from bench.report.kit.grid import Emphasis, Grid
from bench.report.kit.text import NONE
from distill.model.training_log import TrainLog
from distill.scoring.selective import PRECISIONS
from distill.scoring.tables import threshold_cell


def quality(findings: Findings) -> Grid:
    """The model, the baseline if there is one, and the constant predictor."""
    split, constant, baseline = findings.split, findings.constant, findings.baseline
    measured = [("this model", findings.quality)]
    measured += [] if baseline is None else [(baseline.name, baseline.quality)]
    rows = [(name, f"{q.micro_f1:.3f}", f"{q.macro_f1:.3f}", f"{q.micro_ap:.3f}") for name, q in measured]
    always = f"always {', '.join(constant.names)}"
    rows.append((always, f"{constant.micro_f1:.3f}", f"{constant.macro_f1:.3f}", NONE))
    headings = ("", "micro-F1 [95 %]", "macro-F1 [95 %]", "micro-AP")
    return Grid(f"Quality on {findings.quality.examples} examples of {split}", headings, tuple(rows))


def decisions(findings: Findings) -> Grid:
    """What was decided for each label, and the shares that come of it."""
    rows = []
    for c, q in zip(findings.confusion, findings.quality.labels, strict=True):
        shares = (f"{share:.3f}" for share in (q.precision, q.recall, q.f1))
        rows.append((c.name, *map(str, (c.tp, c.fp, c.fn, c.tn)), *shares))
    title = f"Decisions on {findings.quality.examples} examples of {findings.split}"
    return Grid(title, ("label", "TP", "FP", "FN", "TN", "precision", "recall", "F1"), tuple(rows))


def points(findings: Findings) -> Grid:
    """The thresholds' points on the curves, and of cross-fitted decisions theirs too."""
    headings = ["label", "examples", "AP", "threshold", "precision there", "recall there"]
    headings += ["cross-fitted precision", "recall"] if findings.cross_fitted else []
    rows = []
    for c in findings.curves:
        ap = NONE if c.average_precision is None else f"{c.average_precision:.3f}"
        cells = [c.name, str(c.support), ap, threshold_cell(c.threshold)]
        for point in (c.at, c.honest) if findings.cross_fitted else (c.at,):
            cells += [NONE, NONE] if point is None else [f"{point.precision:.3f}", f"{point.recall:.3f}"]
        rows.append(tuple(cells))
    return Grid("Thresholds on their curves", tuple(headings), tuple(rows))


def trade_off(findings: Findings) -> Grid:
    """Both F1 for each objective."""
    rows = tuple((f"{p.micro_share:.1f}", f"{p.micro_f1:.3f}", f"{p.macro_f1:.3f}") for p in findings.trade_off)
    return Grid("Both F1 by objective", ("share of micro-F1", "micro-F1", "macro-F1"), rows)


def together(findings: Findings) -> Grid:
    """How many examples have two labels, in truth and as decided."""
    both, names = findings.co_occurrence, [label.name for label in findings.quality.labels]
    rows = tuple(
        (f"{i} {name}", *(f"{g} / {d}" for g, d in zip(gold, decided, strict=True)))
        for i, (name, gold, decided) in enumerate(zip(names, both.gold, both.predicted, strict=True), 1)
    )
    headings = ("label", *(str(i) for i in range(1, len(names) + 1)))
    return Grid("Examples with both labels: gold / decided", headings, rows)


def sure(findings: Findings) -> Grid:
    """What the model is worth on the surest posts."""
    rows = tuple(
        (f"{s.coverage:.0%}", f"{s.confidence:.3f}", f"{s.micro_f1:.3f}", _share(s.precision))
        for s in findings.selective.steps
    )
    return Grid("The surest posts", ("posts", "confidence from", "micro-F1", "precision"), rows)


def held(findings: Findings) -> Grid:
    """The model's own cuts, and what they come to here."""
    rows = tuple(
        (f"{h.stated:g}", _share(h.confidence), f"{h.coverage:.0%}", _share(h.precision))
        for h in findings.selective.held
    )
    return Grid("--abstain", ("precision to hold", "confidence from", "posts answered", "precision here"), rows)


def certain(findings: Findings) -> Grid:
    """From which probability on each label is certain."""
    rows = [("label", "examples", *(f"precision {stated:g}" for stated in PRECISIONS))]
    for label in findings.selective.labels:
        cells = (f"{_share(c.probability)} ({c.examples})" if c.examples else NONE for c in label.certain)
        rows.append((label.name, str(label.support), *cells))
    return Grid("Certain from a probability of (examples that are)", rows[0], tuple(rows[1:]))


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def epochs(log: TrainLog) -> Grid:
    """The log of a training."""
    rows = tuple(
        (str(e.epoch), f"{e.loss:.4g}", f"{e.dev_loss:.4g}", f"{e.dev_micro_ap:.3f}", f"{e.dev_macro_ap:.3f}")
        for e in log.epochs
    )
    headings = ("epoch", "training loss", "dev loss", "dev micro-AP", "dev macro-AP")
    kept: tuple[Emphasis, ...] = tuple("strong" if e.epoch == log.best_epoch else "" for e in log.epochs)
    return Grid("By epoch; the kept one is emphasised", headings, rows, kept)
