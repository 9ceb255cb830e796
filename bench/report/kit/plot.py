"""Plots drawn with matplotlib in reserved colours: as SVG inside a page, which CSS colours, or as a PNG file.

Lengths are in the units of a plot's view box, which is WIDTH wide in a page. On a telephone a unit is 0.9 px.
"""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.report.kit.style import COLOURS, GRID, INK, MUTED, PAPER, Colour
from bench.report.kit.text import fit, plain, width_of

WIDTH = 360.0
SIZE = 10.0  # of text
SMALL = 9.0
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
DOTS_PER_INCH = 160  # of a PNG file
COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")  # properties of artists
LIGHT = {to_hex(colour.drawn): to_rgb(colour.light) for colour in COLOURS}

RC: dict[str, Any] = {
    "font.size": SIZE,
    "svg.fonttype": "none",
    "svg.hashsalt": "distill",
    "text.parse_math": False,  # names hold $ and _
    "text.color": INK.drawn,
    "axes.edgecolor": GRID.drawn,
    "axes.labelcolor": MUTED.drawn,
    "axes.labelsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": GRID.drawn,
    "grid.linewidth": 0.7,
    "xtick.labelcolor": MUTED.drawn,
    "ytick.labelcolor": MUTED.drawn,
    "xtick.color": GRID.drawn,
    "ytick.color": GRID.drawn,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside, or decorate what draws: our settings whatever the user's matplotlibrc says, and theirs again
    afterwards."""
    with style.context(["default", RC]), warnings.catch_warnings():
        # The browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        yield


@dataclass(frozen=True)
class Plot:
    """A figure, and in `alt` what it shows, for those who do not see it."""

    figure: Figure
    alt: str

    @drawing()
    def svg(self, prefix: str) -> Markup:
        """For a page, every id in it beginning with `prefix`."""
        text = StringIO()
        self.figure.savefig(text, format="svg", metadata={"Date": None})
        root = ElementTree.fromstring(text.getvalue())
        _strip(root)
        ids: dict[str, str] = {}
        for element in root.iter():
            for value in element.attrib.values():
                for pair in re.findall(r"^#(\S+)$|url\(#([^)]+)\)", value):
                    ids.setdefault("".join(pair), f"{prefix}-{len(ids) + 1}")
        for element in root.iter():
            _rewrite(element, ids)
        for name in ("width", "height", "version"):
            root.attrib.pop(name, None)
        root.attrib |= {"class": "plot", "role": "img", "aria-label": plain(self.alt)}
        return Markup(ElementTree.tostring(root, encoding="unicode"))

    @drawing()
    def png(self, path: Path) -> None:
        """As a file on white. The reserved colours become the light theme's, in place: no `svg` after that."""
        self.figure.draw_without_rendering()  # ticks are made only then, and must be there to be coloured
        for artist in self.figure.findobj():
            for part in filter(None, (artist, getattr(artist, "get_bbox_patch", lambda: None)())):
                for name in COLOURED:
                    read, write = getattr(part, f"get_{name}", None), getattr(part, f"set_{name}", None)
                    if read and write:
                        write(_light(read()))
        look: dict[str, Any] = {"facecolor": PAPER.light, "bbox_inches": "tight", "pad_inches": 0.1}
        self.figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None}, **look)


def canvas(height: float, width: float = WIDTH) -> Figure:
    """An empty plot."""
    return Figure(figsize=(width / 72, height / 72))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose upper left corner is so far from the plot's."""
    wide, high = figure.get_figwidth() * 72, figure.get_figheight() * 72
    return figure.add_axes((left / wide, (high - top - height) / high, width / wide, height / high))


def rows_axes(figure: Figure, rows: int, row_height: float, top: float = 2) -> Axes:
    """Axes of `rows` rows, the first on top; row i covers y from i * row_height, in units."""
    ax = place(figure, 8, top, WIDTH - 16, rows * row_height)
    ax.set_ylim(rows * row_height, 0)
    ax.yaxis.set_major_locator(NullLocator())
    return ax


def head(ax: Axes, y: float, name: str, figures: str, colour: Colour | None = None, own: bool = False) -> None:
    """A row's first line: its name left, its figures right; small without a colour."""
    across = ax.get_yaxis_transform()
    # Paper behind them: grid lines do not cross letters.
    paper = {"facecolor": PAPER.drawn, "edgecolor": "none", "pad": 1}
    text = partial(ax.text, transform=across, weight="bold" if own else "normal", va="baseline", bbox=paper)
    size, room = SIZE if colour else SMALL, WIDTH - 24 - width_of(figures, SMALL)
    text(0, y, fit(name, room, size), color=(colour or INK).drawn, fontsize=size)
    text(1, y, figures, fontsize=SMALL, ha="right", color=(INK if colour else MUTED).drawn)


def beside(ax: Axes, text: str, corner: tuple[float, float], offset: tuple[float, float], **look: Any) -> None:
    """A text so many units from a place in the axes, (0, 0) to (1, 1), and perhaps outside of them."""
    ax.annotate(
        text, corner, offset, xycoords="axes fraction", textcoords="offset points", annotation_clip=False, **look
    )


def dot(ax: Axes, x: float, y: float, size: float, colour: Colour, face: str = "") -> None:
    """A full dot, or a ring with another face, "none" for one that shows what is below it."""
    (mark,) = ax.plot(x, y, "o", markersize=size, zorder=5, clip_on=False)
    mark.set(markerfacecolor=face or colour.drawn, markeredgecolor=colour.drawn, markeredgewidth=1.3)


def ticks(axis: Axis, places: Sequence[float]) -> None:
    """Plain figures at these places and nowhere else."""
    axis.set_major_locator(FixedLocator([float(place) for place in places]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def log_x(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with a margin and plain figures."""
    pad = max(1.08, (high / low) ** 0.06)
    ax.set_xscale("log")
    ax.set_xlim(low / pad, high * pad)
    ticks(ax.xaxis, log_ticks(low / pad, high * pad))
    ax.grid(axis="x")


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on; closer together on a short stretch, decades alone on a very long one."""
    steps = (1, 2, 5) if high < 1e4 * low else (1,)
    decades = [m * 10.0**e for e in range(-9, 13) for m in steps if low <= m * 10.0**e <= high]
    return decades if len(decades) > 2 else linear_ticks(low, high)


def linear_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between both, about `most` of them."""
    return [float(tick) for tick in MaxNLocator(most).tick_values(low, high) if low <= tick <= high]


def label_axes(ax: Axes, places: Sequence[float], across: str, up: str) -> None:
    """Horizontal grid lines at the places, the axis's name below, and the other's on top, to be read upright."""
    ticks(ax.yaxis, places)
    ax.grid(axis="y")
    ax.set_xlabel(across)
    beside(ax, up, (0, 1), (-ax.get_position().x0 * WIDTH, 8), fontsize=SMALL, color=MUTED.drawn)


def apart(places: Sequence[float], gap: float, end: float) -> list[float]:
    """The places, moved until they are `gap` from each other and at most at `end`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in pairwise(order):
        moved[i] = max(moved[i], moved[before] + gap)
    limit = end
    for i in reversed(order):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - gap
    return moved


def _light(colour: Any) -> Any:
    """A colour, or one for each of an artist's parts, as the light theme shows it; any but a reserved one stays."""
    if isinstance(colour, str) and colour in ("none", "auto"):
        return colour
    shades = to_rgba_array(colour)
    for shade in shades:
        shade[:3] = LIGHT.get(to_hex(shade[:3]), shade[:3])
    return shades if len(shades) != 1 else tuple(shades[0])


def _strip(element: ElementTree.Element) -> None:
    """Drop namespaces (HTML knows svg by its name), metadata, and rules that would hold for the whole page."""
    for child in list(element):
        child.tag = child.tag.rpartition("}")[2]
        if child.tag in ("metadata", "style"):
            element.remove(child)
        else:
            _strip(child)
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}


def _rewrite(element: ElementTree.Element, ids: dict[str, str]) -> None:
    """Attributes only: the text of names is left alone, whatever it looks like."""
    own = element.attrib.pop("id", None)
    if own in ids:
        element.attrib["id"] = ids[own]
    for key, value in element.attrib.items():
        if key in ("style", "fill", "stroke"):
            for colour in COLOURS:
                value = value.replace(colour.drawn, f"var(--{colour.name})")
            value = re.sub(r"; font-family: [^;]+|font-family: [^;]+; ", "", value)
        elif key in ("d", "x", "y", "transform"):
            value = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value)
        value = re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{ids[match[1]]})", value)
        element.attrib[key] = f"#{ids[value[1:]]}" if value[1:] in ids and value[0] == "#" else value
