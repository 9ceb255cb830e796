"""What --abstain is worth: cuts fitted on a half of the posts and judged on the other half, docs/select.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from distill.data.checks import content_hash
from distill.data.dataset import Splits, encode_targets, read_splits
from distill.model.soft_targets import SoftTargets
from distill.scoring.metrics import Probabilities, Targets, micro_f1
from distill.scoring.probabilities import to_probabilities
from distill.scoring.selective import PRECISIONS, RISK, answer_confidence, answer_precision, fit_answer_cuts
from distill.scoring.thresholds import cross_fitted, fit_thresholds
from experiments.results import conditions, named, notes, read, table, write
from teacher.soft_targets import FOLD_FILE

DIVISIONS = 40


@click.command("abstain")
@click.option("--data", "folders", multiple=True, required=True, metavar="NAME=DIR", help="Dataset; repeatable.")
@click.option("--run", "runs", multiple=True, required=True, metavar="NAME=DIR", help="distill baseline's of each.")
@click.pass_obj
def measure(results: Path, folders: tuple[str, ...], runs: tuple[str, ...]) -> None:
    """Judge the cuts of --abstain on posts that they were not fitted on (abstain.json), by the answers that the
    runs' folds give to the training posts that they did not learn from."""
    sets = {}
    for name, folder in named(folders).items():
        splits = read_splits(folder)
        targets = encode_targets(splits.train, splits.labels)
        p = to_probabilities(out_of_fold(named(runs)[name], splits), splits.labels.group_columns)
        sets[name] = {"examples": len(p), "cuts": judge(p, targets)}
    write(results, "abstain", conditions(divisions=DIVISIONS, risk=RISK), {"sets": sets})


def out_of_fold(run: Path, splits: Splits) -> NDArray[np.float32]:
    """Logits of train (N, L), each row's by the fold that did not learn from it."""
    hashes = [content_hash(example) for example in splits.train]
    logits = np.full((len(hashes), len(splits.labels)), np.nan, dtype=np.float32)
    for path in sorted(run.glob(FOLD_FILE.format("*"))):
        fold = SoftTargets.read(path)
        unseen = fold.unseen(hashes)
        logits[unseen] = fold.select(hashes).logits[unseen]
    return logits


def judge(p: Probabilities, targets: Targets) -> list[dict[str, Any]]:
    """Of each precision, over random halves: the share of divisions with a cut, and of these, on the other half the
    mean share of posts answered, the mean precision and micro-F1 of the answers, and how often it is too low."""
    outcomes: dict[float, list[tuple[float, float, float]]] = {precision: [] for precision in PRECISIONS}
    whole = []
    for seed in range(DIVISIONS):
        order = np.random.default_rng(seed).permutation(len(p))
        fitted, rest = order[: len(p) // 2], order[len(p) // 2 :]
        cuts = fit_answer_cuts(p[fitted], targets[fitted], cross_fitted(p[fitted], targets[fitted], "balanced"))
        decisions = fit_thresholds(p[fitted], targets[fitted], "balanced", "a half").apply(p[rest])
        sure, right = answer_confidence(p[rest], decisions), answer_precision(targets[rest], decisions)
        whole.append(micro_f1(targets[rest], decisions))
        for cut in cuts:
            answered = sure >= (np.inf if cut.confidence is None else cut.confidence)
            if answered.any():
                f1 = micro_f1(targets[rest][answered], decisions[answered])
                outcomes[cut.precision].append((float(answered.mean()), float(right[answered].mean()), f1))
    return [_outcome(precision, outcomes[precision], float(np.mean(whole))) for precision in PRECISIONS]


def _outcome(precision: float, seen: list[tuple[float, float, float]], micro_f1_of_all: float) -> dict[str, Any]:
    coverage, held, f1 = np.mean(seen, axis=0).tolist() if seen else (None, None, None)
    return {
        "precision": precision,
        "fitted": len(seen) / DIVISIONS,
        "coverage": coverage,
        "held": held,
        "micro_f1": f1,
        "micro_f1_of_all": micro_f1_of_all,
        "too_low": sum(each[1] < precision for each in seen) / DIVISIONS,
    }


def outcomes() -> str:
    """What each precision comes to on each set."""
    tree = read("abstain")
    rows = []
    for name, one in tree["sets"].items():
        for cut in one["cuts"]:
            shares = ("–" if cut[key] is None else f"{cut[key]:.0%}" for key in ("fitted", "coverage"))
            figures = ("–" if cut[key] is None else f"{cut[key]:.3f}" for key in ("held", "micro_f1"))
            f1 = f"{cut['micro_f1_of_all']:.3f}"
            rows.append((name, f"{cut['precision']:g}", *shares, *figures, f1, f"{cut['too_low']:.0%}"))
    c = tree["conditions"]
    headings = "set | to hold | a cut was found | posts answered | precision | micro-F1 of these | micro-F1 of all "
    return table(f"{headings}| too low", rows) + notes(
        f"{c['divisions']} random halves of train: thresholds and cuts of one, judged on the other, which has half "
        "the posts that a training has; answers of the folds of `distill baseline`.",
        f"Too low: divisions with a precision on the other half below the one to hold; {c['risk']:.0%} are "
        "allowed, and the other half's own chance comes on top.",
    )
