"""The `distill` command: its group, and a file beside this one for each command."""

from __future__ import annotations

import os
import sys

import click

from distill import __version__
from distill.cli.baseline import baseline
from distill.cli.bench import bench
from distill.cli.compare_teachers import compare_teachers
from distill.cli.data import data
from distill.cli.demo import demo
from distill.cli.evaluate import evaluate
from distill.cli.explain import explain
from distill.cli.export import export
from distill.cli.finetune_int8 import finetune_int8
from distill.cli.groups import Commands, say_error
from distill.cli.inspect import inspect
from distill.cli.launch import runs_in_several_processes
from distill.cli.predict import predict
from distill.cli.recipe import recipe
from distill.cli.retrain import retrain
from distill.cli.search_student import search_student
from distill.cli.select import select
from distill.cli.serve import serve
from distill.cli.split import split
from distill.cli.streams import open_standard_streams, output_failure
from distill.cli.train_student import train_student
from distill.cli.train_teacher import train_teacher
from distill.cli.tune import tune
from distill.cli.verify import verify
from distill.core.errors import ExitCode
from distill.core.package_guard import require_own
from distill.core.storage.files import describe_os_error

SECTIONS = {
    "Start here": (demo,),
    "Train": (
        baseline,
        train_teacher,
        train_student,
        search_student,
        compare_teachers,
        tune,
        retrain,
        finetune_int8,
    ),
    "Export and measure": (export, evaluate, inspect, bench),
    "Use a Bundle": (predict, explain, serve, verify),
    "Data and settings": (select, split, data, recipe),
}

# The packages beside distill that a command imports; the others need none.
OPTIONAL_PACKAGES = {
    "baseline": ("teacher",),
    "train-teacher": ("teacher",),
    "retrain": ("teacher",),
    "compare-teachers": ("teacher",),
    "tune": ("teacher",),
    "train-student": ("student", "teacher"),
    "search-student": ("student", "teacher", "export", "bench"),
    "finetune-int8": ("student", "teacher"),
    "export": ("export",),
    "evaluate": ("bench",),
    "inspect": ("bench",),
    "bench": ("bench",),
    "demo": ("teacher", "student", "export", "bench"),
}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="distill")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Distil multi-label classifiers of images with text into int8 models for small CPUs.

    \b
    distill train-teacher --data DATA --out runs/teacher
    distill train-student --data DATA --teacher runs/teacher --out runs/student
    distill export runs/student --data DATA --int8 --out runs/bundle
    distill bench runs/bundle --data DATA --against runs/teacher --against runs/student
    distill predict runs/bundle --image meme.jpg --text "..."

    To see it work on generated data, without any download: distill demo
    """
    require_own(*OPTIONAL_PACKAGES.get(str(ctx.invoked_subcommand), ()))
    if runs_in_several_processes(str(ctx.invoked_subcommand)):
        # torch would tell each process that all parameters are used, where they are: see trainer_arguments.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from distill.model.distributed import init_process_group

        init_process_group()


main.add_sections(SECTIONS)


def run() -> None:
    """What the `distill` script calls."""
    open_standard_streams()
    exit_code: object = 0
    try:
        main(prog_name="distill")
    except SystemExit as stop:
        exit_code = stop.code
    except OSError as error:  # such as of --help, outside of every command
        say_error(describe_os_error(error))
        exit_code = ExitCode.ERROR
    failure = output_failure()
    if failure is not None and not exit_code:
        say_error(describe_os_error(failure))
        exit_code = ExitCode.ERROR
    sys.exit(exit_code)  # type: ignore[arg-type]
