"""What quantising came to, as the terminal shows it. Knows figures, measures nothing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from export.quantize.coverage import Coverage
from export.quantize.search import Candidate


def tried_table(candidates: Sequence[Candidate], precision: str) -> Table:
    """Every scheme that was tried, the one that ships first."""
    table = Table(title=f"{precision}: what was tried, the first ships", title_justify="left")
    table.add_column("scheme")
    for name in ("MB", "micro-F1 lost [95 %]", "micro-AP lost", "p moved", "time / fp32"):
        table.add_column(name, justify="right", no_wrap=True)
    for c in candidates:
        table.add_row(
            str(c.scheme),
            f"{c.size_bytes / 1e6:.1f}",
            f"{c.f1_drop:+.3f}",
            f"{c.ap_drop:+.4f}",
            f"{c.moved:.4f}",
            f"{c.time_ratio:.2f}",
        )
    return table


def coverage_table(coverage: Coverage) -> Table:
    """What quantising reached, tower by tower."""
    table = Table(title="What is computed with few bits, as onnxruntime runs it here", title_justify="left")
    table.add_column("tower")
    for name in ("multiply-accumulates", "of them in few bits", "weights MB", "of them in few bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for tower, reach in coverage.rows():
        total, stored = reach.small_macs + reach.float_macs, reach.small_bytes + reach.float_bytes
        cells = (f"{total / 1e6:.0f} M", f"{reach.macs:.1%}", f"{stored / 1e6:.1f}", f"{reach.weights:.1%}")
        table.add_row(tower, *cells)
    return table
