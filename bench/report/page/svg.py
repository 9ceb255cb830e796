"""A matplotlib figure as SVG inside a page: coloured by CSS, its ids its own. Knows no benchmark.

Lengths are in the units of the plot's view box, which is WIDTH wide. On a telephone a unit is 0.9 px.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from itertools import pairwise
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.report.page.html import Html, plain
from bench.report.page.style import COLOURS, GRID, INK, MUTED, PAPER

WIDTH = 360.0
SIZE = 10.0  # of text
SMALL = 9.0
CHARACTER = 0.6  # mean width of a character over its height, in a wide face

RC: dict[str, Any] = {
    "font.size": SIZE,
    "svg.fonttype": "none",
    "svg.hashsalt": "distill",
    "text.parse_math": False,  # names hold $ and _
    "text.color": INK.drawn,
    "axes.edgecolor": GRID.drawn,
    "axes.labelcolor": MUTED.drawn,
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
    """Draw inside: our settings whatever the user's matplotlibrc says, and theirs again afterwards."""
    with style.context(["default", RC]), warnings.catch_warnings():
        # The browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        yield


def canvas(height: float) -> Figure:
    """An empty plot."""
    return Figure(figsize=(WIDTH / 72, height / 72))


def axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes between the four margins."""
    height = figure.get_figheight() * 72
    box = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    return figure.add_axes(box)


def rows_axes(figure: Figure, rows: int, row_height: float, top: float = 2) -> Axes:
    """Axes of `rows` rows, the first on top; row i covers y from i * row_height, in units."""
    height = figure.get_figheight() * 72
    ax = axes(figure, 8, top, 8, height - top - rows * row_height)
    ax.set_ylim(rows * row_height, 0)
    ax.yaxis.set_major_locator(NullLocator())
    return ax


def head(ax: Axes, y: float, name: str, figures: str, colour: str, own: bool) -> None:
    """A row's first line: its name left, its figures right."""
    across = ax.get_yaxis_transform()
    room = WIDTH - 24 - width_of(figures, SMALL)
    weight = "bold" if own else "normal"
    # Paper behind them: grid lines do not cross letters.
    paper = {"facecolor": PAPER.drawn, "edgecolor": "none", "pad": 1}
    text = partial(ax.text, transform=across, weight=weight, va="baseline", bbox=paper)
    text(0, y, fit(name, room, SIZE), color=colour)
    text(1, y, figures, fontsize=SMALL, ha="right")


def width_of(text: str, size: float) -> float:
    """About how wide it is, rather too much than too little; letters of East Asia are two wide."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return (len(text) + wide) * size * CHARACTER


def fit(name: str, room: float, size: float) -> str:
    """The name, its middle left out where it is too long: ends tell names apart."""
    text = plain(name)
    if width_of(text, size) <= room:
        return text
    keep = len(text)
    while keep > 2 and width_of(text[:keep], size) > room - size:
        keep -= 1
    return f"{text[: (keep + 1) // 2].rstrip()}…{text[len(text) - keep // 2 :].lstrip()}"


def log_x(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with a margin and plain figures."""
    pad = max(1.08, (high / low) ** 0.06)
    ax.set_xscale("log")
    ax.set_xlim(low / pad, high * pad)
    ax.xaxis.set_major_locator(FixedLocator(log_ticks(low / pad, high * pad)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(axis="x")


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on; closer together on a short stretch, decades alone on a very long one."""
    steps = (1, 2, 5) if high < 1e4 * low else (1,)
    ticks = [m * 10.0**e for e in range(-9, 13) for m in steps if low <= m * 10.0**e <= high]
    return (
        ticks if len(ticks) > 2 else [float(t) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    )


def label_axes(ax: Axes, ticks: Sequence[float], across: str, up: str) -> None:
    """Horizontal grid lines at the ticks, the axis's name below, and the other's on top, to be read upright."""
    ax.yaxis.set_major_locator(FixedLocator([float(tick) for tick in ticks]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y")
    ax.set_xlabel(across, fontsize=SMALL)
    left = -ax.get_position().x0 * WIDTH
    above = partial(ax.annotate, xycoords="axes fraction", textcoords="offset points", annotation_clip=False)
    above(up, (0, 1), (left, 8), fontsize=SMALL, color=MUTED.drawn)


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


def inline(figure: Figure, name: str, says: str) -> Html:
    """The plot, its ids beginning with `name`; `says` tells those who do not see it what it shows."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(text.getvalue())
    _strip(root)
    ids: dict[str, str] = {}
    for element in root.iter():
        for value in element.attrib.values():
            for found in re.findall(r"^#(\S+)$|url\(#([^)]+)\)", value):
                ids.setdefault("".join(found), f"{name}-{len(ids) + 1}")
    for element in root.iter():
        _rewrite(element, ids)
    for gone in ("width", "height", "version"):
        root.attrib.pop(gone, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": plain(says)}
    return Html(ElementTree.tostring(root, encoding="unicode"))


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
            value = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
        value = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{ids[found[1]]})", value)
        element.attrib[key] = f"#{ids[value[1:]]}" if value[1:] in ids and value[0] == "#" else value
