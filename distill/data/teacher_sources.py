"""What Python code or the command line names as a student's teachers, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from distill.core.arguments import check_choice, to_path, to_paths
from distill.core.errors import ArgumentError
from distill.data.answer_rows import Scale
from distill.data.answers import AnswersFile


@dataclass(frozen=True)
class TeacherSources:
    """The folders of teachers' `runs`, and a file of `answers`; not both are missing."""

    runs: list[Path]
    answers: AnswersFile | None

    @classmethod
    def of(cls, teacher: Any, teacher_answers: Any, answers_are: Any) -> TeacherSources:
        """From the arguments of `distill.train_student`. Raises ArgumentError, and DataError for a file that is not
        there."""
        if teacher is None and teacher_answers is None:
            raise ArgumentError("give a teacher (--teacher RUN), its answers (--teacher-answers FILE), or both")
        if answers_are is not None:
            check_choice("answers_are", answers_are, get_args(Scale))
            if teacher_answers is None:
                raise ArgumentError(f"answers_are={answers_are} is about teacher_answers, which is not given")
        runs = [] if teacher is None else to_paths("teacher", teacher)
        if teacher_answers is None:
            return cls(runs, None)
        return cls(runs, AnswersFile.open(to_path("teacher_answers", teacher_answers), answers_are))

    def paths(self) -> list[Path]:
        """All that is read."""
        return self.runs if self.answers is None else [*self.runs, self.answers.path]
