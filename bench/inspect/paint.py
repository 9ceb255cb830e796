"""What the plots share: their colours, a file of each, cells of a heat map. Knows matplotlib and no findings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from bench.report.page.html import plain
from bench.report.page.style import COLOURS, OTHERS, OWN, PAPER
from bench.report.page.svg import CHARACTER, drawing, width_of

GOLD = OTHERS[0]  # what the truth says, and what is missed of it
PREDICTED = OWN  # what the model says, and what it says wrongly
HIT = OTHERS[6]  # what both say
DOTS_PER_INCH = 160
SEEN = {to_hex(colour.drawn): colour.light for colour in COLOURS}

Cell = tuple[int, int]  # row, column


def save_png(figure: Figure, path: Path) -> None:
    """The plot as a file on white. Its reserved colours become the light theme's, in place: draw it anew for a
    page."""
    with drawing(), warnings.catch_warnings():
        figure.draw_without_rendering()  # ticks are made only then, and must be there to be coloured
        for part in figure.findobj():
            _colour(part)
            if isinstance(part, Text) and part.get_bbox_patch() is not None:
                _colour(part.get_bbox_patch())
        figure.savefig(
            path,
            dpi=DOTS_PER_INCH,
            facecolor=PAPER.light,
            metadata={"Software": None},
            bbox_inches="tight",
            pad_inches=0.1,
        )


def _colour(part: object) -> None:
    if isinstance(part, Text):
        part.set_color(_light(part.get_color()))
    elif isinstance(part, Line2D):
        part.set_color(_light(part.get_color()))
        part.set_markerfacecolor(_light(part.get_markerfacecolor()))
        part.set_markeredgecolor(_light(part.get_markeredgecolor()))
    elif isinstance(part, Patch):
        # An alpha of the whole patch stays where it is, and holds for the new colours too.
        part.set_facecolor(_light(part.get_facecolor()))
        part.set_edgecolor(_light(part.get_edgecolor()))
    elif isinstance(part, PolyCollection):
        part.set_facecolor([_light(colour) for colour in part.get_facecolor()])


def _light(colour: object) -> object:
    """As it is seen; an unreserved colour, and "none", as it is."""
    if isinstance(colour, str) and colour == "none":
        return colour
    red, green, blue, alpha = to_rgba(colour)
    seen = SEEN.get(to_hex((red, green, blue)))
    return colour if seen is None or alpha == 0 else (*to_rgba(seen)[:3], alpha)


def sheet(width: float, height: float) -> Figure:
    """An empty plot of any width, in units."""
    return Figure(figsize=(width / 72, height / 72))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose corner is so far from the plot's, all in units."""
    wide, high = figure.get_figwidth() * 72, figure.get_figheight() * 72
    return figure.add_axes((left / wide, (high - top - height) / high, width / wide, height / high))


def cells(ax: Axes, found: Sequence[Cell], colour: str, strength: float) -> None:
    """Squares of one colour as a single shape, which keeps the page small."""
    squares = [Outline.unit_rectangle().transformed(Affine2D().translate(column, row)) for row, column in found]
    if squares:
        shape = Outline.make_compound_path(*squares)
        ax.add_patch(PathPatch(shape, facecolor=colour, edgecolor="none", linewidth=0, alpha=strength))


def wrapped(text: str, room: float, size: float, lines: int) -> str:
    """Broken at words to at most so many lines; what has no room ends in an ellipsis."""
    most, made, left = max(2, int(room / (size * CHARACTER))), list[str](), plain(text).split()
    while left and len(made) < lines:
        line = left.pop(0)
        while left and len(line) + 1 + len(left[0]) <= most:
            line += f" {left.pop(0)}"
        if len(line) > most or width_of(line, size) > room:
            line, rest = _cut(line, room, size)
            left.insert(0, rest)
        made.append(line)
    if left and made:
        made[-1] = f"{made[-1][: most - 1].rstrip()}…"
    return "\n".join(made)


def _cut(line: str, room: float, size: float) -> tuple[str, str]:
    """As many characters as have room, at least one, and the rest."""
    keep = len(line)
    while keep > 1 and width_of(line[:keep], size) > room:
        keep -= 1
    return line[:keep], line[keep:]
