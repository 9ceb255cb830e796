"""Refuses an OpenVINO file that could do more than compute: declare entities, run extensions, keep state, or loop.

The .xml names layers, and for each constant where its bytes are in the .bin beside it, which OpenVINO checks
against that file's size. It is read once as a stream, in bounded memory, before OpenVINO opens it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from distill.core.errors import BundleError
from distill.runtime.onnx.guard import MAX_BYTES

MAX_XML_BYTES = 64 << 20  # a large encoder's has 3 MB
MAX_DEPTH = 32
MAX_ATTRIBUTE = 1 << 20  # characters
OPSET = re.compile(r"opset\d{1,3}")  # another version is that of an extension
BODIES = ("body", "then_body", "else_body", "port_map", "back_edges")
STATE = ("ReadValue", "Assign")


def check_ir(xml: Path, weights: Path) -> None:
    """Raises BundleError for files that are missing, damaged or unsafe to open."""
    try:
        for path, limit in ((xml, MAX_XML_BYTES), (weights, MAX_BYTES)):
            if (size := path.stat().st_size) > limit:
                raise ValueError(f"{path.name} has {size:,} bytes, over the limit of {limit:,}")
        with xml.open("rb") as handle:
            _Checker().parser.ParseFile(handle)
    except (OSError, ValueError, expat.ExpatError) as error:
        raise BundleError(f"{xml}: cannot be read as an OpenVINO file: {error}; get the Bundle again") from error


class _Checker:
    """One pass over a file, which fails at the first thing that no Bundle has."""

    def __init__(self) -> None:
        self.depth = 0
        self.parser = expat.ParserCreate(encoding="utf-8")
        self.parser.StartDoctypeDeclHandler = lambda *_: _refuse("a document type, as entities need")
        self.parser.EntityDeclHandler = lambda *_: _refuse("entities")
        self.parser.ProcessingInstructionHandler = lambda *_: _refuse("processing instructions")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if self.depth == 1 and name != "net":
            raise ValueError("it does not begin with <net>")
        if any(len(value) > MAX_ATTRIBUTE for value in attributes.values()):
            raise ValueError(f"it has an attribute of more than {MAX_ATTRIBUTE:,} characters")
        if name in BODIES:
            _refuse("graphs inside layers, as loops have")
        if name == "layer":
            if not OPSET.fullmatch(attributes.get("version", "")):
                _refuse("layers that are not OpenVINO's own")
            if attributes.get("type") in STATE:
                _refuse("state that one call leaves to the next")

    def _end(self, _: str) -> None:
        self.depth -= 1


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"it holds {what}, which no Bundle has")
