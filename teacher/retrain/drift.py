"""How new examples differ from earlier ones, as an earlier teacher sees them. Knows one run, no statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.dataset import Example
from distill.data.lineage import Lineage
from distill.model.checkpoint import Checkpoint
from distill.model.outputs import Outputs
from distill.preprocess.text import has_text
from distill.scoring import drift
from distill.scoring.bootstrap import ROUNDS, estimate
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import bootstrap_draws, sigmoid, weighted_f1
from teacher.retrain.datasets import Incoming

NO_TEXT, NO_IMAGE = "(no text)", "(no image)"


@dataclass(frozen=True)
class Looked:
    """`micro_f1` is that of the earlier run, with its own thresholds, on the `unseen` new ones that it was not
    trained on; `loss` is that minus the one on such examples of the reference. None where it was trained on all.

    Macro-F1 would not do: it falls with the number of examples, where rare labels are left without any.
    """

    reference: int
    fresh: int
    drift: drift.DriftReport
    unseen: int
    micro_f1: Estimate | None
    loss: Estimate | None

    @property
    def harder(self) -> bool:
        """Whether the earlier run does worse on the new examples, beyond chance."""
        return self.loss is not None and self.loss.high < 0

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        return asdict(self) | {"drift": self.drift.to_json(), "harder": self.harder}


def look(old: Checkpoint, data: Incoming, seen: Lineage) -> Looked | None:
    """None when no example is new.

    Rates and lengths are of all examples. Features are compared where the earlier run was trained on neither side:
    training has moved those of the examples that it saw, which is no drift.
    """
    if not data.fresh:
        return None
    sides = (data.reference, data.fresh)
    unseen = [[e for e, known in zip(s, seen.trained_on(s), strict=True) if not known] for s in sides]
    answers = [old.classifier.outputs(old.classifier.encode(side)) if side else None for side in unseen]
    names = [*old.classifier.labels.names, NO_TEXT, NO_IMAGE]
    properties = drift.TwoSamples(*(_having(old, side) for side in sides))
    lengths = {"words": drift.TwoSamples(_words(data.reference), _words(data.fresh))}
    features = {}
    for name in ("text", "image"):
        if old.classifier.network.modalities in ("both", name):
            both = (_features(name, *pair) for pair in zip(unseen, answers, strict=True))
            features[f"{name} features"] = drift.TwoSamples(*both)
    found = drift.detect_drift(names, properties, lengths, features)
    then, fresh = (_micro_f1(old, *pair, seed) for seed, pair in enumerate(zip(unseen, answers, strict=True)))
    loss = None if then is None or fresh is None else estimate(fresh - then)
    f1 = None if fresh is None else estimate(fresh)
    return Looked(len(data.reference), len(data.fresh), found, len(unseen[1]), f1, loss)


def _having(old: Checkpoint, examples: Sequence[Example]) -> NDArray[np.bool_]:
    labels = old.classifier.labels.encode([example.labels for example in examples]) > 0.5
    lacks = [[not has_text(example.text), example.image is None] for example in examples]
    return np.hstack([labels, np.array(lacks, dtype=bool)])


def _words(examples: Sequence[Example]) -> NDArray[np.float64]:
    return np.array([len(e.text.split()) for e in examples if has_text(e.text)], dtype=np.float64)


def _features(
    name: str, examples: Sequence[Example], answers: Outputs[NDArray[np.float32]] | None
) -> NDArray[np.float32]:
    """Of the examples that have a text, or an image: (N, D); (0, 0) of nothing."""
    if answers is None:
        return np.zeros((0, 0), dtype=np.float32)
    if name == "text":
        return answers.text[[has_text(example.text) for example in examples]]
    return answers.image[[example.image is not None for example in examples]]


def _micro_f1(
    old: Checkpoint, examples: Sequence[Example], answers: Outputs[NDArray[np.float32]] | None, seed: int
) -> NDArray[np.float64] | None:
    """As it is and in each bootstrap draw, (1 + ROUNDS,); None of nothing."""
    if answers is None:
        return None
    targets = old.classifier.labels.encode([example.labels for example in examples])
    draws = bootstrap_draws(len(examples), ROUNDS, np.random.default_rng(seed))
    weights = np.vstack([np.ones(len(examples)), draws])
    return weighted_f1(targets, old.thresholds.apply(sigmoid(answers.logits)), weights)[0]
