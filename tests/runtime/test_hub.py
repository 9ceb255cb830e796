"""Bundles by their name on the Hugging Face hub: a hub made of a folder, and a cache as its client leaves it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import requests
from chain import Chain
from click.testing import CliRunner
from huggingface_hub import constants, errors

from distill.cli.main import main
from distill.core.errors import BundleError
from distill.runtime import hub
from distill.runtime.bundle import Bundle
from distill.runtime.bundle_files import FILES, MANIFEST

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ID = "someone/meme-student"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ours and the client's, empty."""
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "ours"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "theirs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def downloaded(bundle: Path, cache: Path) -> None:
    """A cache as the client leaves it: blobs, and a snapshot of links to them."""
    repository = cache / "theirs" / "models--someone--meme-student"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (repository / "blobs", repository / "refs", snapshot):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for name in (*FILES, MANIFEST):
        shutil.copyfile(bundle / name, repository / "blobs" / name)
        (snapshot / name).symlink_to(Path("../../blobs") / name)


class Online:
    """A hub with one repository; `asked` is what it was asked to download."""

    def __init__(self, bundle: Path, cache: Path, patch: pytest.MonkeyPatch) -> None:
        self.sizes = {name: (bundle / name).stat().st_size for name in (*FILES, MANIFEST)} | {"extra.bin": 1 << 40}
        self.bundle, self.cache, self.asked = bundle, cache, dict[str, Any]()
        self.fault: Exception | None = None
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(huggingface_hub, "HfApi", lambda: self)
        patch.setattr(huggingface_hub, "snapshot_download", self.download)

    def model_info(self, name: str, **_: Any) -> Any:
        if self.fault is not None:
            raise self.fault
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in self.sizes.items()]
        return SimpleNamespace(sha=COMMIT, siblings=siblings)

    def download(self, name: str, **asked: Any) -> str:
        if asked.get("local_files_only"):
            raise errors.LocalEntryNotFoundError("none")
        self.asked = asked
        downloaded(self.bundle, self.cache)
        return str(self.cache / "theirs" / "models--someone--meme-student" / "snapshots" / COMMIT)


@pytest.fixture
def online(chain: Chain, caches: Path, monkeypatch: pytest.MonkeyPatch) -> Online:
    return Online(chain.int8, caches, monkeypatch)


def answer(code: int) -> requests.Response:
    response = requests.Response()
    response.status_code = code
    return response


def test_a_path_that_exists_wins_and_other_forms_are_paths(caches: Path) -> None:
    (caches / "someone" / "meme-student").mkdir(parents=True)
    for name in (ID, "runs", "a/b/c", "./a/b", "../b", "/a/b", "a/b@", "a/../b"):
        assert hub.resolve(name) == Path(name)


def test_the_cache_is_enough_offline_and_answers_are_those_of_the_folder(chain: Chain, caches: Path) -> None:
    downloaded(chain.int8, caches)
    words = ["--text", chain.splits.test[0].text]
    here = CliRunner().invoke(main, ["predict", str(chain.int8), *words])
    for name in (ID, f"{ID}@main", f"{ID}@{COMMIT}"):
        there = CliRunner().invoke(main, ["predict", name, *words])
        assert (there.exit_code, there.stdout) == (0, here.stdout)
    assert CliRunner().invoke(main, ["verify", ID]).exit_code == 0
    opened = Bundle.open(hub.resolve(ID))
    assert opened.folder == caches / "ours" / "hub" / COMMIT / "someone--meme-student"
    assert not any(path.is_symlink() for path in opened.folder.iterdir())
    assert hub.default_output(opened.folder, "-bench.json") == Path("someone--meme-student-bench.json")
    assert hub.default_output(Path("runs/bundle"), "-bench.json") == Path("runs/bundle-bench.json")


def test_only_the_files_of_a_bundle_are_downloaded(online: Online) -> None:
    Bundle.open(hub.resolve(f"{ID}@v1"))
    assert online.asked["revision"] == "v1"
    assert set(online.asked["allow_patterns"]) == {*FILES, MANIFEST}


def test_a_commit_that_was_fetched_asks_nobody_again(online: Online) -> None:
    folder = hub.resolve(ID)
    online.fault = AssertionError("asked")
    assert hub.resolve(f"{ID}@{COMMIT}") == folder


def test_a_stranger_meets_the_same_guards(online: Online, chain: Chain, caches: Path) -> None:
    online.bundle = Path(shutil.copytree(chain.int8, caches / "forged"))
    (online.bundle / "labels.txt").write_text("one\n")
    done = CliRunner().invoke(main, ["predict", ID, "--text", "a"])
    assert done.exit_code == 2
    assert "labels.txt: its content does not match its SHA-256 in manifest.json" in done.stderr


def test_a_damaged_copy_says_what_to_remove_and_is_fetched_again(chain: Chain, caches: Path) -> None:
    downloaded(chain.int8, caches)
    folder = hub.resolve(ID)
    for path in (folder / "labels.txt", folder / MANIFEST):
        path.write_text("")
        for name in (ID, f"{ID}@{COMMIT}"):
            done = CliRunner().invoke(main, ["verify", name])
            assert done.exit_code == 2
            assert done.stderr.rstrip().endswith(f"It is a copy from the hub; to fetch it again, remove {folder}")
    shutil.rmtree(folder)
    assert CliRunner().invoke(main, ["verify", ID]).exit_code == 0


def test_what_is_no_bundle_or_too_large_is_not_downloaded(online: Online) -> None:
    online.sizes["labels.txt"] = 1 << 30
    with pytest.raises(BundleError, match=r"its labels.txt has 1,073,741,824 bytes, .* nothing was downloaded"):
        hub.resolve(ID)
    del online.sizes[MANIFEST]
    with pytest.raises(BundleError, match=r"is on the hub, but is no Bundle \(it has no manifest.json\)"):
        hub.resolve(ID)
    assert online.asked == {}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            errors.RepositoryNotFoundError("x", response=answer(404)),
            "no such folder, and no such repository on the Hugging Face hub; correct the path",
        ),
        (errors.RevisionNotFoundError("x", response=answer(404)), "no revision main of it"),
        (errors.GatedRepoError("x", response=answer(403)), "hf auth login"),
        (
            requests.ConnectionError("no\nroute"),
            r"no such folder, and no such repository in .*; .* the hub cannot be reached \(ConnectionError\)\)",
        ),
    ],
)
def test_what_the_hub_refuses_is_one_line(online: Online, fault: Exception, said: str) -> None:
    online.fault = fault
    with pytest.raises(BundleError, match=said) as caught:
        hub.resolve(ID)
    assert "\n" not in str(caught.value)


def test_offline_without_a_copy_and_half_a_copy_are_one_line(chain: Chain, caches: Path) -> None:
    with pytest.raises(
        BundleError, match=r"cache; correct the path \(the hub was not asked: HF_HUB_OFFLINE is set"
    ):
        hub.resolve(ID)
    downloaded(chain.int8, caches)
    (caches / "theirs" / "models--someone--meme-student" / "blobs" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"it has no model.onnx"):
        hub.resolve(ID)
    assert not (caches / "ours" / "hub" / COMMIT / "someone--meme-student").exists()


def test_without_the_client_one_line_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    done = CliRunner().invoke(main, ["verify", ID])
    assert done.exit_code == 2
    assert "looking for it on the Hugging Face hub needs huggingface_hub; pip install 'distill[hub]'" in done.stderr


def test_a_bundle_is_used_where_neither_cache_can_be_written(
    online: Online, caches: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (caches / "file").touch()
    monkeypatch.setenv("DISTILL_CACHE", str(caches / "file" / "ours"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(caches / "file" / "theirs"))
    download = online.download

    def only_where_it_can(name: str, **asked: Any) -> str:
        if "cache_dir" not in asked:
            raise NotADirectoryError(20, "Not a directory", constants.HF_HUB_CACHE)
        return download(name, **asked)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_where_it_can)
    folder = hub.resolve(ID)
    assert Bundle.open(folder).precision == "int8"
    assert hub.is_downloaded(folder)
    assert not Path(online.asked["cache_dir"]).is_relative_to(caches)
    assert capsys.readouterr().err.replace("\n", " ").count("the cache cannot be written") == 1
