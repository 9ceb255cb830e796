"""Write docs/licences.md: every package that an installation brings, its version and its licence.

    python docs/collect_licences.py

Run it where all extras are installed. What a package says of itself is written down, and nothing is guessed.
"""

from __future__ import annotations

import re
from collections import deque
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OUT = Path(__file__).parent / "licences.md"
EXTRAS = (
    "",
    "train",
    "peers",
    "plots",
    "tune",
    "ocr",
    "hub",
    "ray",
    "serve",
)  # in the order in which a package is named once
HEAD = """\
# Licences of what distill installs

distill itself is MIT. Made by `docs/collect_licences.py` from what each package says of itself, with the versions
of [constraints.txt](../constraints.txt) on Linux and Python 3.11; the packages of the `dev` extra are not shipped
and not listed. NVIDIA's packages come with PyTorch's default wheels for Linux and are not needed on a CPU.

The wheel of opencv-python-headless bundles FFmpeg (LGPL) and OpenSSL; rapidocr's models are PaddleOCR's
(Apache-2.0). A page that `distill export --web` makes holds onnxruntime-web (MIT), its licence text beside it.
"""
TITLES = {
    "": "The base install: what a device needs",
    "train": "With `[train]`",
    "peers": "With `[peers]`",
    "plots": "With `[plots]`",
    "tune": "With `[tune]`",
    "ocr": "With `[ocr]`",
    "hub": "With `[hub]`: nothing more than the base install brings",
    "ray": "With `[ray]`",
    "serve": "With `[serve]`",
}


def closure(extra: str) -> dict[str, Distribution]:
    """All packages that an installation with the extra brings, by canonical name; distill left out."""
    found: dict[str, Distribution] = {}
    queue = deque([("distill", frozenset({extra}))])
    seen = set(queue)
    while queue:
        name, extras = queue.popleft()
        package = distribution(name)
        found[canonicalize_name(name)] = package
        for line in package.requires or ():
            needed = Requirement(line)
            if needed.marker and not any(needed.marker.evaluate({"extra": each}) for each in extras | {""}):
                continue
            step = (canonicalize_name(needed.name), frozenset(needed.extras))
            if step not in seen:
                seen.add(step)
                queue.append(step)
    return {name: package for name, package in sorted(found.items()) if name != "distill"}


def licence(package: Distribution) -> str:
    """Its SPDX expression, else its classifiers, else the first line of its licence field."""
    meta = package.metadata
    if meta.get("License-Expression"):
        return str(meta["License-Expression"])
    classified = [c.rpartition(" :: ")[2] for c in meta.get_all("Classifier") or () if c.startswith("License ::")]
    if [c for c in classified if c != "OSI Approved"]:
        return ", ".join(c for c in classified if c != "OSI Approved")
    lines = (meta.get("License") or "").strip().splitlines()
    return lines[0] if lines else "not said"


def page() -> str:
    """The whole page."""
    parts, named = [HEAD], set[str]()
    for extra in EXTRAS:
        fresh = {name: package for name, package in closure(extra).items() if name not in named}
        named |= set(fresh)
        rows = [f"| {name} | {package.version} | {licence(package)} |" for name, package in fresh.items()]
        parts += [f"\n## {TITLES[extra]}\n", "| package | version | licence |", "|---|---|---|", *rows]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)) + "\n"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
