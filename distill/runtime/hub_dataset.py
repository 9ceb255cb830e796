"""Finds the dataset that a user names: a path on this machine, or OWNER/NAME[@REVISION] on the Hugging Face hub.

Only Parquet files are downloaded, which hold rows and run nothing, and their size is known before.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.extras import require
from distill.core.output.terminal import note, warn
from distill.runtime.hub import NAME, WAIT_SECONDS, absent, download_from, reason_of

MAX_BYTES = 20 << 30
CONVERTED = "refs/convert/parquet"  # the branch in which the hub itself keeps a dataset as Parquet


def resolve_dataset(name: str) -> Path:
    """The path itself, or the folder of a dataset that is downloaded from the hub. Raises DataError."""
    match = NAME.fullmatch(name)
    if match is None or os.path.lexists(name):
        return Path(name)
    repository, revision = match.group(1), match.group(2) or "main"
    user = f"{name}: no such file or folder; looking for it on the Hugging Face hub"
    client, constants = (
        require(module, user, "hub") for module in ("huggingface_hub", "huggingface_hub.constants")
    )
    if constants.HF_HUB_OFFLINE:
        return _cached(client, name, repository, revision, "HF_HUB_OFFLINE is set; unset it to look on the hub")
    try:
        info = client.HfApi().dataset_info(repository, revision=revision, files_metadata=True, timeout=WAIT_SECONDS)
    except client.errors.GatedRepoError as error:
        raise DataError(
            f"{name}: its owner grants access on request; ask on the hub, then: hf auth login"
        ) from error
    except (client.errors.RevisionNotFoundError, client.errors.RepositoryNotFoundError) as error:
        raise DataError(
            f"{name}: no such file or folder, and no such dataset or revision on the Hugging Face hub; correct "
            "the path, or, for a private one: hf auth login"
        ) from error
    except Exception as error:  # noqa: BLE001  # requests' errors or httpx's, by the client's version
        why = f"the hub cannot be reached ({reason_of(error)})"
        return _cached(client, name, repository, revision, why)
    files, size_bytes = _parquet_files(name, info)
    note(f"{name}: commit {info.sha}, {size_bytes / 1e6:.1f} MB, from the Hugging Face hub or its cache")
    download = partial(
        client.snapshot_download, repository, repo_type="dataset", revision=info.sha, allow_patterns=files
    )
    try:
        return Path(download_from(download, Path(constants.HF_HUB_CACHE)))
    except Exception as error:
        reason = reason_of(error)
        raise DataError(f"{name}: the download broke off ({reason}); give the same command again") from error


def _parquet_files(name: str, info: Any) -> tuple[list[str], int]:
    """The Parquet files and their size in bytes. Raises DataError if there are none, or they are too large."""
    sizes = {each.rfilename: each.size or 0 for each in info.siblings or [] if each.rfilename.endswith(".parquet")}
    if not sizes:
        raise DataError(
            f"{name}: has no Parquet files; the hub may keep a copy as {name.partition('@')[0]}@{CONVERTED}, else "
            "download it with: hf download --repo-type dataset, and give the folder"
        )
    total = sum(sizes.values())
    if total > MAX_BYTES:
        raise DataError(
            f"{name}: its Parquet files have {total / 1e9:.0f} GB, over the limit of {MAX_BYTES / 1e9:.0f} GB; "
            "download those that you need with: hf download --repo-type dataset, and give the folder"
        )
    return sorted(sizes), total


def _cached(client: Any, name: str, repository: str, revision: str, why: str) -> Path:
    """The snapshot of an earlier download. Raises DataError with the reason why the hub was not asked."""
    try:
        snapshot = client.snapshot_download(
            repository, repo_type="dataset", revision=revision, local_files_only=True
        )
    except (client.errors.LocalEntryNotFoundError, client.errors.HFValidationError, OSError) as error:
        raise DataError(f"{name}: no such file or folder, and {absent(why)}") from error
    warn(f"{name}: from the cache, as of its last download: {why}")
    return Path(snapshot)
