"""Who teaches a student: the runs of one or several teachers, a file of answers, or all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import RunError
from distill.core.output.terminal import note, warn
from distill.core.settings.recipe import DistillConfig
from distill.data.answers import TeacherAnswers
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits
from distill.data.labels import LabelSet
from distill.data.run_folder import weights_sha256
from distill.data.teacher_sources import TeacherSources
from distill.model.checkpoint import read_thresholds
from distill.model.soft_targets import SoftTargets
from distill.scoring.thresholds import Thresholds
from teacher.soft_targets import ensemble_folds, ensemble_soft_targets


@dataclass(frozen=True)
class Teachers:
    """The folders of `runs`, and `answers`, which count as one teacher more; not both are missing."""

    runs: Sequence[Path]
    answers: TeacherAnswers | None = None

    @classmethod
    def open(cls, sources: TeacherSources, labels: LabelSet) -> Teachers:
        """Read the answers. Raises DataError."""
        return cls(sources.runs, None if sources.answers is None else sources.answers.read(labels))

    def thresholds(self) -> Thresholds | None:
        """Those that ship with the one run that teaches alone, None for an ensemble or answers. Raises RunError."""
        if self.answers is not None or len(self.runs) != 1:
            return None
        return read_thresholds(self.runs[0])

    def depends_on(self) -> dict[str, Any]:
        """The entries of a run's started.json. Raises RunError."""
        entries: dict[str, Any] = {"teachers": [weights_sha256(run) for run in self.runs]}
        if self.answers is not None:
            entries |= {"teacher_answers": self.answers.file.sha256, "answers_are": self.answers.scale}
        return entries

    def introduce(self, config: DistillConfig, splits: Splits, unlabelled: Sequence[Example] = ()) -> None:
        """Say how the answers are used. Raises DataError where they teach nobody, or it is not clear whom."""
        if self.answers is None:
            return
        note(self.answers.describe())
        for line in self.answers.warnings(splits, unlabelled):
            warn(line)
        beside = f", averaged in logits with {len(self.runs)} --teacher" if self.runs else ""
        how = f"temperature {config.temperature:g}, weight {config.soft_targets:g} beside {config.hard_labels:g}"
        note(f"{self.answers.describe_use(splits, unlabelled)}{beside}; {how} of the labels")

    def taught(self, unlabelled: Sequence[Example]) -> list[Example]:
        """The unlabelled examples that somebody says something of: nothing can be learned from others."""
        if self.runs or self.answers is None:
            return list(unlabelled)
        kept = [example for example in unlabelled if example.id in self.answers.row_of]
        if len(kept) < len(unlabelled):
            missing = len(unlabelled) - len(kept)
            note(f"{missing} of {len(unlabelled)} unlabelled rows have no answer either, and are left out")
        return kept

    def soft_targets(self, examples: Sequence[Example]) -> SoftTargets:
        """For these examples, NaN where nobody says anything. Raises RunError."""
        if self.answers is None:
            return ensemble_soft_targets(self.runs, examples)
        answers = SoftTargets.from_answers(self.answers, examples)
        if not self.runs:
            return answers
        return ensemble_soft_targets(self.runs, examples).with_answers(answers, len(self.runs))

    def folds(self, examples: Sequence[Example], unlabelled: Sequence[Example] = ()) -> list[SoftTargets]:
        """As `soft_targets`, fold by fold, with those of the `unlabelled` examples that every fold has answered;
        empty if a run has no folds. Raises RunError without a run."""
        if not self.runs:
            raise RunError(
                "student.out_of_fold=true needs the folds of a --teacher, and a file of answers has none; set "
                "student.out_of_fold=false"
            )
        folds = ensemble_folds(self.runs, examples, unlabelled)
        if folds and (missing := len(examples) + len(unlabelled) - len(folds[0].ids)):
            note(
                f"{missing} of {len(unlabelled)} unlabelled rows join no fold, as the teacher's folds have not "
                "answered them: train the teacher again, with --unlabelled for rows of a file"
            )
        if self.answers is None or not folds:
            return folds
        known = set(folds[0].content_hashes)
        asked = [*examples, *(example for example in unlabelled if content_hash(example) in known)]
        answers = SoftTargets.from_answers(self.answers, asked)
        return [fold.with_answers(answers, len(self.runs)) for fold in folds]


def of_unlabelled(
    unlabelled: Sequence[Example], folds: Sequence[SoftTargets] = (), labelled: int = 0
) -> dict[str, Any]:
    """The entries of a run's started.json that say which unlabelled examples are taught, and which of them in
    `folds`, whose first examples are the `labelled` ones."""
    entries: dict[str, Any] = {"unlabelled": sorted(map(content_hash, unlabelled))}
    if folds and (in_folds := folds[0].content_hashes[labelled:]):
        entries["unlabelled_in_folds"] = sorted(in_folds)
    return entries
