"""--baseline and --margin: what a model is compared with, and how large a difference matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from distill.cli.options import BundlePath, Decorator, applied
from distill.core.settings.recipe import MARGIN

NONE = "none"


class BaselinePath(BundlePath):
    """A run or Bundle, or the word that turns the comparison off."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As its parent; "none" is that word."""
        return value if value == NONE else super().convert(value, param, ctx)


def baseline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a model is compared with, and by what margin."""
    options: list[Decorator] = [
        click.option(
            "--baseline",
            type=BaselinePath(),
            metavar="RUN_OR_BUNDLE",
            help="Baseline to compare with; none for no comparison.  [default: a finished distill baseline in the "
            "folder baseline beside the model]",
        ),
        click.option(
            "--margin",
            default=MARGIN,
            show_default=True,
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Smallest difference in F1 that matters, for verdicts.",
        ),
    ]
    return applied(command, options)
