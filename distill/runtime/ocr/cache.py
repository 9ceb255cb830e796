"""Remembers in a file the texts that were read off images, so that a killed run does not read them again.

One line of JSON for each image, keyed by its content: rows may change places, and the same image is read once.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from distill import __version__
from distill.core.errors import OutputError
from distill.core.storage.files import explain_write_errors
from distill.core.storage.lock import lock_beside, sole_writer
from distill.core.untrusted import is_file
from distill.data.image_facts import image_hash


class Ocr(Protocol):
    """Reads the text on an image; `name` is the program and its version."""

    name: str

    def read(self, source: Path | bytes) -> str:
        """The text, "" where there is none. Raises ImageError."""


class OcrCache:
    """An Ocr that remembers in the file `path` while its `with` lasts.

    The file stays for a later run, unless `discard` was called.
    """

    def __init__(self, path: Path, ocr: Ocr) -> None:
        self.path = path
        self.ocr = ocr
        self.name = ocr.name
        self._version = f"{ocr.name}, distill {__version__}"  # another version may read another text
        self._texts: dict[str, str] = {}
        self._discarded = False

    @property
    def count(self) -> int:
        """How many images were read."""
        return len(self._texts)

    def __enter__(self) -> OcrCache:
        """Raises OutputError when another process is writing the file."""
        with ExitStack() as stack:
            stack.enter_context(sole_writer(self.path, lock_beside(self.path), OutputError))
            with explain_write_errors(self.path):
                self._handle = stack.enter_context(self.path.open("a+b"))
            self._handle.truncate(self._load())
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._open:
            self._handle.close()
            if self._discarded or self.path.stat().st_size == 0:
                self.path.unlink()

    def read(self, source: Path | bytes) -> str:
        """The text, from the file or off the image. Raises ImageError, and OutputError when the disk is full."""
        if isinstance(source, bytes):
            key = hashlib.sha256(source).hexdigest()
        elif is_file(source):
            key = image_hash(source)
        else:  # not hashed: a FIFO would never end
            return self.ocr.read(source)
        if key not in self._texts:
            text = self.ocr.read(source)
            line = json.dumps({"image": key, "text": text, "reader": self._version})
            with explain_write_errors(self.path):
                self._handle.write(line.encode() + b"\n")
                self._handle.flush()
                os.fsync(self._handle.fileno())
            self._texts[key] = text
        return self._texts[key]

    def discard(self) -> None:
        """Remove the file at the end: its texts are stored elsewhere now."""
        self._discarded = True

    def _load(self) -> int:
        """Read the texts that this very version read and return the size in bytes of the whole lines."""
        size_bytes = 0
        self._handle.seek(0)
        for line in self._handle:
            try:
                row = json.loads(line)
                key, text, version = row["image"], row["text"], row["reader"]
            except (ValueError, TypeError, KeyError):  # cut off, or damaged when the machine lost its power
                break
            if not line.endswith(b"\n"):
                break
            size_bytes += len(line)
            if version == self._version:
                self._texts[key] = text
        return size_bytes


def cache_path(out: Path) -> Path:
    """OUT.ocr.part."""
    return out.with_name(f"{out.name}.ocr.part")
