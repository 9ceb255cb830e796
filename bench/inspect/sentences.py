"""What the page says in sentences, above all how far its figures can be trusted."""

from __future__ import annotations

from bench.inspect.findings import Findings
from distill.scoring.estimate import Estimate

RARE = 10  # examples; a label with fewer has figures that one example moves a lot
OFF = 5  # pairs of labels that are named


def answer(findings: Findings) -> str:
    """How good it is, and what it costs most, in two sentences."""
    q, confusion = findings.quality, findings.confusion
    tp, fp, fn = (sum(getattr(c, name) for c in confusion) for name in ("tp", "fp", "fn"))
    text = (
        f"Micro-F1 {q.micro_f1:.3f} and macro-F1 {q.macro_f1:.3f} on the {q.examples} examples of "
        f"{findings.split}: of {tp + fn} gold labels it finds {tp} and misses {fn}, and it adds {fp} false ones."
    )
    for group in q.groups or ():
        text += f" The {group.title} is {group.accuracy:.3f}: of these labels exactly one is decided."
    never = [label.name for label in q.labels if label.support and not label.f1]
    if never:
        text += f" It finds none of {len(never)} label{'s' * (len(never) != 1)}: {', '.join(never)}."
    return text


def cautions(findings: Findings) -> list[str]:
    """What to know before a figure is quoted."""
    constant, q = findings.constant, findings.quality
    lines = [f"Thresholds: {findings.thresholds}."]
    if findings.cross_fitted:
        # What a Bundle's record rests on.
        named = " (as many rows as the Bundle names; it does not say which)" * (findings.leakage.trained is None)
        lines = [
            f"The model's thresholds were fitted on {findings.split} itself{named}. Decisions here are "
            "cross-fitted: each example's are made with thresholds fitted on other examples (5 folds). "
            "Counts, F1, co-occurrence and the list of the most wrong use those."
        ]
    lines += _leakage(findings)
    rare = sum(label.support < RARE for label in q.labels)
    if rare:
        lines.append(
            f"{rare} of {len(q.labels)} labels have fewer than {RARE} examples here: one example more or less "
            "moves their figures a lot."
        )
    lines.append(
        f"To beat: always answering {', '.join(constant.names)} has micro-F1 {constant.micro_f1:.3f} and macro-F1 "
        f"{constant.macro_f1:.3f} (this one {q.micro_f1.value:.3f} and {q.macro_f1.value:.3f})."
    )
    if findings.baseline is not None:
        baseline = findings.baseline
        lines.append(
            f"To beat: {baseline.name} has micro-F1 {baseline.quality.micro_f1:.3f} and macro-F1 "
            f"{baseline.quality.macro_f1:.3f}, its thresholds {baseline.thresholds}. {_capital(baseline.sentence)}."
        )
    for group, own in zip(constant.groups or (), q.groups or (), strict=True):
        lines.append(
            f"To beat in {group.title}: {group.accuracy.value:.3f}, of always the most frequent one (this one "
            f"{own.accuracy.value:.3f})."
        )
    return lines


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _leakage(findings: Findings) -> list[str]:
    """Of examples that the model learned from or was chosen by."""
    seen, of, lines = findings.leakage, findings.quality.examples, []
    if seen.trained is None and findings.split == "train":
        lines.append("Where the model learned from these, which it does not say, every figure here flatters.")
    elif seen.trained:
        lines.append(f"The model learned from {_so_many(seen.trained, of)}: every figure here flatters.")
    if seen.watched is None and findings.split == "dev":
        chose = "the epoch that was kept" if seen.fitted else "the epoch that was kept, or thresholds"
        lines.append(
            f"Where examples of this dev split chose {chose}, figures on it flatter a little: the model does not "
            "say which did, and nothing here takes that out."
        )
    elif seen.fitted:
        lines.append(
            "Where this dev split chose the epoch that was kept, as in a training without folds, figures on it "
            "flatter a little; nothing here takes that out."
        )
    elif seen.watched:
        lines.append(
            f"The dev splits of the model's trainings, which may have chosen its epoch and thresholds, held "
            f"{_so_many(seen.watched, of)}: figures here may flatter a little."
        )
    return lines


def _so_many(count: int, of: int) -> str:
    return "these very examples" if count == of else f"{count} of these {of} examples"


def trade_off(findings: Findings) -> str:
    """What thresholds for another objective would give, and which the model has."""
    points = findings.trade_off
    macro, micro = points[0], points[-1]
    return (
        f"Thresholds for macro-F1 alone have micro-F1 {macro.micro_f1:.3f} and macro-F1 {macro.macro_f1:.3f} here, "
        f"those for micro-F1 alone {micro.micro_f1:.3f} and {micro.macro_f1:.3f}. Each example is decided with "
        "thresholds fitted on other examples of this split, for each share of micro-F1 in the objective. To move "
        "along the curve, train with --set student.threshold_objective=micro, macro or balanced, the mean of both."
    )


def calibration(findings: Findings) -> str:
    """What one temperature is worth, on rows that it was not fitted on."""
    s = findings.scaling
    pair = "decision" if findings.quality.groups else "pair"
    folds = ", ".join(f"{t:.2f}" for t in s.fold_temperatures)
    return (
        f"One temperature for all labels (Guo et al. 2017): {s.temperature:.2f}, fitted on all of "
        f"{findings.split}. Above 1 it draws probabilities towards a half, below 1 away from it. “After” is "
        "honest: each example is scaled with a temperature fitted on other examples "
        f"({len(s.fold_temperatures)} folds: {folds}). ECE (15 bins) {s.before.ece:.3f} → {s.after.ece:.3f}, "
        f"{_verdict(s.ece_change)}; log loss a {pair} {s.before.log_loss:.3f} → {s.after.log_loss:.3f}, "
        f"{_verdict(s.log_loss_change)}. A temperature changes no decision when thresholds are moved along with "
        "it, and so no F1."
    )


def _verdict(change: Estimate) -> str:
    verdict = "not to be told from chance"
    if not change.low <= 0 <= change.high:
        verdict = "better beyond chance" if change.high < 0 else "worse beyond chance"
    return f"a change of {change:+.3f}: {verdict}"


def selective(findings: Findings) -> str:
    """How sure answers are judged, and what the model's own cuts are."""
    s, fitted = findings.selective, findings.thresholds
    text = (
        "An answer is as sure as the mean probability of its labels, and one without a label as the product of the "
        "probabilities that it has none. Its precision is the share of its labels that are right (scikit-learn's, "
        "by samples); without a label it is right where there is none. "
    )
    if not s.held:
        return f"{text}This model says nothing of how sure an answer must be for predict --abstain: train it again."
    refused = [f"{h.stated:g}" for h in s.held if h.confidence is None]
    text += (
        "predict --abstain PRECISION answers what is sure enough to hold that precision on posts like those that "
        f"the cut was fitted on, but for a risk of {s.risk:.0%} (Geifman and El-Yaniv 2017), and leaves the others "
        f"to a person. Thresholds, and these cuts, are {fitted}."
    )
    if refused:
        text += f" No cut held {' or '.join(refused)} there: that would take a better model or more posts."
    if findings.cross_fitted:
        text += " As the cuts were fitted on these very posts, their precision here flatters."
    return text


def certain(findings: Findings) -> str:
    """What the table of certain labels means."""
    return (
        "For each label the probability from which on its precision is at least the stated one, fitted on "
        f"{findings.split} with the bound of Clopper and Pearson (1934), which fails with a risk of "
        f"{findings.selective.risk:.0%}; a dash where no probability holds it on so few examples."
    )


def off_pairs(findings: Findings) -> list[str]:
    """The pairs of labels that are decided together most too often or too seldom, in examples."""
    names, together = [c.name for c in findings.confusion], findings.co_occurrence
    gold, predicted = together.gold, together.predicted
    pairs = [(predicted[i][j] - gold[i][j], i, j) for i in range(len(names)) for j in range(i)]
    return [
        f"{names[j]} with {names[i]}: {predicted[i][j]} decided, {gold[i][j]} gold "
        f"({abs(difference)} too {'often' if difference > 0 else 'seldom'})"
        for difference, i, j in sorted(pairs, key=lambda pair: -abs(pair[0]))[:OFF]
        if difference
    ]


def training(findings: Findings) -> str:
    """What the curves are and what was kept."""
    log = findings.training
    if log is None:
        return findings.no_training or ""
    last, best = log.epochs[-1].epoch, log.best_epoch
    aps = {epoch.epoch: f"micro {epoch.dev_micro_ap:.3f}, macro {epoch.dev_macro_ap:.3f}" for epoch in log.epochs}
    at = f" (dev AP: {aps[best]})" if best in aps else ""
    return (
        f"{last} epoch{'s' * (last != 1)} in {log.seconds:.0f} s; the weights kept are those of epoch {best}{at}, "
        "which the band marks. A training whose length was set beforehand, as by folds, keeps its last epoch, "
        "however dev looks. Losses have scales of their own: a student's training loss is not its dev loss."
    )
