"""Pages from templates: one self-contained file, whose content cannot break it.

Every value in a template is escaped and made printable unless it is Markup. base.html.jinja holds what all pages
share: the style sheet, and a policy under which nothing can be loaded and no script can run.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from bench.report.kit.style import variables
from bench.report.kit.text import plain


def render(template: str, **values: Any) -> str:
    """The page that a template of `bench` makes of the values; the same values give the same bytes."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else plain(str(value)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        loader=FunctionLoader(lambda name: files("bench").joinpath(name).read_text(encoding="utf-8")),
    )
    environment.filters["breakable"] = breakable
    return environment.get_template(template).render(css=Markup(variables()), **values)


def breakable(name: str) -> Markup:
    """A name that may go on in a new line after a slash."""
    return Markup("/<wbr>").join(map(plain, name.split("/")))
