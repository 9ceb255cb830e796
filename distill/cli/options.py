"""Options and checks that several commands share. Imports what is slow inside the functions."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from distill.cli.completion import complete_path, complete_setting
from distill.cli.results import json_asked
from distill.cli.standard_input import IMAGES_OF_STDIN, Rows
from distill.core.machine.cores import max_threads
from distill.core.machine.cpu import TARGETS
from distill.core.machine.device import DEVICES, using_device
from distill.core.machine.runtimes import PROVIDERS
from distill.core.output.volume import volume
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import TRACKERS
from distill.core.storage.files import refuse_existing, refuse_overwriting, refuse_working_directory

STDOUT = "-"
SPLITS = ("train", "dev", "test")


class BundlePath(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A folder or file here, or else what `OWNER/NAME[@REVISION]` names on the Hugging Face hub, fetched."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Where it stands. Raises BundleError when it had to be fetched and could not be."""
        from distill.runtime import hub

        return value if isinstance(value, Path) else hub.resolve(value)

    shell_complete = complete_path  # type: ignore[assignment]  # click gives the context by its place


class ImageSource(click.ParamType):  # type: ignore[type-arg]
    """An image file, or an image in a data: URL, as in a row."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | bytes:
        """Raises DataError for a name that no file can have."""
        from distill.data.image_names import open_name

        return value if isinstance(value, Path | bytes) else open_name(value, [Path()], "--image")

    shell_complete = complete_path  # type: ignore[assignment]  # click gives the context by its place


class NewFolder(click.Path):
    """A folder that a command writes as a whole, or replaces."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Raises OutputError for the directory that the user is in, before hours of work."""
        if value == STDOUT:
            self.fail("a folder cannot be written to standard output; name one", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        refuse_working_directory(path)
        return path


BUNDLE = BundlePath()
IMAGE = ImageSource()
NEW_FOLDER = NewFolder()
FILE = click.Path(path_type=Path)
ROWS = Rows()
SEED = click.IntRange(0, 2**32 - 1)  # numpy's generators take no larger one
THREADS = click.IntRange(0, max_threads())
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_option = click.option(
    "--data",
    required=True,
    type=ROWS,
    metavar="DATA",
    help="Folder with train, dev and optionally test files (.json, .jsonl, .csv, .tsv, .parquet), one file, split "
    "70/15/15, a published dataset (docs/data.md), OWNER/NAME on the Hugging Face hub, or - for rows on standard "
    "input.",
)

split_option = click.option(
    "--split", type=click.Choice(SPLITS), help="Split to use.  [default: test if it has labels, else dev]"
)

recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with settings that differ from the defaults.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_setting,
    help="Override one setting of the recipe (distill recipe lists them). Repeatable.",
)

report_to_option = click.option(
    "--report-to",
    multiple=True,
    type=click.Choice((*TRACKERS, "none")),
    help="Tracker to log to, in place of the recipe's. Repeatable.",
)

one_label_option = click.option(
    "--one-label",
    is_flag=True,
    help="Exactly one label is true of each row, as in multi-class data: the most probable one is decided. For "
    "groups of labels, see [labels.groups] in docs/data.md.",
)

target_option = click.option(
    "--target", type=click.Choice(TARGETS), help="Processor to quantise for.  [default: this one]"
)


def opening_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What opens a Bundle, which the command gets as `provider` and `runtime`."""
    options: list[Decorator] = [
        click.option(
            "--provider",
            default="cpu",
            show_default=True,
            type=click.Choice(PROVIDERS),
            help="Execution provider of onnxruntime, where the installed onnxruntime has it.",
        ),
        click.option(
            "--runtime",
            type=click.Choice(("onnxruntime", "openvino")),
            help="Runtime to open a Bundle for onnxruntime in.  [default: what its manifest names]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def teacher_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who teaches a student: a run, several, or answers in a file."""
    options: list[Decorator] = [
        click.option(
            "--teacher",
            "teachers",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="RUN",
            help="Output folder of train-teacher. Repeatable, for an ensemble.",
        ),
        click.option(
            "--teacher-answers",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A probability or logit for each id and label, from any other model or from annotators (.jsonl, "
            ".json, .csv, .tsv, .parquet, .npz). In place of --teacher, or as one teacher more.",
        ),
        click.option(
            "--answers-are",
            type=click.Choice(("probabilities", "logits")),
            help="What --teacher-answers holds, where its values do not tell.",
        ),
    ]
    return applied(command, options)


def applied(command: Callable[..., Any], options: Sequence[Decorator]) -> Callable[..., Any]:
    """The command with the options, which help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


abstain_option = click.option(
    "--abstain",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="PRECISION",
    help="Answer only where the labels predicted hold this precision, 0.8, 0.9 or 0.95, and mark the other posts "
    'with "ask", for a person to decide.',
)

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace what is at --out already.")


def _inputs(options: dict[str, Any], written: Sequence[str]) -> list[Path]:
    """The paths that a command reads, of all its options; what bench compares with is read before it is written."""
    values = [value for name, value in options.items() if name not in (*written, "compare")]
    each = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [path for path in each if isinstance(path, Path)]


def out_file(
    what: str, more: str = "", beside: Sequence[str] = (), otherwise: Callable[..., Path] | None = None, **how: Any
) -> Decorator:
    """-o, --out and --overwrite of a command that writes a file, one of the option `more`, and files of the same
    name with the suffixes `beside`. `otherwise` makes the file's name of the other options.

    What exists is refused before the work begins. A file that is JSON may be "-", which is --json.
    """
    option = click.option("-o", "--out", type=FILE, metavar="FILE", help=what, **how)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def checked(*arguments: Any, overwrite: bool, **options: Any) -> Any:
            if str(options["out"]) == STDOUT:
                if "JSON" not in what:
                    raise click.UsageError(f"--out -: {what.rstrip('.')} cannot go to standard output; name a file")
                volume.tables, options["out"] = False, None
            if options["out"] is None and otherwise is not None:
                options["out"] = otherwise(**options)
            for path in (path for name in ("out", more) if (path := options.get(name)) is not None):
                refuse_existing(path, overwrite)
            for suffix in beside:
                refuse_existing(options["out"].with_suffix(suffix), overwrite)
            if options["out"] is not None:
                refuse_overwriting(options["out"], *_inputs(options, written=("out", more)))
            return command(*arguments, **options)

        return applied(checked, [option, overwrite_option])

    return decorate


def out_folder(what: str, metavar: str = "FOLDER") -> Decorator:
    """-o, --out and --overwrite of a command that writes a folder, which gets both."""
    option = click.option("-o", "--out", required=True, type=NEW_FOLDER, metavar=metavar, help=what)
    return lambda command: applied(command, [option, overwrite_option])


json_option = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=json_asked,
    help="Print the result as JSON on standard output, in place of tables.",
)
dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Check everything, say what would be done, how long and how large; write nothing.",
)


_seed_option = click.option("--seed", type=SEED, help="Seed of the training.  [default: that of the recipe]")


unlabelled_option = click.option(
    "--unlabelled",
    type=ROWS,
    metavar="FILE",
    help="Unlabelled rows (.json, .jsonl, .csv) that the teacher, or the answers, label for the student.",
)
unlabelled_to_folds_option = click.option(
    "--unlabelled",
    type=ROWS,
    metavar="FILE",
    help="Unlabelled rows (.json, .jsonl, .csv) that the folds' teachers answer too, so that students' folds learn "
    "from them.",
)


def training_options(*seeded: str, with_recipe: bool = True) -> Decorator:
    """The options that all commands share which train; --seed sets these keys of the recipe, if any are named."""
    options: list[Decorator] = [
        *([recipe_option, one_label_option] if with_recipe else []),
        data_option,
        click.option("-o", "--out", required=True, type=NEW_FOLDER, metavar="FOLDER", help="Folder to write to."),
        set_option,
        *([_seed_option] if seeded else []),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            type=click.Choice(DEVICES),
            help="Where to train; auto takes a CUDA GPU if there is one, else the CPU.",
        ),
        click.option("--resume", is_flag=True, help="Continue an interrupted run."),
        click.option("--overwrite", is_flag=True, help="Replace a run at --out, once the new one is finished."),
        json_option,
        report_to_option,
    ]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def seeded_on_device(*arguments: Any, device: Any, **given: Any) -> Any:
            if given.pop("one_label", False):
                given["overrides"] = (*given["overrides"], "labels.one_label=true")
            if seeded and (seed := given.pop("seed")) is not None:
                given["overrides"] = (*given["overrides"], *(f"{key}={seed}" for key in seeded))
            with using_device(device):
                return command(*arguments, **given)

        return applied(seeded_on_device, options)

    return decorate


TABS = ("tab", "\\t")  # how a shell's user writes one
_COLUMN_OPTIONS: list[Decorator] = [
    *(
        click.option(f"--{role}-column", default="", metavar="NAME", help=f"Column of the {what}; - for none.")
        for role, what in (("id", "ids"), ("text", "texts"), ("image", "images"))
    ),
    click.option(
        "--label-columns",
        "--label-column",
        "label_columns",
        multiple=True,
        metavar="NAME,...",
        help='Column of label names, or one column of 0 and 1 for each label; "is_*" is all that it matches.',
    ),
    click.option("--label-separator", default="", metavar="TEXT", help="What stands between labels of one cell."),
    click.option(
        "--label-cut", type=float, metavar="NUMBER", help="Least number that counts as 1 in label columns."
    ),
    click.option(
        "--images", default="", type=click.Path(), metavar="FOLDER", help="Folder that the rows' images are in."
    ),
]


def column_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that read rows, which they get as one argument, `columns`."""

    @functools.wraps(command)
    def with_columns(*arguments: Any, **options: Any) -> Any:
        labels = tuple(name.strip() for names in options.pop("label_columns") for name in names.split(","))
        separator = options.pop("label_separator")
        columns = Columns(
            id=options.pop("id_column"),
            text=options.pop("text_column"),
            image=options.pop("image_column"),
            labels=tuple(name for name in labels if name),
            separator="\t" if separator in TABS else separator,
            cut=options.pop("label_cut"),
            images=os.fsdecode(options.pop("images")) or click.get_current_context().meta.get(IMAGES_OF_STDIN, ""),
        )
        return command(*arguments, columns=columns, **options)

    return applied(with_columns, _COLUMN_OPTIONS)
