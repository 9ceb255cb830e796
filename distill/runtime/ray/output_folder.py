"""Writes the predictions of many machines to a folder, one file for each block, so that a broken run can resume.

  OUT/manifest.json                           the source, the Bundle's hash, and whether all blocks are finished
  OUT/.lock                                   while a run writes here
  OUT/predictions-000017-5f0c9a1be3d2.jsonl   the lines of block 17; the hash is of its rows and of the predictor

A file is written whole or not at all, and its name says what it holds: a run that resumes writes those that are
missing. Sorted by name, the files hold the lines in the order of the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import OutputError
from distill.core.storage.files import explain_write_errors, read_json, write_bytes, write_json
from distill.core.storage.lock import lock_inside, sole_writer
from distill.runtime.partial_file import is_failed_row
from distill.runtime.ray.blocks import Block

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class OutputFolder:
    """The folder `out` for the predictions of all `blocks` of `source`; `predictor_identity` is what
    `partial_file.predictor_identity` returned."""

    out: Path
    source: Path
    blocks: Sequence[Block]
    predictor_identity: dict[str, Any]

    def path(self, block: Block) -> Path:
        """The file of a block."""
        identity = json.dumps([block.content_hash, block.count, self.predictor_identity], sort_keys=True)
        return (
            self.out / f"predictions-{block.number:06d}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.jsonl"
        )

    def files(self) -> list[Path]:
        """All files of predictions in the folder, whoever wrote them."""
        return sorted(self.out.glob("predictions-*.jsonl")) if self.out.is_dir() else []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out. Raises OutputError when one is writing the folder."""
        self._refuse_file()
        with sole_writer(self.out, lock_inside(self.out), OutputError):
            yield

    def missing(self, resume: bool) -> list[Block]:
        """The blocks whose file is missing. Raises OutputError rather than lose predictions, or mix them with those
        of other rows or another Bundle."""
        self._refuse_file()
        files = set(self.files())
        names = {path.name for path in self.out.iterdir()} if self.out.is_dir() else set()
        if MANIFEST not in names and not all(name.startswith(".") for name in names):
            raise OutputError(f"{self.out}: holds files that --engine ray did not write; give --out a new folder")
        foreign = files - set(map(self.path, self.blocks))
        if foreign:
            raise OutputError(
                f"{self.out}: {min(foreign).name} is of other rows, or by another Bundle or version; go on with "
                "the same, or give --out a new folder"
            )
        if files and not resume:
            raise OutputError(
                f"{self.out}: {len(files):,} of {len(self.blocks):,} files of predictions are there already; go "
                "on with --resume, or remove the folder to start over"
            )
        return [block for block in self.blocks if self.path(block) not in files]

    def begin(self) -> None:
        """Write the manifest. Raises OutputError."""
        self._write_manifest(finished=False, failed_rows=None)

    def write(self, block: Block, lines: bytes) -> None:
        """Write the file of one block. Raises OutputError."""
        path = self.path(block)
        with explain_write_errors(path, len(lines), "go on with --resume"):
            write_bytes(path, lines)

    def finish(self) -> int:
        """Mark the folder as finished and return the number of failed rows in all files. Raises OutputError where a
        file is missing."""
        if missing := self.missing(resume=True):
            raise OutputError(
                f"{self.out}: {len(missing):,} files of predictions are missing; give the command with --resume"
            )
        failed_rows = sum(map(_count_failed_rows, self.files()))
        self._write_manifest(finished=True, failed_rows=failed_rows)
        return failed_rows

    def _refuse_file(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise OutputError(f"{self.out}: is a file, and --engine ray writes a folder; give another --out")

    def _write_manifest(self, finished: bool, failed_rows: int | None) -> None:
        manifest = {
            "format": FORMAT,
            "source": str(self.source.absolute()),
            "predictor": self.predictor_identity,
            "rows": sum(block.count for block in self.blocks),
            "files": len(self.blocks),
            "finished": finished,
            "failed_rows": failed_rows,
        }
        path = self.out / MANIFEST
        if not path.exists() or read_json(path, OutputError) != manifest:
            write_json(path, manifest)


def _count_failed_rows(path: Path) -> int:
    """Parses only lines that may be failed rows: there may be a hundred million."""
    with path.open("rb") as handle:
        return sum(is_failed_row(line) for line in handle if b'"error"' in line)
