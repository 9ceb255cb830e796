"""The report of a retraining: retrain.json, retrain.md with a plot, and tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from distill import __version__
from distill.core.extras import can_plot, install_command
from distill.core.output.printable import escape_markdown
from distill.core.output.terminal import note, output, warn
from distill.core.storage.files import write_json, write_text
from distill.scoring.bootstrap import ArmMetrics
from distill.scoring.drift import ALPHA, DistributionShift, RateChange
from teacher.retrain.drift import NewExamplesReport
from teacher.retrain.promotion import Promotion

FIGURES, PAGE, PLOT = "retrain.json", "retrain.md", "retrain.png"
UNCHANGED = 8  # rates without drift that the terminal shows

TableRows = list[tuple[str, ...]]
F1_HEAD = ("", "micro-F1 [95 %]", "macro-F1 [95 %]", "their mean", "micro-AP [95 %]")
RATE_HEAD = ("share of examples with", "reference", "new", "change [interval]", "")
SHIFT_HEAD = ("distribution of", "measure", "value", "by chance below", "p", "mean, reference", "mean, new", "")


@dataclass(frozen=True)
class RetrainReport:
    """The earlier run's folder, the SHA-256 of both runs' weights, the decision, and the drift of new examples."""

    run: Path
    old_sha256: str
    new_sha256: str
    promotion: Promotion
    new_examples: NewExamplesReport | None


def write_report(folder: Path, report: RetrainReport) -> None:
    """Write retrain.json, retrain.md and, if matplotlib is installed, a plot. Raises OutputError."""
    tree = {
        "distill": __version__,
        "from": {"run": report.run.name, "sha256": report.old_sha256},
        "new": {"run": folder.name, "sha256": report.new_sha256},
        "promotion": report.promotion.to_json(),
        "new_examples": report.new_examples and report.new_examples.to_json(),
    }
    write_json(folder / FIGURES, tree)
    has_plot = _write_plot(folder, report)
    write_text(folder / PAGE, report_markdown(report, folder.name, has_plot))


def _write_plot(folder: Path, report: RetrainReport) -> bool:
    """Whether there is a plot."""
    if not can_plot():
        warn(f"no plot without matplotlib; {install_command('plots')}, then resume with --resume")
        return False
    from teacher.retrain.plots import write_retrain_plot

    write_retrain_plot(report.promotion, report.new_examples, folder / PLOT)
    return True


def summary(report: RetrainReport) -> str:
    """The paragraph on top: what was decided, why, and whether the new examples are like the earlier ones."""
    sentences = [report.promotion.sentence(), drift_sentence(report.new_examples)]
    if report.new_examples is not None:
        sentences.append(old_run_sentence(report.new_examples))
    return " ".join(sentences)


def drift_sentence(new_examples: NewExamplesReport | None) -> str:
    """Whether the new examples differ, and in what."""
    if new_examples is None:
        return (
            "No example is new: every row of the new data is in the reference data too, so drift was not measured."
        )
    sizes = f"the {new_examples.fresh} new examples and the {new_examples.reference} of the reference"
    changed = new_examples.drift.drifted
    if not changed:
        return f"No drift of texts, images or rates was found between {sizes}."
    drift = new_examples.drift
    measures = f"{len(changed)} of {len(drift.rates) + len(drift.shifts)} measures"
    return f"DRIFT of texts, images or rates between {sizes}, in {measures}: {', '.join(changed)}."


def old_run_sentence(new_examples: NewExamplesReport) -> str:
    """How well the earlier run does on the new examples."""
    if new_examples.micro_f1 is None or new_examples.f1_change is None:
        return "The earlier run was trained on all of the new examples, so its F1 on them says nothing."
    score = (
        f"The earlier run on {new_examples.unseen} new examples that it was not trained on: micro-F1 "
        f"{new_examples.micro_f1:.3f}, {new_examples.f1_change:+.3f} from the reference"
    )
    if new_examples.harder:
        return f"{score}: DRIFT, the new examples are labelled in another way, or are harder."
    return f"{score}: no worse beyond chance."


def show_drift(new_examples: NewExamplesReport | None) -> None:
    """Print the drift's tables and sentence."""
    if new_examples is not None:
        shown = sorted(new_examples.drift.rates, key=lambda rate: (not rate.drifted, -abs(rate.change)))
        kept = [rate for i, rate in enumerate(shown) if rate.drifted or i < UNCHANGED]
        title = f"Rates that changed most, of {len(shown)}"
        output.print(_table(title, RATE_HEAD, rate_rows(kept)))
        output.print(_table("Distributions", SHIFT_HEAD, shift_rows(new_examples.drift.shifts)))
        (warn if new_examples.harder else note)(old_run_sentence(new_examples))
    (warn if new_examples is not None and new_examples.drift.drifted else note)(drift_sentence(new_examples))


def f1_table(promotion: Promotion) -> Table:
    """Both runs and their difference, for the terminal."""
    return _table(f"On the fixed test set, {promotion.examples} examples", f1_head(promotion), f1_rows(promotion))


def f1_rows(promotion: Promotion) -> TableRows:
    """The scores of both runs and their difference."""
    gain, keys = promotion.gain, ("micro", "macro", "balanced", "micro_ap", *promotion.new.accuracies)
    rows: TableRows = [(name, *_arm(arm)) for name, arm in (("old", promotion.old), ("new", promotion.new))]
    return [*rows, ("new - old", *(f"{gain[key]:+.3f}" for key in keys))]


def f1_head(promotion: Promotion) -> tuple[str, ...]:
    """The columns of `f1_rows`."""
    return (*F1_HEAD, *(f"{name} [95 %]" for name in promotion.new.accuracies))


def _arm(arm: ArmMetrics) -> list[str]:
    mean = f"{(arm.micro_f1.value + arm.macro_f1.value) / 2:.3f}"
    accuracies = (f"{accuracy:.3f}" for accuracy in arm.accuracies.values())
    return [f"{arm.micro_f1:.3f}", f"{arm.macro_f1:.3f}", mean, f"{arm.micro_ap:.3f}", *accuracies]


def rate_rows(rates: Sequence[RateChange]) -> TableRows:
    """One row a rate, under RATE_HEAD."""
    return [
        (
            r.name,
            f"{r.before / r.before_of:.1%}",
            f"{r.now / r.now_of:.1%}",
            f"{r.change:+.1%} [{r.low:+.1%}, {r.high:+.1%}]",
            "DRIFT" if r.drifted else "",
        )
        for r in rates
    ]


def shift_rows(shifts: Sequence[DistributionShift]) -> TableRows:
    """One row a distribution, under SHIFT_HEAD."""
    return [
        (
            s.name,
            s.measure,
            f"{s.value:.4f}",
            f"{s.chance:.4f}",
            f"{s.p:.3f}",
            *("" if mean is None else f"{mean:.1f}" for mean in (s.before_mean, s.now_mean)),
            "DRIFT" if s.drifted else "",
        )
        for s in shifts
    ]


def report_markdown(report: RetrainReport, name: str, has_plot: bool) -> str:
    """The whole report on the run `name`; its first paragraph is the summary."""
    promotion, new_examples = report.promotion, report.new_examples
    parts = [f"# {_cell(name)}, retrained from {_cell(report.run.name)}", _cell(summary(report))]
    parts += [f"![Differences in F1, rates and distributions]({PLOT})"] if has_plot else []
    parts += ["## Both runs on the fixed test set", _grid(f1_head(promotion), f1_rows(promotion))]
    parts.append(
        f"{promotion.examples} examples that neither run learned from; each run decides with its own thresholds. "
        "Intervals are paired bootstrap intervals over examples, 95 %."
    )
    if new_examples is not None:
        parts += ["## How the new examples differ", *_drift_parts(new_examples)]
    return "\n\n".join(parts) + "\n"


def _drift_parts(new_examples: NewExamplesReport) -> list[str]:
    parts = [_grid(RATE_HEAD, rate_rows(new_examples.drift.rates))]
    if new_examples.drift.shifts:
        parts.append(_grid(SHIFT_HEAD, shift_rows(new_examples.drift.shifts)))
    if new_examples.drift.skipped:
        parts.append(f"Too few rows to compare: {', '.join(new_examples.drift.skipped)}.")
    parts.append(old_run_sentence(new_examples))
    parts.append(
        f"If nothing had changed, at most {ALPHA:.0%} of reports would say DRIFT anywhere: half of that is divided "
        "among the rates (Newcombe's intervals), half among the distributions (999 permutations). MMD^2 compares "
        "features of the earlier run's encoders for examples that it was not trained on; KS compares numbers of "
        "words. What the encoders do not see, such as capitals where the tokenizer lower-cases, is no drift here. "
        "The earlier run's F1 on new examples adds 2.5% to the reports. The reference is the test set and the data "
        "given with --with."
    )
    return parts


def _table(title: str, head: Sequence[str], rows: TableRows) -> Table:
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left", no_wrap=i > 0)
    for row in rows:
        table.add_row(*row)
    return table


def _grid(head: Sequence[str], rows: TableRows) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """A name, which may hold anything, on one line and escaped."""
    return escape_markdown(" ".join(text.split()))
