"""`distill finetune-int8`: train a student on in int8 arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.options import column_options, dry_run_option, target_option, teacher_options, training_options
from distill.cli.results import print_json_file, same_settings
from distill.core.output.transcript import recorded
from distill.core.settings.columns import Columns


@click.command()
@click.argument("run", metavar="STUDENT", type=click.Path(path_type=Path))
@teacher_options
@target_option
@training_options("finetune.seed")
@dry_run_option
@column_options
@recorded
def finetune_int8(
    run: Path,
    teachers: tuple[Path, ...],
    teacher_answers: Path | None,
    answers_are: Any,
    target: Any,
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    report_to: tuple[str, ...],
    columns: Columns,
) -> None:
    """Fine-tune a student with quantisation-aware training.

    For a student that loses too much F1 when it is quantised. Simulates int8 in the linear layers; export then
    also tries static int8 with the activation ranges learned here.

    \b
    Example:
      distill finetune-int8 runs/student --teacher runs/teacher --data memes/ --out runs/student-int8
    """
    from distill import api
    from distill.cli.dry_run import plan_finetune, show_plan
    from distill.core.output.terminal import note
    from distill.data.run_folder import METRICS, is_run
    from distill.data.teacher_sources import TeacherSources

    if dry_run:
        sources = TeacherSources.of(teachers or None, teacher_answers, answers_are)
        return show_plan(plan_finetune(data, out, recipe, overrides, columns, student=run, sources=sources))
    was_finished = is_run(out) and not overwrite
    api.finetune_int8(
        run,
        data,
        out,
        teacher=teachers or None,
        teacher_answers=teacher_answers,
        answers_are=answers_are,
        target=target,
        recipe=recipe,
        overrides=overrides,
        resume=resume,
        overwrite=overwrite,
        columns=columns,
        report_to=report_to,
    )
    print_json_file(out / METRICS)
    if not was_finished:
        rest = same_settings(recipe, overrides, "export")
        note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle{rest}")
    return None
