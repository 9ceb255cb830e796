"""Dividing one labelled file into the three that training reads. Knows files, leaves the dealing to `split`."""

from __future__ import annotations

from pathlib import Path

from distill.core.errors import DataError
from distill.core.files import atomic_folder, sha256_of, write_json, write_text
from distill.data.dataset import examples_to_json, find_labels, read_examples
from distill.data.labels import LabelSet
from distill.data.stratify import SHARES, stratified_split


def split_file(source: Path, out: Path, seed: int) -> tuple[int, ...]:
    """Write train.json, dev.json, test.json, labels.txt and split.json (source, seed, counts) to a new folder.

    Images stay where they are. Returns the sizes. Raises DataError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: exists and is not empty; choose a new folder for --out")
    out = out.resolve()  # where a link leads is where images are named from
    rows = read_examples(source)
    labels = find_labels(source.parent) or LabelSet.collect(row.labels for row in rows)
    targets = labels.encode([row.labels for row in rows])
    parts = stratified_split(targets, tuple(SHARES.values()), seed)
    with atomic_folder(out) as part_folder:
        counts = {}
        for name, part in zip(SHARES, parts, strict=True):
            chosen = [rows[index] for index in part]
            write_text(part_folder / f"{name}.json", examples_to_json(chosen, part_folder))
            counts[name] = {label: int(n) for label, n in zip(labels.names, targets[part].sum(0), strict=True)}
        write_text(part_folder / "labels.txt", "\n".join(labels.names) + "\n")
        about = {
            "source": source.name,
            "sha256": sha256_of(source),
            "seed": seed,
            "shares": SHARES,
            "positives": counts,
        }
        write_json(part_folder / "split.json", about)
    return tuple(len(part) for part in parts)
