"""The Python blocks of every page run as they stand, one after the other."""

from __future__ import annotations

import asyncio
import csv
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from chain import ROOT, Chain
from documentation import PAGES, name_of, python

from distill.core.settings.recipe_text import changes_to_toml
from distill.data.answers import AnswersFile
from distill.data.dataset import read_examples


def run(page: str, **names: Any) -> dict[str, Any]:
    """Run the blocks of a page; what they define."""
    for block in python(ROOT / page):
        exec(block, names)
    return names


@pytest.fixture
def place(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the pages name."""
    shutil.copytree(chain.int8, tmp_path / "runs" / "bundle")
    (tmp_path / "memes").symlink_to(chain.data)
    first = next(example for example in chain.splits.test if example.image)
    assert first.image is not None
    shutil.copyfile(first.image, tmp_path / "meme.jpg")
    with (tmp_path / "posts.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerows([["id", "text", "image"], ["1", "WHO DID THIS", "meme.jpg"], ["2", "", "meme.jpg"]])
    (tmp_path / "tiny.toml").write_text(changes_to_toml(chain.recipe), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What docs/python.md uses of Gradio, which no extra brings."""
    module = ModuleType("gradio")
    for name in ("Textbox", "Image", "Label"):
        setattr(module, name, SimpleNamespace)
    module.Interface = lambda function, **_: SimpleNamespace(function=function)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gradio", module)
    return module


async def post(app: Any, image: Path) -> Any:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        files = {"image": image.read_bytes()}
        return (await client.post("/classify", params={"text": "WHO DID THIS"}, files=files)).json()


def test_every_page_with_python_is_run_here() -> None:
    pages = {name_of(page) for page in PAGES if python(page)}
    assert pages == {"README.md", "docs/python.md", "docs/teach-from-anything.md", "docs/tutorial.md"}


def test_the_code_of_the_page_about_python_runs(
    place: Path, gradio: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(python(ROOT / "docs/python.md")) == 8
    names = run("docs/python.md")
    assert names["posts"]["labels"].notna().all()
    assert len(names["failed"]) == 1
    assert "missing.jpg: no such image" in capsys.readouterr().out
    assert names["decisions"].shape == (24, 6)
    answer = asyncio.run(post(names["app"], place / "meme.jpg"))
    expected = names["predictor"].predict("WHO DID THIS", place / "meme.jpg").probabilities
    assert answer == pytest.approx(expected)
    array = np.zeros((40, 40, 3), dtype=np.uint8)
    assert names["demo"].function("words", array) == names["predictor"].predict("words", array).probabilities
    assert names["bundle"].precision == "fp32"
    assert (place / "runs" / "new-bundle" / "manifest.json").is_file()


def test_the_readmes_code_predicts(place: Path) -> None:
    names = run("README.md")
    assert names["predictor"].labels


def test_answers_of_another_toolkit_are_saved_as_distill_reads_them(place: Path, chain: Chain) -> None:
    labels = chain.splits.labels
    logits = np.linspace(-3, 3, 2 * len(labels.names)).reshape(2, -1)
    run("docs/teach-from-anything.md", ids=["7", "8"], labels=list(labels.names), logits=logits)
    answers = AnswersFile.open(place / "answers.npz").read(labels)
    assert set(answers.row_of) == {"7", "8"}


def test_the_tutorials_table_of_films_is_a_dataset(place: Path, chain: Chain) -> None:
    films = place / "films"
    (films / "posters").mkdir(parents=True)
    (films / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0114709,862\n2,0113497,8844\n3,0113228,15602\n")
    (films / "movies.csv").write_text(
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy\n"
        '2,"Jumanji, again (1995)",Adventure|Children|Fantasy\n'
        "3,Grumpier Old Men (1995),Comedy|Romance\n"
    )
    for number in ("114709", "113228"):
        shutil.copyfile(place / "meme.jpg", films / "posters" / f"{number}.jpg")
    run("docs/tutorial.md")
    examples = read_examples(films / "all.csv")
    assert [(example.id, example.text, example.labels) for example in examples] == [
        ("1", "Toy Story (1995)", ("Children", "Comedy", "Fantasy")),
        ("3", "Grumpier Old Men (1995)", ("Comedy", "Romance")),
    ]
