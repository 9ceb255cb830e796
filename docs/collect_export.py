"""Put the figures of finished Bundles and replays on other processors into docs/results/export.json.

    python docs/collect_export.py --bundle NAME=BUNDLE ... --verified FILE ...

Every Bundle is quantised and stands beside its fp32 parent; FILE under --verified was written by
`distill verify --out`. Measures nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.core.errors import BundleError, RunError
from distill.core.files import read_json, write_json

OUT = Path(__file__).parent / "results" / "export.json"


def bundle(folder: Path) -> dict[str, Any]:
    """What was tried for one Bundle, what it reached and what it lost."""
    own, parent = (
        read_json(path / "manifest.json", BundleError) for path in (folder, folder.with_name(f"{folder.name}-fp32"))
    )
    figures = own["figures"]
    return {
        "precision": own["precision"],
        "target": own["target"],
        "fp32_bytes": parent["figures"]["size_bytes"],
        **{key: figures[key] for key in ("size_bytes", "time_ratio", "tried", "coverage", "drift", "parity")},
    }


@click.command()
@click.option("--bundle", "bundles", multiple=True, required=True, metavar="NAME=BUNDLE")
@click.option("--verified", multiple=True, required=True, type=click.Path(path_type=Path))
def collect(bundles: tuple[str, ...], verified: tuple[Path, ...]) -> None:
    """Write docs/results/export.json."""
    named = [pair.partition("=")[::2] for pair in bundles]
    write_json(
        OUT,
        {
            "bundles": {name: bundle(Path(folder)) for name, folder in named},
            "verified": [read_json(path, RunError) for path in verified],
        },
    )


if __name__ == "__main__":
    collect()
