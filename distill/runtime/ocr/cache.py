"""What was read off images so far, so that a killed run does not read them again. Knows lines and hashes, not how
an image is read.

One line of JSON for each image, by its content: rows may change places, and the same image is read once.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Protocol

from distill import __version__
from distill.core.files import explain_write_errors
from distill.core.untrusted import is_file
from distill.data.checks import image_hash
from distill.runtime.answer_file import claim


class Reads(Protocol):
    """What reads the text on an image; `name` says which program of which version."""

    name: str

    def read(self, source: Path | bytes) -> str:
        """The text, "" where there is none. Raises ImageError."""


class Readings:
    """A reader that remembers in a file, while its `with` lasts; the file goes when `done` was called."""

    def __init__(self, path: Path, reader: Reads) -> None:
        self.path = path
        self.reader = reader
        self.name = reader.name
        self._version = f"{reader.name}, distill {__version__}"  # another one may read another text
        self._texts: dict[str, str] = {}
        self._done = False

    @property
    def count(self) -> int:
        """How many images are read."""
        return len(self._texts)

    def __enter__(self) -> Readings:
        """Raises OutputError when another process is writing the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with explain_write_errors(self.path):
            self._handle = self.path.open("a+b")
        try:
            claim(self._handle, self.path)
            self._handle.truncate(self._take())
        except BaseException:
            self._handle.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was read, unless it is done with."""
        self._handle.close()
        if self._done or self.path.stat().st_size == 0:
            self.path.unlink()

    def read(self, source: Path | bytes) -> str:
        """As the reader does, or from the file. Raises ImageError, and OutputError when there is no room."""
        if isinstance(source, bytes):
            key = hashlib.sha256(source).hexdigest()
        elif is_file(source):
            key = image_hash(source)
        else:  # what is none is not to be hashed: a FIFO would never end
            return self.reader.read(source)
        if key not in self._texts:
            text = self.reader.read(source)
            line = json.dumps({"image": key, "text": text, "reader": self._version})
            with explain_write_errors(self.path):
                self._handle.write(line.encode() + b"\n")
                self._handle.flush()
                os.fsync(self._handle.fileno())
            self._texts[key] = text
        return self._texts[key]

    def done(self) -> None:
        """All of it stands elsewhere now."""
        self._done = True

    def _take(self) -> int:
        """Take up what such a reader left; the bytes of whole lines."""
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


def beside(out: Path) -> Path:
    """OUT.ocr.part."""
    return out.with_name(f"{out.name}.ocr.part")
