"""What a retraining decided, in JSON, Markdown and tables. Knows figures; computes and draws nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from distill import __version__
from distill.core.extras import can_plot, install_command
from distill.core.files import write_json, write_text
from distill.core.terminal import note, output, warn
from distill.scoring.bootstrap import ArmMetrics
from distill.scoring.drift import ALPHA, DistributionShift, RateChange
from teacher.retrain.drift import Looked
from teacher.retrain.promotion import Promotion

FIGURES, PAGE, PLOT = "retrain.json", "retrain.md", "retrain.png"
UNCHANGED = 8  # rates without a drift that the terminal shows

Rows = list[tuple[str, ...]]
F1_HEAD = ("", "micro-F1 [95 %]", "macro-F1 [95 %]", "their mean", "micro-AP [95 %]")
RATE_HEAD = ("share of examples with", "reference", "new", "change [interval]", "")
SHIFT_HEAD = ("distribution of", "measure", "value", "by chance below", "p", "mean, reference", "mean, new", "")


@dataclass(frozen=True)
class Report:
    """The earlier run's folder, the SHA-256 of both runs' weights, the decision, and how the new examples look."""

    run: Path
    old_sha256: str
    new_sha256: str
    promotion: Promotion
    looked: Looked | None


def write(folder: Path, report: Report) -> None:
    """retrain.json, retrain.md, and a plot where matplotlib is there."""
    tree = {
        "distill": __version__,
        "from": {"run": report.run.name, "sha256": report.old_sha256},
        "new": {"run": folder.name, "sha256": report.new_sha256},
        "promotion": report.promotion.to_json(),
        "new_examples": report.looked and report.looked.to_json(),
    }
    write_json(folder / FIGURES, tree)
    drawn = _draw(folder, report)
    write_text(folder / PAGE, to_markdown(report, folder.name, drawn))


def _draw(folder: Path, report: Report) -> bool:
    """Whether there is a plot."""
    if not can_plot():
        warn(f"no plot without matplotlib; {install_command('plots')}, then resume with --resume")
        return False
    from teacher.retrain import plot as retrain_plot

    retrain_plot.write(report.promotion, report.looked, folder / PLOT)
    return True


def summary(report: Report) -> str:
    """The paragraph on top: what was decided, why, and whether the new examples are like the earlier ones."""
    told = [report.promotion.sentence(), drift_sentence(report.looked)]
    return " ".join([*told, worth_sentence(report.looked)] if report.looked else told)


def drift_sentence(looked: Looked | None) -> str:
    """Whether the new examples differ, and in what."""
    if looked is None:
        return "No example is new: every row of the new data stands in the reference data, so no drift was sought."
    sizes = f"the {looked.fresh} new examples and the {looked.reference} of the reference"
    changed = looked.drift.drifted
    if not changed:
        return f"No drift of texts, images or rates was found between {sizes}."
    measures = f"{len(changed)} of {_count(looked)} measures"
    return f"DRIFT of texts, images or rates between {sizes}, in {measures}: {', '.join(changed)}."


def worth_sentence(looked: Looked) -> str:
    """What the earlier run is worth on the new examples."""
    if looked.micro_f1 is None or looked.loss is None:
        return "The earlier run was trained on all of the new examples, so what it is worth on them says nothing."
    told = (
        f"The earlier run on {looked.unseen} new examples that it was not trained on: micro-F1 "
        f"{looked.micro_f1:.3f}, {looked.loss:+.3f} from the reference"
    )
    if looked.harder:
        return f"{told}: DRIFT, labels are given in another way now, or the examples have become harder."
    return f"{told}: no worse beyond chance."


def _count(looked: Looked) -> int:
    return len(looked.drift.rates) + len(looked.drift.shifts)


def show_drift(looked: Looked | None) -> None:
    """Print the drift's tables and sentence."""
    if looked is not None:
        shown = sorted(looked.drift.rates, key=lambda rate: (not rate.drifted, -abs(rate.change)))
        kept = [rate for i, rate in enumerate(shown) if rate.drifted or i < UNCHANGED]
        title = f"Rates that changed most, of {len(shown)}"
        output.print(_table(title, RATE_HEAD, rate_rows(kept)))
        output.print(_table("Distributions", SHIFT_HEAD, shift_rows(looked.drift.shifts)))
        (warn if looked.harder else note)(worth_sentence(looked))
    (warn if looked is not None and looked.drift.drifted else note)(drift_sentence(looked))


def f1_table(promotion: Promotion) -> Table:
    """Both runs and their difference, for the terminal."""
    return _table(f"On the fixed test set, {promotion.examples} examples", F1_HEAD, f1_rows(promotion))


def f1_rows(promotion: Promotion) -> Rows:
    """Both runs and their difference."""
    gain = promotion.gain
    rows: Rows = [(name, *_arm(arm)) for name, arm in (("old", promotion.old), ("new", promotion.new))]
    return [*rows, ("new - old", *(f"{gain[name]:+.3f}" for name in ("micro", "macro", "balanced", "micro_ap")))]


def _arm(arm: ArmMetrics) -> list[str]:
    mean = f"{(arm.micro_f1.value + arm.macro_f1.value) / 2:.3f}"
    return [f"{arm.micro_f1:.3f}", f"{arm.macro_f1:.3f}", mean, f"{arm.micro_ap:.3f}"]


def rate_rows(rates: Sequence[RateChange]) -> Rows:
    """One row a rate."""
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


def shift_rows(shifts: Sequence[DistributionShift]) -> Rows:
    """One row a distribution."""
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


def to_markdown(report: Report, name: str, drawn: bool) -> str:
    """The whole report; its first paragraph is the summary."""
    promotion, looked = report.promotion, report.looked
    parts = [f"# {_cell(name)}, retrained from {_cell(report.run.name)}", _cell(summary(report))]
    parts += [f"![Differences in F1, rates and distributions]({PLOT})"] if drawn else []
    parts += ["## Both runs on the fixed test set", _grid(F1_HEAD, f1_rows(promotion))]
    parts.append(
        f"{promotion.examples} examples that neither run learned from; each run decides with its own thresholds. "
        "Intervals are paired bootstrap intervals over examples, 95 %."
    )
    if looked is not None:
        parts += ["## How the new examples differ", *_drift_parts(looked)]
    return "\n\n".join(parts) + "\n"


def _drift_parts(looked: Looked) -> list[str]:
    parts = [_grid(RATE_HEAD, rate_rows(looked.drift.rates))]
    if looked.drift.shifts:
        parts.append(_grid(SHIFT_HEAD, shift_rows(looked.drift.shifts)))
    if looked.drift.skipped:
        parts.append(f"Too few rows to compare: {', '.join(looked.drift.skipped)}.")
    parts.append(worth_sentence(looked))
    parts.append(
        f"Had nothing changed, a report would say DRIFT anywhere in {ALPHA:.0%} of cases at the most: half of that "
        "is shared out among the rates (Newcombe's intervals), half among the distributions (999 permutations). "
        "MMD^2 compares features of the earlier run's encoders, of examples that it was not trained on; KS the "
        "numbers of words. What the encoders do not see, such as capitals where the tokenizer makes them small, "
        "is no drift here. What the earlier run is worth adds 2.5% to the cases. The reference is the test set and "
        "the data given with --with."
    )
    return parts


def _table(title: str, head: Sequence[str], rows: Rows) -> Table:
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i else "left", no_wrap=i > 0)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _grid(head: Sequence[str], rows: Rows) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """Names are anybody's: nothing in them may end a cell or become a tag or a link."""
    text = " ".join(text.split())
    for sign in "\\|<*`_":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("](", "]\\(")
