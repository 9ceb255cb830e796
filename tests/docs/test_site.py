"""The site: every page is in its navigation, every link leads somewhere, and nothing of it needs a network."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import published
import pytest
import yaml
from documentation import PAGES, ROOT
from experiments import formats, recipe_keys
from experiments.site import OUTSIDE, on_site, site_files

import distill
from distill.core.errors import BenchError
from distill.core.settings.recipe import recipes_folder
from distill.core.settings.schema import read_toml

CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc="https?:|<link[^>]*rel="stylesheet"[^>]*href="https?:"""
)


def leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [leaf for entry in (nav.values() if isinstance(nav, dict) else nav) for leaf in leaves(entry)]


def test_every_page_is_in_the_navigation_once() -> None:
    named = leaves(yaml.safe_load(CONFIG)["nav"])
    pages = [name for name in site_files().values() if name.endswith(".md")]
    assert sorted(named) == sorted(pages)


def test_every_link_of_every_page_leads_somewhere() -> None:
    files = site_files()
    for page in (*PAGES, *OUTSIDE):
        on_site(page, page.read_text(encoding="utf-8"), files)


def test_links_lead_to_where_pages_are_on_the_site() -> None:
    files = site_files()
    readme = (
        "[Data](docs/data.md#check), [a](docs/formats/mami.md) ![x](docs/front.svg) [recipe](recipes/meme.toml)\n"
    )
    expected = "[Data](data.md#check), [a](formats/mami.md) ![x](front.svg) recipe\n"
    assert on_site(ROOT / "README.md", readme, files) == expected
    page = ROOT / "docs" / "formats" / "mami.md"
    assert on_site(page, "[r](../../README.md) [c](../data.md)", files) == "[r](../index.md) [c](../data.md)"
    block = "```\n[not a link](nowhere.md)\n```\n"
    assert on_site(page, block, files) == block
    with pytest.raises(BenchError, match=r"^docs/formats/mami\.md: the link to nowhere\.md leads nowhere$"):
        on_site(page, "[a](nowhere.md)", files)


def test_the_api_page_has_every_public_name_and_each_has_a_docstring() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE))
    for name, home in distill._HOMES.items():
        assert {f"distill.{name}", f"{home}.{name}"} & shown, name
        assert inspect.getdoc(getattr(distill, name))


def test_every_key_of_the_recipe_is_explained() -> None:
    lines = recipe_keys.read_comments((recipes_folder() / "meme.toml").read_text(encoding="utf-8"))
    comments = {line.key: line.comment for line in lines if line.default is not None}
    assert set(comments) == {key for key, _ in recipe_keys.kinds()}
    assert [key for key in comments if not (comments[key] or comments.get(key.replace("student", "teacher")))] == []


def test_every_published_form_has_a_page() -> None:
    shown = [form for forms in formats.PAGES.values() for form in forms]
    tested = {form.name for form in published.FORMS} - {
        "imagefolder, CSV"
    }  # which is the first one's with another suffix
    assert sorted(shown) == sorted(tested)
    index = (ROOT / "docs" / "formats" / "index.md").read_text(encoding="utf-8")
    assert [page for page in formats.PAGES if f"({page}.md)" not in index] == []


def test_the_wheel_holds_no_site() -> None:
    wheel = read_toml(ROOT / "pyproject.toml")["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["packages"]) | set(wheel["force-include"]) == {
        *("distill", "teacher", "student", "export", "bench", "recipes")
    }
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()  # which the sdist follows
    assert {".site/", ".cache/"} <= set(ignored)


@pytest.mark.skipif(find_spec("zensical") is None, reason="needs the extra docs; make docs builds the site in CI")
def test_the_site_is_built_without_a_warning_and_asks_no_other_server(tmp_path: Path) -> None:
    files = site_files()
    for path, name in files.items():
        (tmp_path / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        if path.suffix == ".md":
            content = on_site(path, content.decode(), files).encode()
        (tmp_path / "pages" / name).write_bytes(content)
    config = CONFIG.replace(".site/", "").replace("paths: [.]", f"paths: [{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    words = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {path.relative_to(tmp_path / "html").as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert {name.replace(".md", ".html") for name in files.values() if name.endswith(".md")} <= set(pages)
    assert [name for name, text in pages.items() if ELSEWHERE.search(text)] == []
    assert 'id="distill.train_teacher"' in pages["api.html"]
