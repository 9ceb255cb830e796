"""What the page says in sentences, above all how far its figures can be trusted. Knows findings, no markup."""

from __future__ import annotations

from bench.inspect.findings import Findings
from bench.report.page.words import macro, micro, signed
from distill.scoring.estimate import Estimate

OFF = 5  # pairs of labels that are named


def answer(found: Findings) -> str:
    """How good it is, and what it costs most, in two sentences."""
    q, fp, fn = found.quality, sum(c.fp for c in found.confusion), sum(c.fn for c in found.confusion)
    tp = sum(c.tp for c in found.confusion)
    never = [label.name for label in q.labels if label.support and not label.f1]
    told = (
        f"Micro-F1 {micro(q)} and macro-F1 {macro(q)} on the {q.examples} examples of {found.split}: of "
        f"{tp + fn} gold labels it finds {tp} and misses {fn}, and it adds {fp} false ones."
    )
    if never:
        told += f" It finds none of {len(never)} label{'s' * (len(never) != 1)}: {', '.join(never)}."
    return told


def cautions(found: Findings) -> list[str]:
    """What to know before a figure is quoted."""
    said = []
    if found.cross_fitted:
        said.append(
            f"The model's thresholds were fitted on {found.split} itself{_as_many(found)}. Decisions here are "
            "cross-fitted: each example's are made with thresholds fitted on other examples (5 folds). "
            "Counts, F1, co-occurrence and the list of the most wrong use those."
        )
    else:
        said.append(f"Thresholds: {found.thresholds}.")
    said += _met(found)
    rare = [label.name for label in found.quality.labels if label.support < 10]
    if rare:
        said.append(
            f"{len(rare)} of {len(found.quality.labels)} labels have fewer than 10 examples here: one example more "
            "or less moves their figures a lot."
        )
    constant, q = found.constant, found.quality
    said.append(
        f"To beat: always answering {', '.join(constant.names)} has micro-F1 {constant.micro_f1:.3f} and macro-F1 "
        f"{constant.macro_f1:.3f} (this one {q.micro_f1.value:.3f} and {q.macro_f1.value:.3f})."
    )
    return said


def _as_many(found: Findings) -> str:
    """What a Bundle's word for it rests on."""
    return "" if found.known.trained is not None else " (as many rows as the Bundle names; it does not say which)"


def _met(found: Findings) -> list[str]:
    """Of examples that the model learned from or was chosen by."""
    trained, watched, of = found.known.trained, found.known.watched, found.quality.examples
    said = []
    if trained is None and found.split == "train":
        said.append("Where the model learned from these, which it does not say, every figure here flatters.")
    elif trained:
        said.append(f"The model learned from {_so_many(trained, of)}: every figure here flatters.")
    if watched is None and found.split == "dev":
        chose = "the epoch that was kept" if found.known.fitted else "the epoch that was kept, or thresholds"
        said.append(
            f"Where examples of this dev split chose {chose}, figures on it flatter a little: the model does not "
            "say which did, and nothing here takes that out."
        )
    elif found.known.fitted:
        said.append(
            "Where this dev split chose the epoch that was kept, as in a training without folds, figures on it "
            "flatter a little; nothing here takes that out."
        )
    elif watched:
        said.append(
            f"The dev splits of the model's trainings, which may have chosen its epoch and thresholds, held "
            f"{_so_many(watched, of)}: figures here may flatter a little."
        )
    return said


def _so_many(count: int, of: int) -> str:
    return "these very examples" if count == of else f"{count} of these {of} examples"


def calibration(found: Findings) -> str:
    """What one temperature is worth, on rows that it was not fitted on."""
    s = found.scaling
    folds = ", ".join(f"{t:.2f}" for t in s.fold_temperatures)
    return (
        f"One temperature for all labels (Guo et al. 2017): {s.temperature:.2f}, fitted on all of {found.split}. "
        "Above 1 it draws probabilities towards a half, below 1 away from it. “After” is honest: each example is "
        f"scaled with a temperature fitted on other examples ({len(s.fold_temperatures)} folds: {folds}). "
        f"ECE (15 bins) {s.before.ece:.3f} → {s.after.ece:.3f}, {_verdict(s.ece_change)}; log loss a pair "
        f"{s.before.log_loss:.3f} → {s.after.log_loss:.3f}, {_verdict(s.log_loss_change)}. A temperature changes "
        "no decision when thresholds are moved along with it, and so no F1."
    )


def _verdict(change: Estimate) -> str:
    told = f"a change of {signed(change)}"
    if change.high < 0:
        return f"{told}: better beyond chance"
    return f"{told}: worse beyond chance" if change.low > 0 else f"{told}: not to be told from chance"


def off_pairs(found: Findings) -> list[str]:
    """The pairs of labels that are decided together most too often or too seldom, in examples."""
    names, gold, predicted = [c.name for c in found.confusion], found.together.gold, found.together.predicted
    pairs = [(predicted[i][j] - gold[i][j], i, j) for i in range(len(names)) for j in range(i)]
    said = []
    for difference, i, j in sorted(pairs, key=lambda pair: -abs(pair[0]))[:OFF]:
        if difference:
            word = "too often" if difference > 0 else "too seldom"
            said.append(
                f"{names[j]} with {names[i]}: {predicted[i][j]} decided, {gold[i][j]} gold "
                f"({abs(difference)} {word})"
            )
    return said


def training(found: Findings) -> str:
    """What the curves are and what was kept."""
    log = found.training
    if log is None:
        return found.no_training or ""
    last, best = log.epochs[-1].epoch, log.best_epoch
    aps = {epoch.epoch: f"micro {epoch.dev_micro_ap:.3f}, macro {epoch.dev_macro_ap:.3f}" for epoch in log.epochs}
    at = f" (dev AP: {aps[best]})" if best in aps else ""
    return (
        f"{last} epoch{'s' * (last != 1)} in {log.seconds:.0f} s; the weights kept are those of epoch {best}{at}, "
        "which the band marks. A training whose length was set beforehand, as by folds, keeps its last epoch, "
        "however dev looks. Losses have scales of their own: a student's training loss is not its dev loss."
    )
