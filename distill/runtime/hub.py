"""Finds the Bundle that a user names: a path on this machine, or OWNER/NAME[@REVISION] on the Hugging Face hub.

A path that exists wins. The hub's client keeps downloads as links into its cache; they are copied to a plain folder
in distill's own cache, named after the commit, because Bundles that hold links are refused.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from distill.core.errors import BundleError
from distill.core.extras import require
from distill.core.storage.cache import cache_folder, cache_folders, writable, write_fault
from distill.core.storage.files import atomic_folder
from distill.core.untrusted import is_file
from distill.runtime.bundle_files import FILES, LIMITS, MANIFEST, MANIFEST_LIMIT, bundle_files, find_runtime

NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
WAIT_SECONDS = 10
CONSTANTS = "huggingface_hub.constants"  # where HF_HUB_OFFLINE is read


def resolve(name: str) -> Path:
    """The path itself, or the folder of a Bundle that is downloaded from the hub. Raises BundleError."""
    match = NAME.fullmatch(name)
    if match is None or os.path.lexists(name):
        return Path(name)
    repository, revision = match.group(1), match.group(2) or "main"
    folder = _folder(repository, revision)
    if COMMIT.fullmatch(revision) and folder.is_dir():  # what a commit holds never changes
        return folder
    snapshot = _snapshot(name, repository, revision)
    return _copy_without_links(name, snapshot, _folder(repository, snapshot.name))


def default_output(bundle: Path, ending: str) -> Path:
    """Where a file about a Bundle goes by default: beside it, or in the working directory for a download."""
    name = f"{bundle.name}{ending}"
    return Path(name) if is_downloaded(bundle) else bundle.with_name(name)


def is_downloaded(bundle: Path) -> bool:
    """Whether a Bundle lies in distill's cache of downloads from the hub."""
    return any(bundle.is_relative_to(folder / "hub") for folder in cache_folders())


def _folder(repository: str, commit: str) -> Path:
    return cache_folder() / "hub" / commit / repository.replace("/", "--")


def _snapshot(name: str, repository: str, revision: str) -> Path:
    """The client's own folder of this revision, downloaded where necessary. Raises BundleError or InstallError."""
    user = f"{name}: no such folder; looking for it on the Hugging Face hub"
    client, constants = (
        require(module, user, "hub") for module in ("huggingface_hub", "huggingface_hub.constants")
    )
    if constants.HF_HUB_OFFLINE:
        return _cached(name, repository, revision, "HF_HUB_OFFLINE is set; unset it to look on the hub")
    try:
        info = client.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=WAIT_SECONDS)
    except client.errors.GatedRepoError as error:
        raise BundleError(
            f"{name}: its owner grants access on request; ask on the hub, then: hf auth login"
        ) from error
    except client.errors.RevisionNotFoundError as error:
        raise BundleError(f"{name}: the hub has {repository}, but no revision {revision} of it") from error
    except client.errors.RepositoryNotFoundError as error:
        raise BundleError(
            f"{name}: no such folder, and no such repository on the Hugging Face hub; correct the path, or, "
            "for a private one: hf auth login"
        ) from error
    except Exception as error:  # noqa: BLE001  # requests' errors or httpx's, by the client's version
        return _cached(name, repository, revision, f"the hub cannot be reached ({reason_of(error)})")
    files, size_bytes = _check_listing(name, info)
    from distill.core.output.terminal import note  # here: its imports are slow

    note(f"{name}: commit {info.sha}, {size_bytes / 1e6:.1f} MB, from the Hugging Face hub or its cache")
    download = partial(client.snapshot_download, repository, revision=revision, allow_patterns=files)
    try:
        return Path(download_from(download, Path(constants.HF_HUB_CACHE)))
    except Exception as error:
        reason = reason_of(error)
        raise BundleError(f"{name}: the download broke off ({reason}); give the same command again") from error


def download_from(download: Callable[..., str], client_cache: Path) -> str:
    """Download, beside our own cache where the client's cannot be written."""
    try:
        return download()
    except OSError:
        if write_fault(client_cache) is None:
            raise
        return download(cache_dir=writable(cache_folder() / "client"))


def _check_listing(name: str, info: Any) -> tuple[list[str], int]:
    """The names of a Bundle's files and their size in bytes, as the hub lists them. Raises BundleError when one is
    missing or too large."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    files = _complete_files(name, sizes)
    limits = LIMITS | {MANIFEST: MANIFEST_LIMIT}
    for file in files:
        if sizes[file] > limits[file]:
            raise BundleError(
                f"{name}: its {file} has {sizes[file]:,} bytes, over the limit of {limits[file]:,}; "
                "nothing was downloaded"
            )
    return files, sum(sizes[file] for file in files)


def _complete_files(name: str, present: Collection[str]) -> list[str]:
    """The files of a Bundle, whose model tells its runtime. Raises BundleError when one is missing."""
    runtime = find_runtime(present)
    if runtime is None or MANIFEST not in present:
        missing = next(file for file in (MANIFEST, *FILES) if file not in present)
        raise BundleError(f"{name}: is on the hub, but is no Bundle (it has no {missing})")
    return [*bundle_files(runtime), MANIFEST]


def _cached(name: str, repository: str, revision: str, why: str) -> Path:
    """The snapshot of an earlier download. Raises BundleError with the reason why the hub was not asked."""
    import huggingface_hub as client

    try:
        snapshot = client.snapshot_download(repository, revision=revision, local_files_only=True)
    except (client.errors.LocalEntryNotFoundError, client.errors.HFValidationError, OSError) as error:
        raise BundleError(f"{name}: no such folder, and {absent(why)}") from error
    from distill.core.output.terminal import warn  # here: its imports are slow

    warn(f"{name}: from the cache, as of its last download: {why}")
    return Path(snapshot)


def absent(why: str) -> str:
    """The end of a line about a name of which there is no copy either, and `why` the hub itself was not asked."""
    return f"no such repository in the Hugging Face hub's cache; correct the path (the hub was not asked: {why})"


def _copy_without_links(name: str, snapshot: Path, folder: Path) -> Path:
    """Copy the snapshot to `folder` unless that exists. Raises BundleError when the snapshot is incomplete."""
    if folder.is_dir():
        return folder
    files = _complete_files(name, {file for file in (*LIMITS, MANIFEST) if is_file(snapshot / file)})
    folder = writable(folder)
    with atomic_folder(folder) as part:
        for file in files:
            shutil.copyfile(snapshot / file, part / file)
    return folder


def reason_of(error: Exception) -> str:
    """The hub's or the system's message; for a failed connection, the error's type alone."""
    message = str(error) if getattr(error, "response", None) is not None else getattr(error, "strerror", None)
    return " ".join((message or type(error).__name__).split())[:160]
