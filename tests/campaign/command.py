"""The campaign's command line: how long, of what kinds, and where its report goes."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from campaign.fuzz import engine, fuzz
from campaign.metamorphic import compare
from campaign.outcome import Tally, summary
from campaign.streams import break_streams
from campaign.subject import Subject, prepare
from campaign.targets import TARGETS
from campaign.writers import disturb
from distill.core.storage.files import write_json

PATH = click.Path(path_type=Path)
KINDS = {"fuzz": 0.45, "metamorphic": 0.05, "writers": 0.3, "streams": 0.2}  # their shares of the time
WORK = Path(tempfile.gettempdir()) / "distill-campaign"


@click.group()
def main() -> None:
    """A differential and fault campaign against distill."""


@main.command()
@click.option(
    "--minutes", default=30.0, show_default=True, type=click.FloatRange(0.05), help="Of all kinds together."
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="Repeatable.  [default: all]")
@click.option("--only", "names", multiple=True, help="Names of fuzzer's targets or commands. Repeatable.")
@click.option("--seed", default=13, show_default=True, help="Of everything that is drawn.")
@click.option("--count", default=0, help="Random inputs of each fuzzer's target, instead of atheris.")
@click.option(
    "--subject", default=WORK, type=PATH, help="Folder with what is attacked; made where it is not there."
)
@click.option("--out", default=Path("campaign.json"), show_default=True, type=PATH, help="Report to write.")
def run(
    minutes: float, kinds: tuple[str, ...], names: tuple[str, ...], seed: int, count: int, subject: Path, out: Path
) -> None:
    """Run it; the exit code is 1 when a failure was found.

    Each failure has a file in OUT's folder, in a folder of OUT's name, that shows it again.
    """
    chosen = kinds or tuple(KINDS)
    attacked = prepare(subject.absolute())
    share = minutes * 60 / sum(KINDS[kind] for kind in chosen)
    tallies = []
    for kind in chosen:
        tally = Tally(kind, out.with_suffix(""))
        tallies.append(tally)
        attack(tally, attacked, share * KINDS[kind], count, seed, names)
        write_json(out, report(tallies, seed, count))
    print(summary(tallies))
    idle = [tally.kind for tally in tallies if not tally.tried]
    if idle:
        print(f"error: nothing was tried of {', '.join(idle)}; give more --minutes")
    if idle or any(tally.failures for tally in tallies):
        raise SystemExit(1)


@main.command()
@click.argument("target", type=click.Choice(list(TARGETS)))
@click.argument("inputs", nargs=-1, type=PATH)
@click.option("--subject", default=WORK, type=PATH)
def again(target: str, inputs: tuple[Path, ...], subject: Path) -> None:
    """Feed inputs to a fuzzer's target, without limits, and show what comes of them."""
    folder = Path(tempfile.mkdtemp())
    feed = TARGETS[target].open(prepare(subject.absolute()), folder)
    for path in inputs:
        try:
            print(f"{path.name}: {feed(path.read_bytes())!r}")
        except BaseException:  # noqa: BLE001 - to be shown
            print(f"{path.name}: {traceback.format_exc()}")


def attack(
    tally: Tally, subject: Subject, seconds: float, count: int, seed: int, names: tuple[str, ...] = ()
) -> None:
    """Run one kind for so many seconds."""
    if tally.kind == "fuzz":
        fuzz(tally, subject, seconds, count, seed, names)
    elif tally.kind == "metamorphic":
        compare(tally, subject, seconds, seed)
    elif tally.kind == "writers":
        disturb(tally, subject, seconds, seed, names)
    else:
        break_streams(tally, subject, seconds, seed, names)


def report(tallies: list[Tally], seed: int, count: int) -> dict[str, Any]:
    """What is published: docs/results/campaign.json."""
    return {
        "seed": seed,
        "fuzzer": engine(count),
        "kinds": {tally.kind: tally.to_json() for tally in tallies},
    }
