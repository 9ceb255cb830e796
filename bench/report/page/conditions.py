"""What a page says of the machine, the software and how it was measured. Knows reports and markup."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.page.cast import Device
from bench.report.page.html import Html, Line, details, table, tag
from bench.report.page.words import NONE
from bench.report.types import BenchReport

INTERVALS = (
    "Square brackets hold 95 % bootstrap intervals: of times over whole rounds of calls, of F1 over examples, of "
    "differences in F1 over the same examples for both."
)


def conditions(found: Sequence[Device]) -> Html:
    """Folded away, one part a device."""
    parts: list[Html] = []
    for device in found:
        parts += [tag("h3", device.title), _described(device.report)]
        packages = sorted(device.report.conditions.packages.items())
        parts.append(table("Packages", ["package", "version"], [Line(item) for item in packages], words=2))
    return tag("section", tag("h2", "Conditions"), details("Machine, software and how it was measured", *parts))


def _described(report: BenchReport) -> Html:
    m, c = report.machine, report.conditions
    cores = f"{m.cores} usable, time of {m.granted:g} granted, affinity {m.affinity}"
    rounds = (
        f"{c.calls} calls a variant in rounds of {c.calls_a_round}; the variants take turns round by round, so "
        "that the machine's moods fall on all of them; warm-up is excluded"
    )
    memory = NONE if m.memory_bytes is None else f"{m.memory_bytes / 1e9:.1f} GB"
    known = (
        ("processor", f"{m.cpu} ({', '.join(m.flags)})" if m.flags else m.cpu),
        ("int8 target", m.int8_target),
        ("cores", cores),
        ("governor", m.governor or NONE),
        ("load before", NONE if m.load is None else f"{m.load:.2f}"),
        ("memory", memory),
        ("system", m.system),
        ("started", c.started),
        ("distill", f"{c.distill}, git {c.git or NONE}, Python {c.python}"),
        ("waiting threads", c.spinning),
        ("calls", rounds),
        ("examples", f"{c.examples} of {c.split}, SHA-256 {c.examples_sha256}"),
        ("intervals", INTERVALS),
    )
    return tag("dl", *(part for word, text in known for part in (tag("dt", word), tag("dd", text))))
