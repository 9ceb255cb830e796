"""Which baseline stands beside a model, and what is said when there is none."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from chain import Chain

from distill.core.errors import RunError
from distill.core.settings.columns import Columns
from distill.data.labels import LabelSet
from distill.runtime.baseline import baseline_name, find_baseline, warn_if_seen


@pytest.fixture
def runs(chain: Chain, tmp_path: Path) -> Path:
    """A folder with a finished run of the name that is looked for; any run may be one."""
    shutil.copytree(chain.teacher, tmp_path / "baseline")
    return tmp_path


def test_a_finished_run_beside_the_model_is_found_and_named(
    runs: Path, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_baseline(None, runs / "teacher", chain.splits) == runs / "baseline"
    assert "compared with" in capsys.readouterr().err
    assert find_baseline("none", runs / "teacher", chain.splits) is None
    assert find_baseline(None, runs / "baseline", chain.splits) is None  # it is not compared with itself
    assert capsys.readouterr().err == ""
    assert baseline_name(runs / "baseline") == "the baseline (baseline)"


def test_one_of_other_labels_or_columns_is_said_and_refused_when_it_is_named(
    runs: Path, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = LabelSet(chain.splits.labels.names[::-1])
    columns = Columns(text="caption")
    for other, why in (({"labels": labels}, "other labels"), ({"columns": columns}, "other columns")):
        splits = replace(chain.splits, **other)
        assert find_baseline(None, runs / "teacher", splits) is None
        assert f"is not compared with: it {'has' if 'labels' in other else 'reads'} {why}" in " ".join(
            capsys.readouterr().err.split()
        )
        with pytest.raises(RunError, match=why):
            find_baseline(runs / "baseline", runs / "teacher", splits)


def test_examples_that_it_has_learned_from_are_counted(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    warn_if_seen(chain.teacher, [*chain.splits.train[:3], *chain.splits.test])
    assert "learned from 3 of these 27 examples" in " ".join(capsys.readouterr().err.split())
    warn_if_seen(chain.teacher, chain.splits.test)
    assert capsys.readouterr().err == ""


def test_without_one_a_line_says_how_to_get_one(
    tmp_path: Path, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_baseline(None, tmp_path / "teacher", chain.splits) is None
    said = "".join(capsys.readouterr().err.split())
    assert f"distillbaseline--dataDATA--out{tmp_path / 'baseline'}makesone,and--baselinenamesone" in said
    with pytest.raises(RunError, match="neither a finished run nor a Bundle"):
        find_baseline(tmp_path / "nowhere", tmp_path / "teacher", chain.splits)
    with pytest.raises(RunError, match="is the model itself"):
        find_baseline(chain.teacher, chain.teacher, chain.splits)
