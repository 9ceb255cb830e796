"""The pages of the site: README.md and docs, where mkdocs.yml finds them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import click

from distill.core.errors import BenchError
from distill.core.storage.files import write_text
from experiments.results import ROOT

PAGES = ROOT / ".site" / "pages"  # mkdocs.yml: docs_dir
SHOWN = (".png", ".svg", ".css")
NOT_PAGES = ("experiments", "results")
# Pages that stand outside of docs, and their names on the site.
OUTSIDE = {ROOT / "README.md": "index.md", ROOT / "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(?<!!)\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
IMAGE = re.compile(r"(?<=\]\()(?P<target>[^)\s]+\.(?:png|svg))(?=\))")
BLOCK = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)


def site_files() -> dict[Path, str]:
    """Every page, image and style of the site: where it stands in the repository, and its name on the site."""
    docs = ROOT / "docs"
    inside = sorted(path for path in docs.rglob("*") if path.suffix in (".md", *SHOWN))
    names = {path: path.relative_to(docs).as_posix() for path in inside}
    return OUTSIDE | {path: name for path, name in names.items() if name.partition("/")[0] not in NOT_PAGES}


def on_site(page: Path, text: str, files: dict[Path, str]) -> str:
    """The text of a page with its links leading to where their targets are on the site. A link to a file that is no
    page keeps its words. Raises BenchError for one that leads nowhere."""
    here = Path(files[page]).parent

    def new_target(target: str) -> str | None:
        path, hash_, anchor = target.partition("#")
        if not path or "://" in target:
            return target
        full = Path(os.path.normpath(page.parent / path))
        if not full.exists():
            raise BenchError(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
        return (
            None if full not in files else os.path.relpath(files[full], here).replace(os.sep, "/") + hash_ + anchor
        )

    def link(match: re.Match[str]) -> str:
        target = new_target(match["target"])
        return match["words"] if target is None else f"[{match['words']}]({target})"

    def image(match: re.Match[str]) -> str:
        return new_target(match["target"]) or match["target"]

    parts = BLOCK.split(text)  # the blocks of code at odd places
    return "".join(part if n % 2 else IMAGE.sub(image, LINK.sub(link, part)) for n, part in enumerate(parts))


@click.command()
def site() -> None:
    """Put the pages of the site into .site/pages, for zensical build."""
    shutil.rmtree(PAGES, ignore_errors=True)
    files = site_files()
    for path, name in files.items():
        target = PAGES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            write_text(target, on_site(path, path.read_text(encoding="utf-8"), files))
        else:
            shutil.copyfile(path, target)
