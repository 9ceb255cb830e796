"""`distill select`: which posts to label next."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.exits import exits
from distill.cli.groups import say_error
from distill.cli.options import BUNDLE, ROWS, SEED, column_options, json_option, opening_options, out_file
from distill.cli.results import print_json
from distill.core.errors import ExitCode
from distill.core.machine.runtimes import Provider, Runtime
from distill.core.settings.columns import Columns


@click.command()
@exits({1: "some posts could not be read; the others were chosen from"})
@click.option(
    "--unlabelled",
    required=True,
    type=ROWS,
    metavar="POSTS",
    help="Posts to choose from: a file of rows, a folder of images, OWNER/NAME on the Hugging Face hub, or - for "
    "rows on standard input.",
)
@click.option("--model", required=True, type=BUNDLE, metavar="RUN_OR_BUNDLE", help="What is unsure of them.")
@click.option("--n", "n", default=100, show_default=True, type=click.IntRange(1), help="Number of posts to choose.")
@click.option(
    "--per-label",
    type=click.IntRange(0),
    help="Posts that each label has for itself, where it is the least decided; the others are chosen for all "
    "labels together.  [default: all posts, divided among the labels]",
)
@click.option(
    "--data",
    type=ROWS,
    metavar="DATA",
    help="Labelled dataset: posts that are nearly equal to one of its rows are left out.",
)
@click.option("--split", type=click.Choice(["train", "dev", "test"]), help="Split of a dataset to choose from.")
@click.option("--recursive", is_flag=True, help="Read the folders in POSTS, a folder of images, as well.")
@click.option("--seed", default=13, show_default=True, type=SEED, help="Seed of the clusters.")
@out_file("File of the posts to label (.jsonl, .csv, .tsv, .parquet).", required=True)
@json_option
@opening_options
@column_options
def select(
    unlabelled: Path,
    model: Path,
    n: int,
    per_label: int | None,
    data: Path | None,
    split: str | None,
    recursive: bool,
    seed: int,
    out: Path,
    provider: Provider,
    runtime: Runtime | None,
    columns: Columns,
) -> None:
    """Choose the posts that are worth labelling next.

    Chooses posts with labels that the model is the least sure of, near their thresholds, each unlike the others,
    and gives every label a share, so that rare ones are not forgotten. Left out are posts that carry
    a label, that a run has learned from, that are nearly equal to a row of --data, or to another post. OUT has the
    posts with all their columns, and the columns undecided (a label), probability (of that label) and reason.

    Expect little: on three datasets, from 100 to 600 labels, this was worth 0.01 of macro-F1 over posts taken at
    random, beyond chance on one of the three, and nothing in micro-F1 (docs/select.md).

    \b
    Examples:
      distill select --unlabelled posts.jsonl --model runs/teacher --n 100 --out to_label.jsonl
      distill select --unlabelled images/ --model runs/bundle --data memes/ --out to_label.csv
    """
    from distill import api

    selection = api.select(
        unlabelled,
        model,
        out,
        n=n,
        per_label=per_label,
        data=data,
        split=split,
        recursive=recursive,
        seed=seed,
        overwrite=True,
        columns=columns,
        provider=provider,
        runtime=runtime,
    )
    print_json(selection)
    if selection.failed:
        say_error(f"{len(selection.failed)} post(s) could not be read: {selection.failed[0].error}")
        click.get_current_context().exit(ExitCode.FAILED)
