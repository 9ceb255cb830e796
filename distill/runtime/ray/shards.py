"""Answers in a folder of files, a block each, so that many machines' work can break off and go on. Knows blocks and
bytes, no models and no Ray.

  OUT/manifest.json                    what was asked, with which Bundle, and whether all is answered
  OUT/answers-000017-5f0c9a1be3d2.jsonl   the answers to block 17; the hash is of its rows and of who answers

A file is written whole or not at all, and its name says what it answers: a run that goes on writes those that are
not there. In the order of their names they hold the answers in the order of the rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import OutputError
from distill.core.files import named, read_json, write_bytes, write_json
from distill.runtime.partial_file import is_fault
from distill.runtime.ray.blocks import Block

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Shards:
    """A folder for the answers to the blocks of `source`, by what `partial_file.predictor_identity` names."""

    out: Path
    source: Path
    blocks: Sequence[Block]
    answering: dict[str, Any]

    def path(self, block: Block) -> Path:
        """Where the answers to a block stand once they are all there."""
        about = json.dumps([block.content, block.count, self.answering], sort_keys=True)
        return self.out / f"answers-{block.number:06d}-{hashlib.sha256(about.encode()).hexdigest()[:12]}.jsonl"

    def standing(self) -> list[Path]:
        """Files of answers that are there, whoever wrote them."""
        return sorted(self.out.glob("answers-*.jsonl")) if self.out.is_dir() else []

    def missing(self, resume: bool) -> list[Block]:
        """The blocks that are not answered yet. Raises OutputError rather than lose answers, or mix them with those
        of something else."""
        standing = set(self.standing())
        if self.out.exists() and not self.out.is_dir():
            raise OutputError(f"{self.out}: is a file, and --engine ray writes a folder; give another --out")
        if self.out.is_dir() and not (self.out / MANIFEST).exists() and any(self.out.iterdir()):
            raise OutputError(f"{self.out}: holds something that is not ours; give --out a new folder")
        strange = standing - set(map(self.path, self.blocks))
        if strange:
            raise OutputError(
                f"{self.out}: {min(strange).name} answers other rows, or is by another Bundle or version; go on "
                "with the same, or give --out a new folder"
            )
        if standing and not resume:
            raise OutputError(
                f"{self.out}: {len(standing):,} of {len(self.blocks):,} files of answers are there already; go on "
                "with --resume, or remove the folder to start over"
            )
        return [block for block in self.blocks if self.path(block) not in standing]

    def begin(self) -> None:
        """Claim the folder. Raises OutputError."""
        self.out.mkdir(parents=True, exist_ok=True)
        self._note(finished=False, faults=None)

    def write(self, block: Block, lines: bytes) -> None:
        """Put the answers to one block in their place. Raises OutputError."""
        path = self.path(block)
        with named(path, len(lines), "go on with --resume"):
            write_bytes(path, lines)

    def finish(self) -> int:
        """Say that all is answered; the number of faults in all files. Raises OutputError where one is missing."""
        if left := self.missing(resume=True):
            raise OutputError(
                f"{self.out}: {len(left):,} files of answers have gone; give the command with --resume"
            )
        faults = sum(map(_faults, self.standing()))
        self._note(finished=True, faults=faults)
        return faults

    def _note(self, finished: bool, faults: int | None) -> None:
        about = {
            "format": FORMAT,
            "source": str(self.source.absolute()),
            "answering": self.answering,
            "rows": sum(block.count for block in self.blocks),
            "files": len(self.blocks),
            "finished": finished,
            "faults": faults,
        }
        path = self.out / MANIFEST
        if not path.exists() or read_json(path, OutputError) != about:
            write_json(path, about)


def _faults(path: Path) -> int:
    """Only a line that can be one is parsed: there may be a hundred million."""
    with path.open("rb") as handle:
        return sum(is_fault(line) for line in handle if b'"error"' in line)
