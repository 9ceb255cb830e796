"""Divides one labelled file into train, dev and test files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distill.core.errors import DataError
from distill.core.files import atomic_folder, sha256_of, write_json, write_text
from distill.data.dataset import collect_labels, encode_targets, examples_to_json, find_labels, read_examples
from distill.data.stratify import SHARES, stratified_split


def split_file(source: Path, out: Path, seed: int) -> tuple[int, ...]:
    """Write train.json, dev.json, test.json, labels.txt and split.json (source, seed, counts) to a new folder, and
    return the sizes of the splits.

    Images stay where they are. The same seed gives the same splits. Raises DataError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not empty; choose a new folder for --out")
    out = out.resolve()  # paths of images are relative to the folder itself, not to a link
    rows = read_examples(source)
    labels = find_labels(source.parent) or collect_labels(rows)
    targets = encode_targets(rows, labels)
    parts = stratified_split(targets, tuple(SHARES.values()), seed)
    with atomic_folder(out) as folder:
        positives = {}
        for name, part in zip(SHARES, parts, strict=True):
            chosen = [rows[index] for index in part]
            write_text(folder / f"{name}.json", examples_to_json(chosen, folder))
            counts = np.nansum(targets[part], axis=0)
            positives[name] = {label: int(n) for label, n in zip(labels.names, counts, strict=True)}
        write_text(folder / "labels.txt", "\n".join(labels.names) + "\n")
        record = {"source": source.name, "sha256": sha256_of(source), "seed": seed}
        write_json(folder / "split.json", record | {"shares": SHARES, "positives": positives})
    return tuple(len(part) for part in parts)
