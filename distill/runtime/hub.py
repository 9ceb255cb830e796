"""Where a Bundle stands that a user names: a path here, or OWNER/NAME[@REVISION] on the Hugging Face hub. Knows the
hub's client and the names of files, not what is in them.

A path that exists wins. What comes from the hub lies in its client's cache, where files are links, and is copied to
a plain folder in ours, named after its commit: Bundles with links are refused, whoever made them.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from distill.core.errors import BundleError
from distill.core.extras import require
from distill.core.files import atomic_folder, cache_folder
from distill.core.terminal import note, warn
from distill.core.untrusted import is_file
from distill.runtime.bundle_files import FILES, LIMITS, MANIFEST, MANIFEST_LIMIT

NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
NEEDED = (*FILES, MANIFEST)
WAIT_SECONDS = 10


def located(named: str) -> Path:
    """The path itself, or the folder of a Bundle that is fetched from the hub. Raises BundleError."""
    match = NAME.fullmatch(named)
    if match is None or os.path.lexists(named):
        return Path(named)
    repository, revision = match.group(1), match.group(2) or "main"
    folder = _folder(repository, revision)
    if COMMIT.fullmatch(revision) and folder.is_dir():  # what a commit holds never changes
        return folder
    snapshot = _snapshot(named, repository, revision)
    return _plain(named, snapshot, _folder(repository, snapshot.name))


def beside(bundle: Path, ending: str) -> Path:
    """Where a file about a Bundle goes when nobody says: beside it, or here for one that is in our cache."""
    name = f"{bundle.name}{ending}"
    return Path(name) if is_copy(bundle) else bundle.with_name(name)


def is_copy(bundle: Path) -> bool:
    """Whether it is one that was fetched from the hub, in our cache."""
    return bundle.is_relative_to(cache_folder() / "hub")


def _folder(repository: str, commit: str) -> Path:
    return cache_folder() / "hub" / commit / repository.replace("/", "--")


def _snapshot(named: str, repository: str, revision: str) -> Path:
    """The client's own folder of this revision. Raises BundleError."""
    user = f"{named}: no such folder here; looking for it on the Hugging Face hub"
    client, constants = (require(module, user) for module in ("huggingface_hub", "huggingface_hub.constants"))
    if constants.HF_HUB_OFFLINE:
        return _cached(named, repository, revision, "HF_HUB_OFFLINE is set; unset it to look on the hub")
    try:
        info = client.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=WAIT_SECONDS)
    except client.errors.GatedRepoError as error:
        raise BundleError(
            f"{named}: the hub lets in only whom its owner accepts; ask there, then: hf auth login"
        ) from error
    except client.errors.RevisionNotFoundError as error:
        raise BundleError(f"{named}: the hub has {repository}, but no revision {revision} of it") from error
    except client.errors.RepositoryNotFoundError as error:
        raise BundleError(
            f"{named}: no such folder here, and no model of that name on the Hugging Face hub (for a private one: "
            "hf auth login)"
        ) from error
    except Exception as error:  # noqa: BLE001  # requests' errors or httpx's, by the client's version
        return _cached(named, repository, revision, f"the hub cannot be asked ({_reason(error)})")
    size_bytes = _checked(named, info)
    note(f"{named}: commit {info.sha}, {size_bytes / 1e6:.1f} MB, from the Hugging Face hub or its cache")
    try:
        return Path(client.snapshot_download(repository, revision=revision, allow_patterns=list(NEEDED)))
    except Exception as error:
        reason = _reason(error)
        raise BundleError(f"{named}: the download broke off ({reason}); give the same command again") from error


def _checked(named: str, info: Any) -> int:
    """Bytes of a Bundle's files, as the hub lists them. Raises BundleError when one is missing or too large."""
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    _refuse_without(named, sizes)
    limits = LIMITS | {MANIFEST: MANIFEST_LIMIT}
    for name in NEEDED:
        if sizes[name] > limits[name]:
            raise BundleError(
                f"{named}: its {name} has {sizes[name]:,} bytes, and no Bundle's has more than {limits[name]:,}; "
                "nothing was downloaded"
            )
    return sum(sizes[name] for name in NEEDED)


def _refuse_without(named: str, present: Any) -> None:
    missing = [name for name in (MANIFEST, *FILES) if name not in present]
    if missing:
        raise BundleError(f"{named}: is on the hub, but is no Bundle (it has no {missing[0]})")


def _cached(named: str, repository: str, revision: str, why: str) -> Path:
    """What an earlier download left. Raises BundleError with the reason for not asking the hub."""
    import huggingface_hub as client

    try:
        found = client.snapshot_download(repository, revision=revision, local_files_only=True)
    except (client.errors.LocalEntryNotFoundError, client.errors.HFValidationError, OSError) as error:
        raise BundleError(f"{named}: no such folder here, none in the hub's cache, and {why}") from error
    warn(f"{named}: from the cache, as of its last download: {why}")
    return Path(found)


def _plain(named: str, snapshot: Path, folder: Path) -> Path:
    """Plain files in place of links. Raises BundleError when a download has not brought all of them."""
    if folder.is_dir():
        return folder
    _refuse_without(named, {name for name in NEEDED if is_file(snapshot / name)})
    with atomic_folder(folder) as part:
        for name in NEEDED:
            shutil.copyfile(snapshot / name, part / name)
    return folder


def _reason(error: Exception) -> str:
    """What the hub or the system said; of a connection that failed, its kind alone."""
    said = str(error) if getattr(error, "response", None) is not None else getattr(error, "strerror", None)
    return " ".join((said or type(error).__name__).split())[:160]
