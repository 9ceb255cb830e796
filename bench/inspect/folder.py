"""The folder of an inspection: figures, page and plot files, whole or not at all. Knows findings and files.

FOLDER/
  inspect.json        every figure; the rest is made from it and from the images of the examples
  index.html          the page
  confusion.png, precision-recall.png, together-gold.png, together-decided.png, learning.png (of a run alone),
  calibration.png, most-wrong.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.inspect.findings import Findings
from distill.core.errors import OutputError
from distill.core.extras import require_extra
from distill.core.files import atomic_folder, write_json, write_text
from distill.data.dataset import Example

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES, PAGE = "inspect.json", "index.html"


def ready(out: Path, overwrite: bool) -> None:
    """Look for what would stop `write`, before the long work. Raises OutputError, and InstallError without
    matplotlib."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not (out / FIGURES).is_file():
            raise OutputError(f"{out}: holds files that are not an inspection; choose another --out")
        if not overwrite:
            raise OutputError(f"{out}: holds an inspection; pass --overwrite to replace it")
    require_extra("plots", "distill inspect")


def write(found: Findings, examples: Sequence[Example], out: Path, overwrite: bool = False) -> Path:
    """The whole folder; the page's path. Raises OutputError, and InstallError without matplotlib."""
    ready(out, overwrite)
    from bench.inspect.grid import thumbnails
    from bench.inspect.page import to_html
    from bench.inspect.paint import save_png

    small = thumbnails(examples, found.wrong)
    with atomic_folder(out) as folder:
        write_json(folder / FIGURES, found.to_json())
        write_text(folder / PAGE, to_html(found, small))
        for name, figure in _figures(found, small).items():
            save_png(figure, folder / f"{name}.png")
    return out / PAGE


def _figures(found: Findings, small: dict[int, bytes]) -> dict[str, Figure]:
    """The plots by the names of their files."""
    from bench.inspect import curves, grid, plots
    from bench.inspect.page import by_support
    from bench.inspect.paint import GOLD, PREDICTED

    order = by_support(found)
    names = [found.confusion[i].name for i in order]
    gold, decided = (
        [[counts[i][j] for j in order] for i in order] for counts in (found.together.gold, found.together.predicted)
    )
    made = {
        "confusion": plots.confusion([found.confusion[i] for i in order]),
        "precision-recall": curves.together([found.curves[i] for i in order]),
        "together-gold": plots.heat(gold, names, GOLD),
        "together-decided": plots.heat(decided, names, PREDICTED),
        "calibration": plots.calibration(found.scaling),
        "most-wrong": grid.sheet_of(found.wrong, small),
    }
    if found.training is not None:
        made["learning"] = plots.learning(found.training)
    return made
