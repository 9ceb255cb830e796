"""How new examples differ from earlier ones: label rates, text lengths, features, and the old teacher's F1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.data.dataset import Example, encode_targets
from distill.data.lineage import Lineage
from distill.model.checkpoint import Checkpoint
from distill.model.outputs import Outputs
from distill.preprocess.text import has_text
from distill.scoring import drift
from distill.scoring.bootstrap import ROUNDS, estimate
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import bootstrap_draws, weighted_f1
from distill.scoring.probabilities import to_probabilities
from teacher.retrain.datasets import RetrainData

NO_TEXT, NO_IMAGE = "(no text)", "(no image)"


@dataclass(frozen=True)
class NewExamplesReport:
    """The `drift` between so many `fresh` and `reference` examples. `micro_f1` is that of the earlier run, with
    its own thresholds, on the `unseen` fresh ones, which it was not trained on; `f1_change` is that minus its
    micro-F1 on unseen examples of the reference. None if it was trained on all of them.

    Macro-F1 would not do: it falls with the number of examples, as rare labels are left without any.
    """

    reference: int
    fresh: int
    drift: drift.DriftReport
    unseen: int
    micro_f1: Estimate | None
    f1_change: Estimate | None

    @property
    def harder(self) -> bool:
        """Whether the earlier run does worse on the new examples, beyond chance."""
        return self.f1_change is not None and self.f1_change.high < 0

    def to_json(self) -> dict[str, Any]:
        """For retrain.json."""
        return asdict(self) | {"drift": self.drift.to_json(), "harder": self.harder}


def measure_drift(old: Checkpoint, data: RetrainData, seen: Lineage) -> NewExamplesReport | None:
    """Compare the new examples with the reference; None if no example is new.

    Rates and lengths are of all examples. Features are compared only for examples that the earlier run was not
    trained on: training has moved the features of the others, which is no drift.
    """
    if not data.fresh:
        return None
    unseen_reference, unseen_fresh = (
        [e for e, is_seen in zip(examples, seen.trained_on(examples), strict=True) if not is_seen]
        for examples in (data.reference, data.fresh)
    )
    before, now = _UnseenOutputs.of(old, unseen_reference), _UnseenOutputs.of(old, unseen_fresh)
    names = [*old.classifier.labels.names, NO_TEXT, NO_IMAGE]
    rates = drift.TwoSamples(_indicators(old, data.reference), _indicators(old, data.fresh))
    lengths = {"words": drift.TwoSamples(_word_counts(data.reference), _word_counts(data.fresh))}
    features = {
        f"{modality} features": drift.TwoSamples(before.features(modality), now.features(modality))
        for modality in ("text", "image")
        if old.classifier.network.modalities in ("both", modality)
    }
    difference = drift.detect_drift(names, rates, lengths, features)
    f1_before, f1_now = before.micro_f1_draws(seed=0), now.micro_f1_draws(seed=1)
    f1_change = None if f1_before is None or f1_now is None else estimate(f1_now - f1_before)
    micro_f1 = None if f1_now is None else estimate(f1_now)
    return NewExamplesReport(
        reference=len(data.reference),
        fresh=len(data.fresh),
        drift=difference,
        unseen=len(unseen_fresh),
        micro_f1=micro_f1,
        f1_change=f1_change,
    )


@dataclass(frozen=True)
class _UnseenOutputs:
    """Examples that a run was not trained on, and its outputs for them, None if there are none."""

    run: Checkpoint
    examples: list[Example]
    outputs: Outputs[NDArray[np.float32]] | None

    @classmethod
    def of(cls, run: Checkpoint, examples: list[Example]) -> _UnseenOutputs:
        outputs = run.classifier.outputs(run.classifier.encode(examples)) if examples else None
        return cls(run, examples, outputs)

    def features(self, modality: str) -> NDArray[np.float32]:
        """Of the examples that have a text, or an image: (N, D); (0, 0) without examples."""
        if self.outputs is None:
            return np.zeros((0, 0), dtype=np.float32)
        if modality == "text":
            return self.outputs.text[[has_text(example.text) for example in self.examples]]
        return self.outputs.image[[example.image is not None for example in self.examples]]

    def micro_f1_draws(self, seed: int) -> NDArray[np.float64] | None:
        """On the examples as they are and in each bootstrap draw, (1 + ROUNDS,); None without examples."""
        if self.outputs is None:
            return None
        targets = encode_targets(self.examples, self.run.classifier.labels)
        draws = bootstrap_draws(len(self.examples), ROUNDS, np.random.default_rng(seed))
        weights = np.vstack([np.ones(len(self.examples)), draws])
        probabilities = to_probabilities(self.outputs.logits, self.run.thresholds.groups)
        return weighted_f1(targets, self.run.thresholds.apply(probabilities), weights)[0]


def _indicators(run: Checkpoint, examples: Sequence[Example]) -> NDArray[np.bool_]:
    """bool (N, L + 2): each label, no text, no image."""
    labels = encode_targets(examples, run.classifier.labels) == 1
    missing = [[not has_text(example.text), example.image is None] for example in examples]
    return np.hstack([labels, np.array(missing, dtype=bool)])


def _word_counts(examples: Sequence[Example]) -> NDArray[np.float64]:
    return np.array([len(e.text.split()) for e in examples if has_text(e.text)], dtype=np.float64)
