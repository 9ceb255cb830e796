"""The process that decodes the images of a service, one after another: `python -m` with this module.

It reads requests from its standard input and writes answers to its standard output, each as its length in 4 bytes
and its content; an answer begins with one byte, OK or FAILED. It may be killed at any time, ends when its input
does, and takes no more memory and time than its WorkerSpec says (memory on Linux, time where there is SIGALRM).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from distill.core.errors import ImageError
from distill.preprocess.images import ImageSpec, image_to_uint8

IMAGE = "image"  # the name of an image without a file, in an error
OK, FAILED = b"+", b"-"
LENGTH = struct.Struct(">I")
# The most that any format takes at its peak is about 20 bytes a pixel; libraries take some megabytes of their own.
BYTES_PER_PIXEL, SPARE_BYTES = 32, 256 << 20


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker makes of images, and its limits: of pixels, and of seconds for one image."""

    image: ImageSpec
    max_pixels: int
    timeout_s: float

    def to_json(self) -> str:
        """The spec as an argument of the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerSpec:
        """The spec of `to_json`."""
        tree = json.loads(text)
        return cls(ImageSpec(**tree.pop("image")), **tree)


def main() -> None:
    """Answer requests until the input ends."""
    spec = WorkerSpec.from_json(sys.argv[1])
    for name in ("SIGINT", "SIGTERM"):  # the service ends its workers, after the requests that it has accepted
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand between answers
    with contextlib.suppress(ImportError):  # a Pillow without AVIF
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    _bound_memory(spec.max_pixels)
    _write(answers, OK)
    while (content := _read(sys.stdin.buffer)) is not None:
        _set_alarm(math.ceil(spec.timeout_s) + 1)
        _write(answers, _answer(content, spec))
        _set_alarm(0)


def _answer(content: bytes, spec: WorkerSpec) -> bytes:
    """An empty request is answered at once: it asks whether the worker is there."""
    if not content:
        return OK
    try:
        return OK + image_to_uint8(content, spec.image, IMAGE, spec.max_pixels).tobytes()
    except ImageError as error:
        return FAILED + str(error).encode("utf-8", "replace")


def _read(file: BinaryIO) -> bytes | None:
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    content = file.read(size)
    return content if len(content) == size else None


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(LENGTH.pack(len(content)) + content)
    file.flush()


def _set_alarm(seconds: int) -> None:
    """End this process after so many seconds, even where the service is gone; 0: never."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _bound_memory(max_pixels: int) -> None:
    """Give this process what it has now, and what an image of so many pixels takes."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + SPARE_BYTES + BYTES_PER_PIXEL * max_pixels
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
