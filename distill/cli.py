"""The command line: one thin command each. Imports what is slow inside the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from distill import __version__
from distill.commands import Commands
from export.isa import TARGETS


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="distill")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Train a teacher, distil a student, export it as int8 ONNX, and measure them all on a CPU.

    \b
    distill train-teacher --data DIR --out runs/teacher
    distill train-student --data DIR --teacher runs/teacher --out runs/student
    distill export runs/student --data DIR --int8 --out runs/bundle
    distill bench runs/bundle --data DIR --against runs/teacher --against runs/student
    distill predict runs/bundle --image meme.jpg --text "..."

    To see all of it work on generated data, without any download: distill demo
    """


def run() -> None:
    """What the `distill` script calls."""
    main(prog_name="distill")


Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

data_option = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder with train, dev and perhaps test (.json, .jsonl or .csv), or one file that is split 70/15/15.",
)


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both training commands share."""
    options: list[Decorator] = [
        data_option,
        click.option("--out", required=True, type=click.Path(path_type=Path), help="The run's folder."),
        click.option("--recipe", type=click.Path(path_type=Path), help="A TOML file laid over the defaults."),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one recipe value."),
        click.option("--resume", is_flag=True, help="Go on with an interrupted run."),
        click.option("--overwrite", is_flag=True, help="Remove the run that stands at --out first."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _checked(data: Path, run: Path | None = None) -> Any:
    """Splits that passed the integrity check; the label set of `run` when one is given."""
    from distill.data import read_splits
    from distill.integrity import check
    from distill.terminal import note, warn

    labels = None
    if run is not None:
        from bench.quality import labels_of

        labels = labels_of(run)
    splits = read_splits(data, labels)
    for line in check(splits).warnings:
        warn(line)
    sizes = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} test"
    note(f"{data}: {sizes} examples, {len(splits.labels)} labels")
    return splits


@main.command()
@training_options
def train_teacher(
    data: Path, out: Path, recipe: Path | None, overrides: tuple[str, ...], resume: bool, overwrite: bool
) -> None:
    """Train the full model: focal loss, early stopping, thresholds, and logits for its students.

    \b
    Example:
      distill train-teacher --data memes/ --out runs/teacher --set teacher.epochs=12
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).teacher
    splits = _checked(data)
    from distill.checkpoint import begin
    from distill.terminal import note
    from teacher import train

    if not begin(out, "teacher", config, splits, resume, overwrite):
        return note(f"{out}: this run is finished already")
    train.train(config, splits, out, resume)
    return note(f"Teacher in {out}. Next: distill train-student --data {data} --teacher {out} --out runs/student")


@main.command()
@click.option(
    "--teacher",
    "teachers",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="A finished teacher's folder; several teach as an ensemble.",
)
@click.option(
    "--unlabelled",
    type=click.Path(path_type=Path),
    help="Rows without labels (.json, .jsonl or .csv) that the teacher labels and the student learns from too.",
)
@click.option("--control", is_flag=True, help="Also train the same student without the teacher, and judge.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Repeat the comparison; implies --control.",
)
@training_options
def train_student(
    data: Path,
    teachers: tuple[Path, ...],
    unlabelled: Path | None,
    control: bool,
    seeds: int,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
) -> None:
    """Distil a teacher's stored outputs and the labels into a small model.

    \b
    Examples:
      distill train-student --data memes/ --teacher runs/teacher --out runs/student
      distill train-student --data memes/ --teacher runs/teacher --out runs/student --control --seeds 3
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).student
    splits = _checked(data, teachers[0])
    from distill.checkpoint import begin, weights_of
    from distill.integrity import content_hash, read_unlabelled
    from distill.terminal import note
    from student import control as experiment
    from student import train
    from student.verdict import Verdict
    from teacher.targets import gather, gather_folds

    extra = read_unlabelled(unlabelled, splits) if unlabelled else []
    named = {"teachers": [weights_of(t) for t in teachers], "unlabelled": sorted(map(content_hash, extra))}
    if not begin(out, "student", config, splits, resume, overwrite, named):
        return note(f"{out}: this run is finished already")
    folds = gather_folds(teachers, splits.train) if config.out_of_fold else []
    lessons = train.Lessons(gather(teachers, [*splits.train, *extra]), folds, extra)

    def compare() -> Verdict:
        place = out / "training"
        return experiment.compare(config, splits, lessons, lambda e: gather(teachers, e), seeds, place, resume)

    train.train(config, splits, lessons, out, resume, compare if control or seeds > 1 else None)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")


@main.command()
@click.argument("run", metavar="STUDENT", type=click.Path(path_type=Path))
@click.option(
    "--teacher",
    "teachers",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="The teacher's folder; several teach as an ensemble.",
)
@click.option("--target", type=click.Choice(TARGETS), help="Processor; default: this one.")
@training_options
def finetune_int8(
    run: Path,
    teachers: tuple[Path, ...],
    target: Any,
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    overwrite: bool,
) -> None:
    """Train a student on in int8 arithmetic, for one that loses too much when it is quantised.

    Only its matrix products are rounded; export then writes them as static int8 in the ranges learned here.

    \b
    Example:
      distill finetune-int8 runs/student --teacher runs/teacher --data memes/ --out runs/student-int8
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).finetune
    splits = _checked(data, run)
    from distill.checkpoint import Checkpoint, begin, weights_of
    from distill.terminal import note
    from export.isa import detect, weight_limit
    from student.finetune import fine_tune
    from student.train import Lessons
    from teacher.targets import gather

    student, limit = Checkpoint.load(run), weight_limit(target or detect())
    named = {"student": student.sha256, "teachers": [weights_of(t) for t in teachers], "weight_limit": limit}
    named["finetune"] = [config.epochs, config.learning_rate]
    if not begin(out, "student", student.classifier.config, splits, resume, overwrite, named):
        return note(f"{out}: this run is finished already")
    fine_tune(student, config, splits, Lessons(gather(teachers, splits.train)), limit, out, resume)
    return note(f"Student in {out}. Next: distill export {out} --data {data} --int8 --out runs/bundle")


@main.command()
@click.argument("run", metavar="STUDENT", type=click.Path(path_type=Path))
@data_option
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The Bundle's folder.")
@click.option("--int8", is_flag=True, help="Quantise; the fp32 parent is written beside it, as OUT-fp32.")
@click.option("--target", type=click.Choice(TARGETS), help="Processor; default: this one.")
@click.option("--recipe", type=click.Path(path_type=Path), help="A TOML file laid over the defaults.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one recipe value.")
def export(
    run: Path, data: Path, out: Path, int8: bool, target: Any, recipe: Path | None, overrides: tuple[str, ...]
) -> None:
    """Make the folder that ships: ONNX checked against torch, quantised, thresholds fitted on it.

    \b
    Example:
      distill export runs/student --data memes/ --int8 --out runs/bundle
    """
    from distill.recipe import Recipe

    config = Recipe.load(recipe, overrides).export
    splits = _checked(data, run)
    from distill.checkpoint import Checkpoint
    from distill.terminal import note
    from export.isa import detect
    from export.pipeline import export_run

    bundles = export_run(Checkpoint.load(run), splits, config, int8, target or detect(), out)
    for bundle in bundles:
        note(f"{bundle.precision} Bundle in {bundle.folder}, {bundle.size_bytes() / 1e6:.1f} MB")
    note(f"Next: distill bench {out} --data {data} --against {run}")


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@data_option
@click.option("--against", multiple=True, type=click.Path(path_type=Path), help="A run or Bundle to compare with.")
@click.option(
    "--split", type=click.Choice(["train", "dev", "test"]), help="Default: test where there is one, else dev."
)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="Threads of every variant.")
@click.option(
    "--calls", default=200, show_default=True, type=click.IntRange(1), help="Timed calls of every variant."
)
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file; default: BUNDLE-bench.json.")
def bench(
    bundle: Path,
    data: Path,
    against: tuple[Path, ...],
    split: str | None,
    threads: int,
    calls: int,
    out: Path | None,
) -> None:
    """Compare F1, latency, cold start, memory and size; an int8 Bundle's fp32 parent joins by itself.

    \b
    Example:
      distill bench runs/bundle --data memes/ --against runs/teacher --against runs/student
    """
    splits = _checked(data, bundle)
    from bench.report import to_table
    from bench.run import run
    from distill.terminal import note, output

    out = out or bundle.with_name(f"{bundle.name}-bench.json")
    split = split or ("test" if any(example.labels for example in splits.test) else "dev")
    output.print(to_table(run(bundle, against, splits, split, threads, calls, out)))
    note(f"Written: {out} and {out.with_suffix('.md')}")


@main.command()
@click.argument("folder", metavar="RUN_OR_BUNDLE", type=click.Path(path_type=Path))
@data_option
@click.option("--split", default="dev", show_default=True, type=click.Choice(["train", "dev", "test"]))
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to this JSON file.")
def evaluate(folder: Path, data: Path, split: str, out: Path | None) -> None:
    """Micro- and macro-F1 with intervals, and every label, beside the constant predictor.

    \b
    Example:
      distill evaluate runs/bundle --data memes/ --split test
    """
    splits = _checked(data, folder)
    from bench.quality import judge, show

    judged = judge(folder, split, splits.named(split))
    show(judged, splits, split)
    if out is not None:
        from dataclasses import asdict

        from distill.files import write_json

        write_json(out, asdict(judged))


@main.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="One picture.")
@click.option("--text", default="", help="The text on that picture, or a text without a picture.")
@click.option("--out", type=click.Path(path_type=Path), help="Write JSON lines here and not to standard output.")
@click.option("--threads", default=0, show_default="all cores", type=click.IntRange(0))
def predict(
    bundle: Path, source: Path | None, image: Path | None, text: str, out: Path | None, threads: int
) -> None:
    """Labels and probabilities as JSON lines, for one picture, a file of rows, or a folder of pictures.

    A row that cannot be read gets a line with an "error"; the others are answered, and the exit code is 1.
    In a folder, the text of a.jpg is looked for in a.txt. A post may lack its text or its picture.

    \b
    Examples:
      distill predict runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill predict runs/bundle posts.jsonl --out answers.jsonl
    """
    single = image is not None or text.strip() != ""
    if single == (source is not None):
        raise click.UsageError(
            "give either --image FILE and --text TEXT, or one of them, or a SOURCE (a .jsonl, .csv or .json file, "
            "or a folder)"
        )
    from distill.data import Example
    from distill.items import count_items, read_items
    from export.answers import write_answers
    from export.runtime import Predictor

    predictor = Predictor.load(bundle, threads)
    one = Example(image.name if image else "text", text, image, ())
    items = read_items(source) if source else iter([one])
    total = count_items(source) if source else 1
    faults = write_answers(predictor.predict_many(items), total, out)
    if faults:
        click.echo(f"error: {faults} row(s) could not be read; their lines say why", err=True)
        click.get_current_context().exit(1)


@main.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder for the three files.")
@click.option("--seed", default=13, show_default=True, help="The same seed gives the same split.")
def split(source: Path, out: Path, seed: int) -> None:
    """Divide one labelled file 70/15/15 into train, dev and test, every label in its proportion.

    \b
    Example:
      distill split all.json --out memes/
    """
    from distill.split_files import split_file
    from distill.terminal import note

    sizes = split_file(source, out, seed)
    note(f"{out}: {sizes[0]} train, {sizes[1]} dev, {sizes[2]} test; how it was made stands in split.json")


@main.command()
@click.option(
    "--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="A folder for it all."
)
def demo(out: Path) -> None:
    """The whole chain on generated pictures with tiny random encoders: offline, in minutes on two cores.

    \b
    Example:
      distill demo
    """
    from distill.demo import run_demo

    run_demo(out)


if __name__ == "__main__":
    run()
