"""A whole search of a student: candidates, teachers, the rounds, and what is written of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.report.kit.grid import Grid
from bench.search import tables
from bench.search.measure import measure
from distill.core.extras import can_plot, install_command
from distill.core.machine.cpu import detect_target
from distill.core.output.terminal import PIPE_WIDTH, note, to_text
from distill.core.settings.recipe import Recipe
from distill.core.settings.recipe_text import changes_to_toml
from distill.core.storage.files import write_text
from distill.data.dataset import Splits
from distill.data.run_folder import BEST, CANDIDATES, SEARCH
from distill.data.teacher_sources import TeacherSources
from distill.training.following import follow
from distill.training.run_writer import RunStart, claim_run
from student.search.ladder import Candidate, Family, ladder_of
from student.search.lesson import Lesson
from student.search.report import Limits, Row, SearchReport
from student.search.search import Plan, Search
from student.train import DistillationTargets
from teacher.teachers import Teachers, of_unlabelled

TABLE, PAGE = "search.txt", "search.html"


@dataclass(frozen=True)
class SearchOptions:
    """What a user asks for: the candidates of a file `ladder` and of `tries`, families by name, and how to go on
    about it; `threads` are those that times are measured with."""

    out: Path
    ladder: Path | None
    tries: Mapping[str, Family]
    limits: Limits
    max_f1_drop: float
    threads: int = 1
    jobs: int = 1
    resume: bool = False
    overwrite: bool = False
    report_to: tuple[str, ...] = ()


def lesson_of(sources: TeacherSources, settings: Recipe, splits: Splits) -> Lesson:
    """What all candidates learn from: as in distill train-student. Raises RunError and DataError."""
    teachers = Teachers.open(sources, splits.labels)
    teachers.introduce(settings.student.distill, splits, splits.unlabelled)
    extra = teachers.taught(splits.unlabelled)
    folds = teachers.folds(splits.train, extra) if sources.runs else []
    targets = DistillationTargets(teachers.soft_targets([*splits.train, *extra]), folds, extra)
    depends_on = teachers.depends_on() | of_unlabelled(extra, folds, len(splits.train))
    return Lesson.of(splits, targets, depends_on, learned=bool(sources.runs))


def run_search(options: SearchOptions, sources: TeacherSources, settings: Recipe, splits: Splits) -> SearchReport:
    """Search, and write search.json, search.txt, search.html, which needs distill[plots], and best.toml. Raises as
    `distill.search_student` does."""
    candidates = ladder_of(options.ladder, options.tries, settings)
    lesson = lesson_of(sources, settings, splits)
    depends_on = {"candidates": {each.name: each.depends_on() for each in candidates}, **lesson.depends_on}
    depends_on["threads"] = options.threads  # times of other threads are not to be compared
    start = RunStart("student", settings.student, splits, depends_on)
    out, resume = options.out, options.resume
    plan = Plan(candidates, options.limits, options.max_f1_drop, options.jobs, detect_target())
    with claim_run(out, start, resume, options.overwrite), follow(out, start, resume, options.report_to) as run:
        tracking = run.followers.tracking

        def log(row: Row) -> None:
            if row.f1 is not None:
                tracking.log({"f1": row.f1.value}, row.folds, row.name)

        asked = partial(measure, examples=splits.dev, threads=options.threads)
        search = Search(plan, lesson, out, asked, log)
        report = search.run()
        chosen = None if report.chosen is None else search.by_name[report.chosen.name]
        tracking.log_files(_write(report, chosen, out))
    return report


def _write(report: SearchReport, chosen: Candidate | None, out: Path) -> list[Path]:
    """What is made of search.json; the files, search.json first."""
    written = [out / SEARCH, out / TABLE]
    grids: tuple[Grid, ...] = (tables.candidates(report), tables.settings(report))
    texts = [to_text(table) for grid in grids for table in grid.to_rich(PIPE_WIDTH)]
    write_text(out / TABLE, "\n".join([*texts, *tables.sentences(report), ""]))
    if chosen is None:
        (out / BEST).unlink(missing_ok=True)  # of a search with other limits
    else:
        head = f"# {chosen.name}, recommended by distill search-student.\n"
        written.append(out / BEST)
        write_text(out / BEST, head + changes_to_toml(chosen.whole_recipe))
    if can_plot():
        from bench.search import page

        written.append(out / PAGE)
        page.write(report, out / PAGE)
    else:
        note(f"no page with plots: that needs matplotlib; {install_command('plots')}, then the same with --resume")
    return written


def export_words(report: SearchReport, data: Path, out: Path) -> list[str]:
    """The command, as arguments, that exports the recommended run; none without one."""
    if report.chosen is None:
        return []
    words = ["distill", "export", str(out / CANDIDATES / report.chosen.name), "--data", str(data)]
    return [*words, f"--{report.chosen.precision}", "--recipe", str(out / BEST), "--out", "runs/bundle"]
