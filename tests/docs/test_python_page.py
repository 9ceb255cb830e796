"""The code blocks of docs/python.md run as they stand, one after the other."""

from __future__ import annotations

import asyncio
import csv
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from chain import ROOT, Chain

from teacher.tune.report import to_toml

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the page names."""
    shutil.copytree(chain.int8, tmp_path / "runs" / "bundle")
    (tmp_path / "memes").symlink_to(chain.data)
    first = next(example for example in chain.splits.test if example.image)
    assert first.image is not None
    shutil.copyfile(first.image, tmp_path / "meme.jpg")
    with (tmp_path / "posts.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerows([["id", "text", "image"], ["1", "WHO DID THIS", "meme.jpg"], ["2", "", "meme.jpg"]])
    (tmp_path / "tiny.toml").write_text(to_toml(chain.recipe), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the page uses of Gradio, which no extra brings."""
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


def test_the_pages_code_runs(place: Path, gradio: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(page)
    assert len(blocks) == 8
    for block in blocks:
        exec(block, names)
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
