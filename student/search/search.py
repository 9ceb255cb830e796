"""The search: costs first, which need no training; then rounds of halving on F1 out of fold; then the finalists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RecipeError, RunError
from distill.core.machine.cpu import CpuTarget, cpu_name
from distill.core.output.terminal import note, warn
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json, remove_folder, write_bytes, write_json
from distill.data.dataset import encode_targets
from distill.data.run_folder import CANDIDATES, SEARCH, is_run
from distill.scoring.bootstrap import MetricDraws, arm_metrics, estimate, out_of_fold_draws
from distill.scoring.verdict import Verdict
from student.search.halving import Entrant, best_of, halve, rounds_of
from student.search.ladder import Candidate
from student.search.lesson import Lesson, answer_folds, export_trained, export_untrained, finish
from student.search.recommend import no_recommendation, recommend
from student.search.report import Limits, Measure, Measurement, Row, SearchReport
from student.search.workers import Failed, run_all

UNTRAINED, BUNDLES, ANSWERS = "untrained", "bundles", "answers"  # folders of a search
BUSY = 2.0  # times --max-ms, on a busy machine
NOISY = (
    "The times are noisy, so that another may be the quickest: on a quiet machine, --resume measures them again."
)
QUICK_CALLS, CALLS = 60, 200  # of each candidate: to keep what is too slow from training, and to be quoted


@dataclass(frozen=True)
class Plan:
    """What is searched: the candidates, their limits, the F1 that may be lost, and in how many processes."""

    candidates: tuple[Candidate, ...]
    limits: Limits
    max_f1_drop: float
    jobs: int
    target: CpuTarget


@dataclass
class Search:
    """A search in the folder `out`; `rows` and `report` grow with it, and search.json with them."""

    plan: Plan
    lesson: Lesson
    out: Path
    measure: Measure
    on_round: Callable[[Row], None] = lambda row: None
    report: SearchReport = field(init=False)

    def __post_init__(self) -> None:
        plan, config = self.plan, self.plan.candidates[0].config
        rows = tuple(Row(each.name, each.settings, each.precision) for each in plan.candidates)
        self.report = SearchReport(
            config.threshold_objective,
            len(self.lesson.splits.train),
            len(self.lesson.targets.folds),
            config.seed,
            plan.limits,
            plan.max_f1_drop,
            rows,
        )
        self.by_name = {each.name: each for each in plan.candidates}

    def run(self) -> SearchReport:
        """All of it. What an interrupted search has done already is not done again. Raises RunError where no
        candidate is within the limits, or none can be trained."""
        self._measure_untrained()
        draws: dict[str, MetricDraws] = {}
        for folds in rounds_of(self.report.folds):
            draws = self._round(folds)
        self._finish()
        self._recommend(draws)
        if (left := self.out / UNTRAINED).is_dir():
            remove_folder(left)
        return self.report

    @property
    def standing(self) -> list[Row]:
        """The rows that are not out."""
        return [row for row in self.report.rows if not row.out]

    def _measure_untrained(self) -> None:
        place, names = self.out / UNTRAINED, list(self.by_name)
        kept = _read_measurement(self.out / f"{UNTRAINED}.json", names)
        if kept is None or (kept.noise and place.is_dir()):
            note(f"{len(names)} candidates: what each costs, before any training")
            arguments = {
                name: (self.by_name[name], self.plan.target, place / name)
                for name in names
                if not (place / name).is_dir()
            }
            failed = {}
            for name, done in run_all(export_untrained, self.lesson, arguments, self.plan.jobs):
                if isinstance(done, Failed):
                    failed[name] = done.reason
                else:
                    note(f"{name}: made, untrained")
            self._put_out({name: f"cannot be made: {reason}" for name, reason in failed.items()}, warn)
            kept = self.measure({row.name: place / row.name for row in self._some("can be made")}, QUICK_CALLS)
            if not failed:  # else a resumed search tries them again, beside the others
                write_json(self.out / f"{UNTRAINED}.json", asdict(kept))
                if not kept.noise:  # else they are measured again
                    remove_folder(place)
        slack = BUSY if kept.noise else 1.0  # what is over a limit by another's load would never be tried
        if kept.noise:
            note("the machine is busy: times are noisy, and so is who counts as quicker")
        self._update(untrained=kept)
        self._change({name: {"untrained": cost} for name, cost in kept.costs.items()})
        over = {name: self.plan.limits.over(cost, certain=True, slack=slack) for name, cost in kept.costs.items()}
        self._put_out({name: reason for name, reason in over.items() if reason})
        self._some("is within the limits")

    def _round(self, folds: int) -> dict[str, MetricDraws]:
        """Train everyone in the first `folds` folds and let the halving decide. The F1 of each that took part."""
        rows, total = self._some("could be trained"), self.report.folds
        note(f"{len(rows)} candidates in {folds} of {total} folds")
        answers = self._answers([row.name for row in rows], folds)
        splits, objective = self.lesson.splits, self.report.objective
        targets, groups = encode_targets(splits.train, splits.labels), splits.labels.group_columns
        draws = {name: out_of_fold_draws(own, targets, objective, groups) for name, own in answers.items()}
        entrants = []
        for name, own in draws.items():
            cost = next(row for row in rows if row.name == name).known_cost
            assert cost is not None
            f1 = own[self.report.objective]
            entrants.append(Entrant(name, cost.ms.value, cost.size_bytes, f1))
            self._change({name: {"folds": folds, "f1": estimate(f1), "metrics": arm_metrics(own)}})
        if not entrants:
            self._some("could be trained")
        fates = halve(entrants, self.plan.max_f1_drop)
        self._change({fate.name: {"gain": fate.gain} for fate in fates})
        self._put_out({fate.name: f"{fate.out}, in {folds} of {total} folds" for fate in fates if fate.out})
        for row in self.report.rows:
            if row.name in draws:
                self.on_round(row)
        return draws

    def _answers(self, names: Sequence[str], folds: int) -> dict[str, NDArray[np.float32]]:
        """Of every candidate that can be trained, its probabilities, NaN for the rows of the other folds."""
        files = {name: self.out / ANSWERS / f"{name}-{folds}.float32" for name in names}
        arguments = {
            name: (self.by_name[name].config, self._folder(name), folds)
            for name, file in files.items()
            if not file.is_file()
        }
        failed = {}
        for name, done in run_all(answer_folds, self.lesson, arguments, self.plan.jobs):
            if isinstance(done, Failed):
                failed[name] = f"cannot be trained: {done.reason}"
            else:
                write_bytes(files[name], done.tobytes())
                note(f"{name}: trained in {folds} of {self.report.folds} folds")
        self._put_out(failed, warn)
        labels = len(self.lesson.splits.labels)
        shape = (self.report.examples, labels)
        return {name: _read_answers(file, shape) for name, file in files.items() if name not in failed}

    def _finish(self) -> None:
        """Train the finalists on everything, export them and measure them in one run."""
        names = [row.name for row in self._some("could be trained")]
        note(f"{len(names)} finalists: {', '.join(names)}")
        arguments = {
            name: (self.by_name[name].config, self._folder(name))
            for name in names
            if not is_run(self._folder(name))
        }
        failed = {}
        for name, done in run_all(finish, self.lesson, arguments, self.plan.jobs):
            if isinstance(done, Failed):
                failed[name] = f"cannot be trained: {done.reason}"
        for name in (name for name in names if name not in failed):
            bundle = self.out / BUNDLES / name
            if bundle.is_dir():
                continue
            own = (self.by_name[name], self._folder(name), self.plan.target, bundle)
            ((_, done),) = run_all(
                export_trained, self.lesson, {name: own}, 1
            )  # it times files: alone on the machine
            if isinstance(done, Failed):
                failed[name] = f"cannot be exported: {done.reason}"
        self._put_out(failed, warn)
        bundles = {row.name: self.out / BUNDLES / row.name for row in self._some("could be exported")}
        file = self.out / f"{BUNDLES}.json"
        kept = _read_measurement(file, list(bundles))
        if kept is None or kept.noise:  # perhaps the machine is quiet now
            kept = self.measure(bundles, CALLS)
            write_json(file, asdict(kept))
        self._update(trained=kept)
        for name, cost in kept.costs.items():
            where = {"run": f"{CANDIDATES}/{name}", "bundle": f"{BUNDLES}/{name}"}
            self._change({name: {"cost": cost, **where}})

    def _recommend(self, draws: Mapping[str, MetricDraws]) -> None:
        plan, objective, finalists = self.plan, self.report.objective, []
        for row in self.standing:
            assert row.cost is not None
            if over := plan.limits.over(row.cost, certain=False):
                self._put_out({row.name: over})
                continue
            finalists.append(Entrant(row.name, row.cost.ms.value, row.cost.size_bytes, draws[row.name][objective]))
        if not finalists:
            return self._update(recommendation=no_recommendation(plan.limits, plan.max_f1_drop))
        best = best_of(finalists).name
        verdicts = {
            each.name: Verdict.of(draws[each.name], draws[best], objective, self.report.examples, plan.max_f1_drop)
            for each in finalists
            if each.name != best
        }
        gains = {
            each.name: {"gain": estimate(draws[each.name][objective] - draws[best][objective])}
            for each in finalists
        }
        self._change(gains)
        self._change({name: {"verdict": verdict} for name, verdict in verdicts.items()})
        made = recommend(finalists, verdicts, best, plan.limits, plan.max_f1_drop)
        if self.report.trained is not None and self.report.trained.noise:
            made = replace(made, reason=(*made.reason, NOISY))
        return self._update(recommendation=made)

    def _folder(self, name: str) -> Path:
        return self.out / CANDIDATES / name

    def _some(self, what: str) -> list[Row]:
        """The rows that stand. Raises RunError where there is none."""
        if self.standing:
            return self.standing
        nearest = min(
            self.report.rows, key=lambda row: row.untrained.ms.value if row.untrained is not None else float("inf")
        )
        raise RunError(
            f"none of the {len(self.report.rows)} candidates {what}; of the quickest, {nearest.name}: {nearest.out}"
        )

    def _put_out(self, reasons: Mapping[str, str], say: Callable[[str], None] = note) -> None:
        for name, reason in reasons.items():
            say(f"{name}: out, {reason}")
        self._change({name: {"out": reason} for name, reason in reasons.items()})

    def _change(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change fields of rows, by the names of candidates."""
        if changes:
            self._update(rows=tuple(replace(row, **changes.get(row.name, {})) for row in self.report.rows))

    def _update(self, **fields: Any) -> None:
        self.report = replace(self.report, **fields)
        write_json(self.out / SEARCH, self.report.to_json())


def _read_measurement(path: Path, names: Sequence[str]) -> Measurement | None:
    """What an interrupted search has measured of these candidates; None if it has not, of others, or on
    another processor."""
    if not path.is_file():
        return None
    try:
        kept = build_dataclass(Measurement, read_json(path, RunError), "measurement")
    except RecipeError as error:
        raise RunError(f"{path}: {error}; start over with --overwrite") from error
    return kept if set(kept.costs) == set(names) and kept.cpu == cpu_name() else None


def _read_answers(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    content = path.read_bytes()
    if len(content) != 4 * shape[0] * shape[1]:
        raise RunError(f"{path}: has {len(content)} bytes, not probabilities {shape}; remove it and --resume")
    return np.frombuffer(content, dtype=np.float32).reshape(shape)
