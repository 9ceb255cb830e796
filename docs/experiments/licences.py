"""Every package that an installation brings, its version and its licence: docs/licences.md.

What a package says of itself is written down, and nothing is guessed.
"""

from __future__ import annotations

from collections import deque
from importlib.metadata import Distribution, distribution

import click
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distill.core.storage.files import write_text
from experiments.results import ROOT, table

EXTRAS = {  # in the order in which a package is named once
    "": "The base install: what a device needs",
    "train": "With `[train]`",
    "tensorboard": "With `[tensorboard]`",
    "mlflow": "With `[mlflow]`",
    "peers": "With `[peers]`",
    "plots": "With `[plots]`",
    "tune": "With `[tune]`",
    "ocr": "With `[ocr]`",
    "hub": "With `[hub]`: nothing more than the base install brings",
    "ray": "With `[ray]`",
    "serve": "With `[serve]`",
}
HEAD = """\
# Licences of what distill installs

distill itself is MIT. `python docs/experiments licences` writes this page from what each package says of itself,
with the versions of [constraints.txt](../constraints.txt) on Linux and Python 3.11. The packages of the extras
`dev`, `docs` and `campaign` are not shipped and not listed, nor are those of `[wandb]`, `[trackio]` and `[litert]`,
which the tests do without, of `[static]` (model2vec and skeletoken, MIT), which makes token vectors and is not
needed to use them, and of `[optimum]`, which has an environment of its own (optimum and optimum-onnx,
Apache-2.0). NVIDIA's packages come with PyTorch's default wheels for Linux; a CPU needs none.

The wheel of opencv-python-headless bundles FFmpeg (LGPL) and OpenSSL; rapidocr's models are PaddleOCR's
(Apache-2.0). A page that `distill export --web` writes holds onnxruntime-web (MIT), its licence text beside it.
`[heic]`, not listed, brings pillow-heif (BSD-3-Clause), whose wheel bundles libheif and libde265 (LGPL) and x265
(GPL).
"""


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
    expressions, classifiers, texts = (
        package.metadata.get_all(field) or [] for field in ("License-Expression", "Classifier", "License")
    )
    classified = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License ::")]
    exact = ", ".join(c for c in classified if c != "OSI Approved")
    return next(filter(None, (*expressions, exact, *"".join(texts).strip().splitlines())), "not said")


@click.command()
def licences() -> None:
    """Write docs/licences.md; run it where all extras are installed."""
    parts, named = [HEAD], set[str]()
    for extra, title in EXTRAS.items():
        fresh = {name: package for name, package in closure(extra).items() if name not in named}
        named |= set(fresh)
        rows = ((name, package.version, licence(package)) for name, package in fresh.items())
        parts.append(f"\n## {title}\n\n{table('package | version | licence', rows, left=3)}")
    write_text(ROOT / "docs" / "licences.md", "".join(parts))
