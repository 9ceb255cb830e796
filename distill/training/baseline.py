"""A finished run or Bundle that a model in training, or in export, is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits, encode_targets
from distill.data.labels import LabelSet
from distill.model.checkpoint import Checkpoint, read_thresholds
from distill.model.distributed import on_first_process
from distill.model.soft_targets import SoftTargets, held_out_logits
from distill.runtime.baseline import baseline_name, warn_if_seen
from distill.runtime.bundle import Bundle, is_bundle
from distill.runtime.predictor import Predictor
from distill.scoring.answers import OUT_OF_FOLD, Answers, Rows
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.metrics import Probabilities
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import Thresholds

FOLD_FILES = "soft_targets-fold*.npz"


@dataclass(frozen=True)
class Baseline:
    """A run or Bundle in `folder` that models are compared with, by a margin."""

    folder: Path
    margin: float

    def answers(self, split: str, splits: Splits) -> BaselineAnswers:
        """On "dev", "test" or the training split out of fold. Raises RunError where it has none out of fold."""
        examples = splits.train if split == OUT_OF_FOLD else splits.examples(split)
        rows, train = (
            Rows(split, splits.labels, encode_targets(part, splits.labels)) for part in (examples, splits.train)
        )
        thresholds, probabilities = self._probabilities(examples, split == OUT_OF_FOLD)
        answers = Answers.of(rows, probabilities, thresholds, train.targets)
        return BaselineAnswers(baseline_name(self.folder), rows, answers, self.margin)

    @on_first_process
    def _probabilities(self, examples: Sequence[Example], out_of_fold: bool) -> tuple[Thresholds, Probabilities]:
        note(f"{baseline_name(self.folder)} answers {len(examples)} examples" + " out of fold" * out_of_fold)
        if is_bundle(self.folder):
            if out_of_fold:
                raise RunError(
                    f"{self.folder}: a Bundle has no answers out of fold; give the run that it was made of"
                )
            predictor = Predictor(Bundle.open(self.folder))
            return predictor.bundle.thresholds, predictor.probabilities(examples)
        if out_of_fold:
            return read_thresholds(self.folder), out_of_fold_probabilities(self.folder, examples)
        warn_if_seen(self.folder, examples)
        checkpoint = Checkpoint.load(self.folder)
        return checkpoint.thresholds, checkpoint.probabilities(examples)


def out_of_fold_probabilities(folder: Path, examples: Sequence[Example]) -> Probabilities:
    """Of a run, float32 (N, L): each example's by the fold that was not trained on it. Raises RunError where one of
    them is in no fold."""
    folds = [SoftTargets.read(file) for file in sorted(folder.glob(FOLD_FILES))]
    logits = held_out_logits(folds)
    content_hashes = [content_hash(example) for example in examples]
    missing = sum(hash_ not in logits for hash_ in content_hashes)
    if missing:
        raise RunError(
            f"{folder}: has no answers out of fold for {missing} of {len(examples)} training examples; make it of "
            "these data with distill baseline, or give --baseline none"
        )
    groups = LabelSet(folds[0].labels, folds[0].groups).group_columns
    return to_probabilities(np.stack([logits[hash_] for hash_ in content_hashes]), groups)
