"""The page's colours, for light and for dark, and its style sheet. Knows no figures.

Plots are drawn in reserved colours, `Colour.drawn`, which become CSS variables in the page: one plot, two
themes. Each series has a contrast of 4.5 or more as text (WCAG 2.2, 1.4.3), and the series were moved from Okabe
and Ito's hues until they stay apart in simulations of the three colour blindnesses (Machado et al. 2009, "A
Physiologically-based Model for Simulation of Color Vision Deficiency"). Stages are tints, behind ink.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """`drawn` is what matplotlib is told, `light` and `dark` what is seen."""

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


def style_sheet() -> str:
    """The whole CSS of the page."""
    return f"{variables()}\n{RULES}"


def variables() -> str:
    """The colours as CSS variables, for light and for dark."""
    light = "".join(f"--{colour.name}:{colour.light};" for colour in COLOURS)
    dark = "".join(f"--{colour.name}:{colour.dark};" for colour in COLOURS)
    # `screen`: printed pages stay on white.
    when = "@media screen and (prefers-color-scheme:dark)"
    return f":root{{color-scheme:light dark;{light}}}\n{when}{{:root{{{dark}}}}}"


RULES = """\
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
main{max-width:74rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;line-height:1.25;margin:2.5rem 0 .5rem;padding-top:.75rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p,ul{margin:.5rem 0;max-width:46rem}
ul{padding-left:1.25rem}
.muted,figcaption,caption,.key{color:var(--muted);font-size:.875rem}
.answer{font-size:1.125rem;max-width:54rem}
.answer strong{color:var(--own)}
.noisy{background:var(--loud);border-left:.375rem solid var(--own);padding:.75rem 1rem;margin:1rem 0}
.noisy strong{font-size:1.125rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));
gap:1.5rem 2.5rem;margin:1rem 0}
figure{margin:0;min-width:0;max-width:36rem}
figure h3{margin:0 0 .25rem}
figcaption{margin:0 0 .5rem}
.plot{display:block;width:100%;height:auto;overflow:visible}
.plot *{stroke-linejoin:round;stroke-linecap:butt}
.plot text{font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:.125rem .875rem;margin:.25rem 0;padding:0;list-style:none}
.chip{display:inline-block;width:.8em;height:.8em;margin-right:.35em;
border:1px solid var(--muted);vertical-align:-.05em}
.scroll{overflow-x:auto;margin:.75rem 0;max-width:100%}
.scroll:focus-visible{outline:2px solid var(--own)}
table{border-collapse:collapse;font-size:.875rem;line-height:1.35;font-variant-numeric:tabular-nums}
caption{text-align:left;caption-side:top;padding:0 0 .375rem;min-width:17rem}
caption span{display:inline-block;position:sticky;left:0;max-width:calc(100vw - 2.5rem)}
th,td{padding:.3rem .55rem;text-align:right;border-bottom:1px solid var(--grid);vertical-align:top;
white-space:nowrap}
thead th{vertical-align:bottom;border-bottom:1px solid var(--muted);white-space:normal;font-weight:600}
.word{text-align:left}
td.word{white-space:normal;min-width:8rem}
tbody th{font-weight:400;white-space:normal;min-width:10.5rem;max-width:16rem;
position:sticky;left:0;background:var(--paper)}
.own th,.own td{font-weight:700}
.own th{color:var(--own)}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--muted);font-size:.875rem}
dl{display:grid;grid-template-columns:minmax(6rem,max-content) minmax(0,1fr);
gap:.2rem 1rem;font-size:.875rem;margin:.75rem 0}
dt{color:var(--muted)}
dd{margin:0}
@media (max-width:40rem){tbody th{min-width:7rem;max-width:8rem}th,td{padding:.3rem .5rem}
.answer{font-size:1rem}}
"""
