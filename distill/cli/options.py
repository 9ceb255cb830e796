"""Options and checks that several commands share. Imports what is slow inside the functions."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from distill.core.columns import Columns
from distill.core.cores import max_threads
from distill.core.cpu import TARGETS
from distill.core.files import refuse_working_directory


class BundlePath(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click alone
    """A folder or file here, or else what `OWNER/NAME[@REVISION]` names on the Hugging Face hub, fetched."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Where it stands. Raises BundleError when it had to be fetched and could not be."""
        from distill.runtime import hub

        return value if isinstance(value, Path) else hub.resolve(value)


class ImageSource(click.ParamType):  # type: ignore[type-arg]
    """An image file, or an image in a data: URL, as in a row."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | bytes:
        """Raises DataError for a name that no file can have."""
        from distill.data.image_names import open_name

        return value if isinstance(value, Path | bytes) else open_name(value, [Path()], "--image")


class NewFolder(click.Path):
    """A folder that a command writes as a whole, or replaces."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Raises OutputError for the directory that the user is in, before hours of work."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        refuse_working_directory(path)
        return path


BUNDLE = BundlePath()
IMAGE = ImageSource()
NEW_FOLDER = NewFolder()
SEED = click.IntRange(0, 2**32 - 1)  # numpy's generators take no larger one
THREADS = click.IntRange(0, max_threads())
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_option = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DATA",
    help="Folder with train, dev and optionally test files (.json, .jsonl, .csv, .tsv, .parquet), one file, split "
    "70/15/15, a published dataset (docs/data.md), or OWNER/NAME on the Hugging Face hub.",
)

recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="TOML file with settings that differ from the defaults.",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting of the recipe. Repeatable."
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
    for option in reversed(options):
        command = option(command)
    return command


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that commands share which train by a recipe. `--one-label` is a setting of it."""

    @functools.wraps(command)
    def with_one_label(*arguments: Any, one_label: bool, overrides: tuple[str, ...], **options: Any) -> Any:
        overrides = (*overrides, *(["labels.one_label=true"] if one_label else []))
        return command(*arguments, overrides=overrides, **options)

    return retraining_options(recipe_option(one_label_option(with_one_label)))


def retraining_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the recipe, for a training that has one already."""
    options: list[Decorator] = [
        data_option,
        click.option(
            "--out",
            required=True,
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Folder to write to.",
        ),
        set_option,
        click.option("--resume", is_flag=True, help="Continue an interrupted run."),
        click.option("--overwrite", is_flag=True, help="Delete an existing run at --out first."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


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
            images=os.fsdecode(options.pop("images")),
        )
        return command(*arguments, columns=columns, **options)

    with_options: Callable[..., Any] = with_columns
    for option in reversed(_COLUMN_OPTIONS):
        with_options = option(with_options)
    return with_options
