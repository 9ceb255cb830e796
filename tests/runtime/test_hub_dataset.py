"""Datasets by their name on the Hugging Face hub: Parquet files alone, and a hub made of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import published
import pytest
from chain import Chain
from click.testing import CliRunner, Result
from huggingface_hub import constants, errors

import distill
from distill.cli.main import main
from distill.core.errors import DataError
from distill.runtime.hub_dataset import MAX_BYTES, resolve_dataset

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "someone/memes"


class Online:
    """A hub with one dataset; `asked` is what it was asked to download."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked = folder, dict[str, Any]()
        self.sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*.parquet")}
        self.sizes |= {"memes.py": 1000, "images.zip": 1 << 50}
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(huggingface_hub, "HfApi", lambda: self)
        patch.setattr(huggingface_hub, "snapshot_download", self.download)

    def dataset_info(self, name: str, **_: Any) -> Any:
        if name != ID:
            raise ConnectionError("no route")
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in self.sizes.items()]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def download(self, name: str, **asked: Any) -> str:
        if asked.get("local_files_only"):
            raise errors.LocalEntryNotFoundError("none")
        self.asked = asked
        return str(self.folder)


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Online:
    monkeypatch.chdir(tmp_path)
    return Online(published.parquet_shards(tmp_path / "hub"), monkeypatch)


def test_a_dataset_on_the_hub_is_read_by_its_name(online: Online) -> None:
    splits = distill.read_dataset(ID)
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (24, 6, 4)
    assert splits.labels.names == ("joke", "rain", "soup")
    assert online.asked["revision"] == COMMIT
    assert all(name.endswith(".parquet") for name in online.asked["allow_patterns"])


def test_what_cannot_be_had_is_refused_in_one_line_with_the_next_step(online: Online, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cache; correct the path .*the hub cannot be reached"):
        resolve_dataset("someone/else")
    online.sizes = {"a.parquet": MAX_BYTES + 1}
    with pytest.raises(DataError, match="over the limit of 21 GB; download those that you need"):
        resolve_dataset(ID)
    online.sizes = {"memes.py": 10}
    with pytest.raises(DataError, match="someone/memes@refs/convert/parquet"):
        resolve_dataset(ID)
    (tmp_path / "someone" / "memes").mkdir(parents=True)
    assert resolve_dataset(ID) == Path(ID)  # a path that exists wins
    assert resolve_dataset("a/b/c") == Path("a/b/c")


def test_commands_take_a_dataset_by_its_name(online: Online, chain: Chain, tmp_path: Path) -> None:
    def run(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    checked = run("data", "check", ID, "--out", tmp_path / "check.json")
    assert (checked.exit_code, json.loads((tmp_path / "check.json").read_text())["splits"][0]["rows"]) == (0, 24)
    predicted = run("predict", chain.int8, ID, "--split", "test")
    assert (predicted.exit_code, predicted.stdout.count("\n")) == (0, 4)
    assert "give --split with one of train, dev, test, or" in run("predict", chain.int8, ID).stderr
    assert "is divided already, into train, dev, test" in run("data", "split", ID, "--out", tmp_path / "out").stderr
    for path in (online.folder / "data").glob("[vt]e*"):
        path.unlink()
    assert "has no test split; it has 'train'" in run("predict", chain.int8, ID, "--split", "test").stderr
    assert "no such file or folder, and" in run("predict", chain.int8, "someone/else").stderr
