"""The folder of an inspection: figures, page and plot files, whole or not at all.

FOLDER/
  inspect.json        every figure; the rest is made from it and from the images of the examples
  index.html          the page
  confusion.png, precision-recall.png, together-gold.png, together-decided.png, learning.png (of a run alone),
  calibration.png, most-wrong.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.inspect.findings import Findings
from distill.core.errors import OutputError
from distill.core.extras import require_extra
from distill.core.files import atomic_folder, write_json, write_text
from distill.data.dataset import Example

FIGURES, PAGE = "inspect.json", "index.html"


def ready(out: Path, overwrite: bool) -> None:
    """Look for what would stop `write`, before the long work. Raises OutputError, and BenchError without matplotlib
    and Jinja2."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not (out / FIGURES).is_file():
            raise OutputError(f"{out}: holds files that are not an inspection; choose another --out")
        if not overwrite:
            raise OutputError(f"{out}: holds an inspection; pass --overwrite to replace it")
    require_extra("plots", "the page")


def write(findings: Findings, examples: Sequence[Example], out: Path, overwrite: bool = False) -> Path:
    """The whole folder; the page's path. Raises OutputError, and BenchError without matplotlib and Jinja2."""
    ready(out, overwrite)
    from bench.inspect import page
    from bench.inspect.examples import thumbnails

    images = thumbnails(examples, findings.wrong)
    with atomic_folder(out) as folder:
        write_json(folder / FIGURES, findings.to_json())
        write_text(folder / PAGE, page.to_html(findings, images))
        for name, plot in page.plots_of(findings, images).items():
            plot.png(folder / f"{name}.png")
    return out / PAGE
