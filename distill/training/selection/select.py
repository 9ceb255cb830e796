"""Which of many posts to label next, and why: asks a run or a Bundle about each, leaves out what is near to what is
labelled, and chooses by the rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.core.errors import DataError, ImageError
from distill.data import lineage
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.data.duplicates import image_groups
from distill.data.image_facts import read_facts
from distill.data.labels import LabelSet
from distill.data.likeness import text_key
from distill.data.posts import Post
from distill.data.run_folder import START_FILE
from distill.data.sources import FailedRow
from distill.data.write_rows import PARQUET
from distill.preprocess.text import has_text
from distill.runtime.bundle import is_bundle
from distill.runtime.opened import RunOptions
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import Probabilities, logit
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import Thresholds
from distill.training.selection.rule import Choice, Features, Rule, choose, doubts_of, joined

COLUMNS = ("undecided", "probability", "reason")  # that the file of chosen posts gets


@dataclass(frozen=True)
class Chosen:
    """A post to label: `undecided` is the label that is the reason, with its probability; `threshold` is None for a
    label of a group. `reason` says it in words."""

    id: str
    undecided: str
    probability: float
    threshold: float | None
    reason: str


@dataclass(frozen=True)
class Selection:
    """The chosen posts in the order of their rows, how often each label is the reason, and what became of all that
    were read: `failed` cannot be read, `labelled` are those that are labelled or near to such a one,
    `repeated` those near to an earlier one."""

    posts: int
    failed: tuple[FailedRow, ...]
    labelled: int
    repeated: int
    chosen: tuple[Chosen, ...]
    by_label: dict[str, int]

    def with_unread(self, failed: Sequence[FailedRow]) -> Selection:
        """With rows that were no posts at all."""
        return replace(self, posts=self.posts + len(failed), failed=(*failed, *self.failed))


@dataclass(frozen=True)
class Opinion:
    """What a model says of N posts: probabilities (N, L), and features (N, W) by which posts are like others."""

    labels: LabelSet
    thresholds: Thresholds
    probabilities: Probabilities
    features: Features


def select_posts(
    posts: Sequence[Post], model: Path, labelled: Sequence[Example], n: int, rule: Rule, options: RunOptions
) -> tuple[Selection, list[Post]]:
    """Choose up to `n` posts: what is said of them, and they themselves. `labelled` are examples that are
    labelled already, beside those that a run has learned from. Raises DataError where no post is left, RunError and
    BundleError."""
    facts = read_facts([example.image for example in (*labelled, *(post.example for post in posts))])
    faults = [_fault(post.example, fact) for post, fact in zip(posts, facts[len(labelled) :], strict=True)]
    failed = [FailedRow(p.example.id, fault) for p, fault in zip(posts, faults, strict=True) if fault is not None]
    looks = image_groups(facts)
    keys = [(look, text_key(example.text)) for look, example in zip(looks, labelled, strict=False)]
    known, seen, left = set(keys), set[Any](), []
    own = zip(looks[len(labelled) :], posts, strict=True)
    known |= {(look, text_key(post.example.text)) for look, post in own if post.is_labelled}
    hashes = _learned(model)
    repeated = near = 0
    for post, look, fault in zip(posts, looks[len(labelled) :], faults, strict=True):
        key = (look, text_key(post.example.text))
        if fault is not None:
            continue
        if post.is_labelled or key in known or (hashes and content_hash(post.example) in hashes):
            near += 1
        elif key in seen:
            repeated += 1
        else:
            left.append(post)
        seen.add(key)
    if not left:
        raise DataError(
            f"no post is left to label: of the {len(posts)} that were read, {len(failed)} cannot be "
            f"used, {near} are labelled, {repeated} repeat another; give more posts"
        )
    opinion = opinion_of(model, [post.example for post in left], options)
    choices = sorted(_chosen(opinion, n, rule), key=lambda choice: choice.row)
    chosen = tuple(_described(opinion, choice, left[choice.row].example.id) for choice in choices)
    counts = Counter(each.undecided for each in chosen)
    by_label = {name: counts[name] for name in opinion.labels.names}
    selection = Selection(len(posts), tuple(failed), near, repeated, chosen, by_label)
    return selection, [left[choice.row] for choice in choices]


def rows_of(selection: Selection, posts: Sequence[Post], out: Path) -> list[dict[str, Any]]:
    """The rows of the chosen posts for the file `out`, with COLUMNS beside their own. Raises DataError where a
    column is there already."""
    rows, is_binary = [], out.suffix.lower() == PARQUET
    for each, post in zip(selection.chosen, posts, strict=True):
        row = post.row_in(out.absolute().parent, is_binary)
        for name in COLUMNS:
            if name in row:
                raise DataError(f"the posts have a column {name!r}, which would be written over; rename it")
        rows.append(row | {"undecided": each.undecided, "probability": each.probability, "reason": each.reason})
    return rows


def opinion_of(model: Path, examples: Sequence[Example], options: RunOptions) -> Opinion:
    """A run's probabilities and its encoders' features; of a Bundle, which gives none, the logits in their place.
    Raises RunError, BundleError and ImageError."""
    if is_bundle(model):
        predictor = Predictor.load(model, 0, options)
        p = predictor.probabilities(examples)
        return Opinion(predictor.bundle.labels, predictor.bundle.thresholds, p, logit(p))
    from distill.model.checkpoint import Checkpoint

    run = Checkpoint.load(model)
    outputs = run.classifier.outputs(run.classifier.encode(examples))
    p = to_probabilities(outputs.logits, run.classifier.labels.group_columns)
    parts = [part for part in (outputs.text, outputs.image) if part.shape[1]]
    return Opinion(run.classifier.labels, run.thresholds, p, joined(parts or [outputs.logits]))


def _learned(model: Path) -> frozenset[str]:
    """Content hashes of the examples that a run has learned from; a Bundle does not say."""
    if is_bundle(model) or not (model / START_FILE).is_file():
        return frozenset()
    seen = lineage.read_lineage(model)
    return seen.train | seen.dev | seen.test


def _fault(example: Example, fact: Any) -> str | None:
    if isinstance(fact, ImageError):
        return str(fact)
    if example.image is None and not has_text(example.text):
        return "has neither a text nor an image"
    return None


def _chosen(opinion: Opinion, n: int, rule: Rule) -> list[Choice]:
    return choose(doubts_of(opinion.probabilities, opinion.thresholds), np.asarray(opinion.features), n, rule)


def _described(opinion: Opinion, choice: Choice, id_: str) -> Chosen:
    name, threshold = opinion.labels.names[choice.label], opinion.thresholds.values[choice.label]
    probability = round(float(opinion.probabilities[choice.row, choice.label]), 4)
    cut = "another of its group is near" if threshold is None else f"threshold {threshold:.4f}"
    share = ", one of this label's share" * choice.is_share
    reason = f"{name} is undecided: probability {probability:.4f}, {cut}{share}"
    return Chosen(id_, name, probability, threshold, reason)
