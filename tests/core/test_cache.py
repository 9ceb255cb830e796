"""No command needs the cache: each goes on without one, and says so once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chain import Chain

from distill.core.storage import cache
from distill.core.storage.cache import cache_folder, cache_folders, optional_write, writable

NAMES = ("DISTILL_CACHE", "XDG_CACHE_HOME", "HOME")


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing has been said, nothing stands in, and nothing is set."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache, "_warned", set())
    cache._stand_in.cache_clear()
    return monkeypatch


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


@pytest.fixture
def blocked(tmp_path: Path, unknown: pytest.MonkeyPatch) -> Path:
    """A cache that cannot be written, whoever the user is: it is below a file."""
    (tmp_path / "file").touch()
    unknown.setenv("DISTILL_CACHE", str(tmp_path / "file" / "cache"))
    return tmp_path / "file" / "cache"


@pytest.mark.parametrize("home", [True, False], ids=["a home", "no home"])
def test_the_cache_is_where_it_is_said_to_be_with_or_without_a_home(
    tmp_path: Path, unknown: pytest.MonkeyPatch, home: bool
) -> None:
    if home:
        unknown.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "distill"
    else:
        unknown.setattr(Path, "home", no_home)
    unknown.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "distill"
    unknown.setenv("DISTILL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    unknown.setenv("DISTILL_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "distill"


def test_without_a_home_it_is_said_once_and_everything_goes_on(
    unknown: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown.setattr(Path, "home", no_home)
    place = writable(cache_folder() / "hub" / "bundle")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    assert any(place.is_relative_to(folder / "hub") for folder in cache_folders())
    with optional_write():
        (cache_folder() / "features").mkdir(parents=True)
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1
    assert "the cache cannot be written (there is no home folder); going on without it" in said


def test_what_stands_in_for_the_cache_goes_with_the_process(blocked: Path) -> None:
    source = "from distill.core.storage.cache import cache_folder, writable\nprint(writable(cache_folder() / 'a'))"
    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert f"warning: {blocked}: the cache cannot be written (Not a directory)" in ended.stderr.replace("\n", "")
    assert not Path(ended.stdout.strip()).parent.exists()


def test_features_are_computed_where_they_cannot_be_kept(
    chain: Chain, blocked: Path, capsys: pytest.CaptureFixture[str], unknown: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    from distill.model.checkpoint import Checkpoint
    from distill.model.features import FeatureExtractor

    classifier = Checkpoint.load(chain.teacher).classifier
    extractor = FeatureExtractor(classifier.network.image, classifier.spec.image, torch.device("cpu"))
    without = extractor.features(chain.splits.dev[:8])
    said = capsys.readouterr().err
    assert said.count("the cache cannot be written") == 1
    unknown.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    assert np.array_equal(extractor.features(chain.splits.dev[:8]), without)
    assert "cannot be written" not in capsys.readouterr().err
