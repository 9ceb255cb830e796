"""`distill export`: a student to Bundles, and a Bundle to a page. Imports what is slow inside the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.options import NEW_FOLDER, recipe_option, set_option, target_option

MAKING = ("data", "int8", "int4", "target", "max_f1_drop", "embed", "recipe", "overrides")


@click.command()
@click.argument("run", metavar="STUDENT_OR_BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="What the student was trained on: a folder, or one file.  [required for a student]",
)
@click.option("--out", required=True, type=NEW_FOLDER, help="The Bundle's folder.")
@click.option("--int8", is_flag=True, help="Quantise; the fp32 parent is written beside it, as OUT-fp32.")
@click.option("--int4", is_flag=True, help="Weights in 4 bits: smaller still, and slower than int8.")
@target_option
@click.option("--max-f1-drop", type=click.FloatRange(0), help="Micro-F1 on dev that quantising may cost.  [0.01]")
@click.option("--embed", is_flag=True, help="Put everything into model.onnx too, so that it serves alone.")
@click.option("--web", is_flag=True, help="Also write OUT-web, a page that runs the Bundle in a browser.")
@click.option(
    "--ort-web",
    type=click.Path(path_type=Path),
    help="The .tgz that `npm pack` makes of onnxruntime-web, for a machine without npm.",
)
@recipe_option
@set_option
def export(
    run: Path,
    data: Path | None,
    out: Path,
    int8: bool,
    int4: bool,
    target: Any,
    max_f1_drop: float | None,
    embed: bool,
    web: bool,
    ort_web: Path | None,
    recipe: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Make the folder that ships: ONNX checked against torch, quantised within a budget of F1, thresholds fitted on
    it. Nothing is written when torch and ONNX differ, or when quantising costs too much or gains nothing.

    With --web, a page beside it runs the Bundle in a browser; a finished Bundle gets its page at OUT.

    \b
    Examples:
      distill export runs/student --data memes/ --int8 --web --out runs/bundle
      distill export runs/bundle --web --out runs/bundle-web
    """
    from distill.runtime import hub
    from distill.runtime.bundle import is_bundle

    if web and data is None:
        run = hub.resolve(str(run))
    if ort_web is not None and not web:
        raise click.UsageError("--ort-web is what --web takes its files from; give both")
    if is_bundle(run):
        given = click.get_current_context().params
        if not web or any(given[name] for name in MAKING):
            raise click.UsageError(
                f"{run} is a Bundle already: all to be made of it is a page, with --web --out DIR"
            )
        return _page(run, out, ort_web)
    if data is None:
        raise click.UsageError(f"{run} is no Bundle; to make one of a student, give its --data")
    if int8 and int4:
        raise click.UsageError("give --int8 or --int4, and run it again for the other")
    if max_f1_drop is not None:
        overrides = (*overrides, f"export.max_f1_drop={max_f1_drop}")
    from distill import api
    from distill.core.terminal import note

    place = out.with_name(f"{out.name}-web")
    if web:  # what would refuse the page is asked before the long work
        _prepare(run, place, ort_web)
    precision: Any = "int8" if int8 else "int4" if int4 else "fp32"
    api.export(run, data, out, precision=precision, target=target, embed=embed, recipe=recipe, overrides=overrides)
    if web:
        _page(out, place, ort_web)
    return note(f"Next: distill bench {out} --data {data} --against {run}")


def _prepare(student: Path, place: Path, ort_web: Path | None) -> None:
    from distill.data.run_folder import TOKENIZER, read_run
    from distill.runtime.web.onnxruntime_web import load_runtime
    from distill.runtime.web.page import check_page_replaceable
    from distill.runtime.web.tokenizer import check_tokenizer

    check_page_replaceable(place)
    read_run(student)
    check_tokenizer((student / TOKENIZER).read_text(encoding="utf-8"))
    load_runtime(ort_web)


def _page(bundle: Path, out: Path, ort_web: Path | None) -> None:
    from distill.core.terminal import note
    from distill.runtime.web.onnxruntime_web import load_runtime
    from distill.runtime.web.page import write_page

    write_page(bundle, out, load_runtime(ort_web))
    note(f"Page in {out}; to see it: python3 -m http.server --directory {out}, then open http://localhost:8000")
