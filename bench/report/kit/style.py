"""The colours of pages and plots, for light and for dark.

Plots are drawn in reserved colours, `Colour.drawn`, which become CSS variables in the page: one plot, two
themes. Each series has a contrast of 4.5 or more as text (WCAG 2.2, 1.4.3), and the series were moved from Okabe
and Ito's hues until they stay apart in simulations of the three colour blindnesses (Machado et al. 2009, "A
Physiologically-based Model for Simulation of Color Vision Deficiency"). Stages are tints, behind ink.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """`drawn` is what matplotlib draws with, `light` and `dark` what is seen."""

    name: str
    drawn: str
    light: str
    dark: str


PAPER = Colour("paper", "#00a100", "#ffffff", "#15181d")
INK = Colour("ink", "#00a101", "#1b1f24", "#e8eaed")
MUTED = Colour("muted", "#00a102", "#565d66", "#a5adb8")
GRID = Colour("grid", "#00a103", "#dfe3e8", "#333942")
OWN = Colour("own", "#00a200", "#b83b00", "#ff9255")
OTHERS = (
    Colour("series-1", "#00a201", "#1f42b9", "#91adf6"),
    Colour("series-2", "#00a202", "#073c27", "#399182"),
    Colour("series-3", "#00a203", "#7c1486", "#d49ac3"),
    Colour("series-4", "#00a204", "#482f09", "#eddf27"),
    Colour("series-5", "#00a205", "#4b4b59", "#dadcdd"),
    Colour("series-6", "#00a206", "#8d46ee", "#9370eb"),
    Colour("series-7", "#00a207", "#147f8e", "#69d9f1"),
    Colour("series-8", "#00a208", "#9b665b", "#918461"),
)
STAGES = (
    Colour("decode", "#00a300", "#bcd9f0", "#1f4566"),
    Colour("resize", "#00a301", "#dcebf7", "#17324a"),
    Colour("tokenise", "#00a302", "#cfe9c9", "#2a4d2a"),
    Colour("batch", "#00a303", "#e6e6e6", "#3a3d42"),
    Colour("text", "#00a304", "#b5dfc0", "#1d5540"),
    Colour("image", "#00a305", "#f4d5a6", "#5f4415"),
    Colour("head", "#00a306", "#f3d9e6", "#583049"),
    Colour("model", "#00a307", "#ddd3f0", "#443468"),
    Colour("decide", "#00a308", "#d5dbe1", "#4b535d"),
)
OTHER_STAGE = Colour("other-stage", "#00a309", "#ededed", "#33363b")
LOUD = Colour("loud", "#00a400", "#ffe3d6", "#4a2110")
COLOURS = (PAPER, INK, MUTED, GRID, OWN, *OTHERS, *STAGES, OTHER_STAGE, LOUD)


def stage(name: str) -> Colour:
    """The tint of a stage."""
    return next((colour for colour in STAGES if colour.name == name), OTHER_STAGE)


def variables() -> str:
    """The colours as CSS variables, for light and for dark."""
    light = "".join(f"--{colour.name}:{colour.light};" for colour in COLOURS)
    dark = "".join(f"--{colour.name}:{colour.dark};" for colour in COLOURS)
    # `screen`: printed pages stay on white.
    when = "@media screen and (prefers-color-scheme:dark)"
    return f":root{{color-scheme:light dark;{light}}}\n{when}{{:root{{{dark}}}}}"
