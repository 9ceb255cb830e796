"""A benchmark's figures and files in a tracker."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_reports import report
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bench import run


def test_every_variants_figures_and_the_files_are_logged(tmp_path: Path) -> None:
    made = report()
    written = run.write(made, tmp_path / "bench.json")
    run.track(made, written, ["tensorboard"])
    events = EventAccumulator(str(tmp_path / "bench.tensorboard")).Reload()
    for row in made.rows:
        (f1,) = events.Scalars(f"{row.name}/micro_f1")
        assert f1.value == pytest.approx(row.quality.micro_f1.value)
        (p50,) = events.Scalars(f"{row.name}/p50_ms")
        assert p50.value == pytest.approx(row.timings[0].p50.value)
    logged = {tag.removesuffix("/text_summary") for tag in events.Tags()["tensors"]}
    assert logged == {"recipe", *(path.name for path in written)}
