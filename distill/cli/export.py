"""`distill export`: a student to Bundles, and a Bundle to a web page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill.cli.baseline_options import baseline_options
from distill.cli.exits import exits
from distill.cli.options import (
    ROWS,
    column_options,
    dry_run_option,
    json_option,
    out_folder,
    recipe_option,
    set_option,
    target_option,
)
from distill.cli.results import print_json
from distill.core.machine.runtimes import Runtime
from distill.core.settings.columns import Columns

if TYPE_CHECKING:
    from distill.core.settings.recipe import Recipe

STUDENT_OPTIONS = (
    "id_column",
    "text_column",
    "image_column",
    "label_columns",
    "label_separator",
    "label_cut",
    "images",
    "data",
    "int8",
    "int4",
    "target",
    "max_f1_drop",
    "embed",
    "recipe",
    "overrides",
)


@click.command()
@exits({1: "the exported model does not agree with PyTorch; nothing was written"})
@click.argument("run", metavar="STUDENT_OR_BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=ROWS,
    metavar="DATA",
    help="Dataset that the student was trained on.  [required for a student]",
)
@out_folder("Folder to write the Bundle to.", metavar="BUNDLE")
@click.option("--int8", is_flag=True, help="Quantise to int8. The fp32 Bundle is written beside it, as OUT-fp32.")
@click.option("--int4", is_flag=True, help="Quantise weights to 4 bits: smaller than int8, and slower.")
@target_option
@click.option(
    "--max-f1-drop", type=click.FloatRange(0), help="Largest acceptable loss of micro-F1 on dev.  [default: 0.01]"
)
@click.option(
    "--embed", is_flag=True, help="Also embed everything in model.onnx, so that this file is a Bundle by itself."
)
@click.option(
    "--runtime",
    default="onnxruntime",
    show_default=True,
    type=click.Choice(["onnxruntime", "openvino"]),
    help="Runtime that the Bundle is for; with openvino, NNCF quantises.",
)
@click.option(
    "--format",
    "format_",
    default="onnx",
    show_default=True,
    type=click.Choice(["onnx", "ort", "litert"]),
    help="Format of the model: ort for onnxruntime's small builds on phones, litert for LiteRT (fp32 alone).",
)
@click.option("--web", is_flag=True, help="Also write a web page that runs the Bundle, as OUT-web.")
@click.option(
    "--ort-web",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The onnxruntime-web package as `npm pack` writes it, for a machine without npm.",
)
@recipe_option
@set_option
@dry_run_option
@baseline_options
@json_option
@column_options
def export(
    run: Path,
    data: Path | None,
    out: Path,
    overwrite: bool,
    int8: bool,
    int4: bool,
    target: Any,
    max_f1_drop: float | None,
    embed: bool,
    runtime: Runtime,
    format_: str,
    web: bool,
    ort_web: Path | None,
    recipe: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    baseline: Any,
    margin: float,
    columns: Columns,
) -> None:
    """Export a student to a Bundle, the folder that ships.

    The ONNX model is checked against PyTorch, quantised within a budget of F1, and gets its own thresholds. Nothing
    is written when ONNX and PyTorch differ, or when quantising costs too much or gains nothing.

    With --web, also writes a page that runs the Bundle in a browser. Given a Bundle, writes only that page.

    \b
    Examples:
      distill export runs/student --data memes/ --int8 --web --out runs/bundle
      distill export runs/bundle --web --out runs/bundle-web
      distill export runs/student --data memes/ --int8 --runtime openvino --out runs/bundle-openvino
      distill export runs/student --data memes/ --int8 --format ort --out runs/bundle-mobile
    """
    from distill.runtime import hub
    from distill.runtime.bundle import is_bundle

    if web and data is None:
        run = hub.resolve(str(run))
    if ort_web is not None and not web:
        raise click.UsageError("--ort-web is what --web takes its files from; give both")
    if is_bundle(run):
        options = click.get_current_context().params
        formats = (options["runtime"], options["format_"]) != ("onnxruntime", "onnx")
        if not web or dry_run or formats or any(options[name] for name in STUDENT_OPTIONS):
            raise click.UsageError(
                f"{run} is a Bundle already: only a page can be made of it, with --web --out DIR"
            )
        return _page(run, out, overwrite, ort_web)
    if data is None:
        raise click.UsageError(f"{run} is no Bundle; to make one of a student, give its --data")
    if int8 and int4:
        raise click.UsageError("give --int8 or --int4, and run it again for the other")
    if runtime == "openvino" and format_ != "onnx":
        raise click.UsageError(f"--format {format_} is not opened by openvino; give --runtime or --format")
    if format_ != "onnx":
        runtime = "onnxruntime-mobile" if format_ == "ort" else "litert"
    if web and runtime != "onnxruntime":
        raise click.UsageError(f"--web runs an ONNX file, and this Bundle is for {runtime}; export it without")
    from distill import api
    from distill.core.output.terminal import note, output, warn

    if max_f1_drop is not None and not (int8 or int4):
        warn("--max-f1-drop changes nothing: neither --int8 nor --int4 is given")
    elif max_f1_drop is not None:
        overrides = (*overrides, f"export.max_f1_drop={max_f1_drop}")
    from distill.core.settings.recipe import Recipe
    from distill.core.settings.unread import unread_in_export

    page = out.with_name(f"{out.name}-web")
    precision: Any = "int8" if int8 else "int4" if int4 else "fp32"
    if dry_run:
        return _plan(
            run,
            data,
            (precision, target, out, embed, overwrite, runtime),
            Recipe.load(recipe, overrides, ["export"], unread=unread_in_export(precision, runtime)),
            columns,
        )
    if web:  # refuse the page before the long work, not after it
        _prepare(run, page, overwrite, ort_web)
    with output.held():  # the page is written before anything is printed
        bundle = api.export(
            run,
            data,
            out,
            precision=precision,
            target=target,
            embed=embed,
            overwrite=overwrite,
            runtime=runtime,
            recipe=recipe,
            overrides=overrides,
            columns=columns,
            baseline=baseline,
            margin=margin,
        )
        if web:
            _page(out, page, True, ort_web)
    print_json({"bundle": str(out), **bundle.figures})
    return note(f"Next: distill bench {out} --data {data} --against {run}")


def _prepare(student: Path, place: Path, overwrite: bool, ort_web: Path | None) -> None:
    from distill.model.checkpoint import Checkpoint
    from distill.runtime.web.onnxruntime_web import load_runtime
    from distill.runtime.web.page import refuse_existing_page
    from distill.runtime.web.tokenizer import check_tokenizer

    refuse_existing_page(place, overwrite)
    check_tokenizer(Checkpoint.load(student).classifier.tokenizer_json)
    load_runtime(ort_web)


def _plan(student: Path, data: Path, request: tuple[Any, ...], recipe: Recipe, columns: Columns) -> None:
    from distill.api import read_by_recipe
    from distill.cli.dry_run import show_export_plan
    from distill.core.machine.cpu import detect_target
    from distill.model.checkpoint import Checkpoint
    from export.pipeline import ExportRequest
    from export.plan import plan_export

    precision, target, *rest = request
    splits = read_by_recipe(data, recipe, columns, student)
    asked = ExportRequest(precision, target or detect_target(), *rest)
    show_export_plan(plan_export(Checkpoint.load(student), splits, recipe.export, asked))


def _page(bundle: Path, out: Path, overwrite: bool, ort_web: Path | None) -> None:
    from distill.core.output.terminal import note
    from distill.runtime.web.onnxruntime_web import load_runtime
    from distill.runtime.web.page import refuse_existing_page, write_page

    refuse_existing_page(out, overwrite)
    write_page(bundle, out, load_runtime(ort_web))
    note(f"Page in {out}; to see it: python3 -m http.server --directory {out}, then open http://localhost:8000")
