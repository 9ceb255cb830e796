"""Killed anywhere, nothing is lost and nothing half done is taken for whole.

A `Victim` dies before its n-th file operation, for every n, and in the middle of a write, after a number of
bytes. These are the functions that write what is kept; test_kill_commands.py kills the commands themselves.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from chain import Chain
from victim import End, Victim, anew, every_point, leftovers

from distill.core.storage.files import remove_leftovers
from distill.data.run_folder import is_run
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle


def test_a_file_is_the_old_or_the_new_one(victim: Victim, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    imports = "from pathlib import Path\nfrom distill.core.storage.files import write_json\n"
    source = f"{imports}write_json(Path({str(path)!r}), [2])"
    path.write_text("[1]\n")

    def run(point: int) -> End:
        anew(tmp_path)
        path.write_text("[1]\n")
        return victim.run(source, tmp_path, kill_at=point)

    points = every_point(run, lambda _: json.loads(path.read_text()) in ([1], [2]) or pytest.fail(path.read_text()))
    assert points >= 4
    assert json.loads(path.read_text()) == [2]
    for cut in (0, 1, 3):
        assert victim.run(source, tmp_path, file_bytes=cut, deadly=True).killed
        assert json.loads(path.read_text()) == [2]
    victim.run(source, tmp_path)
    assert leftovers(tmp_path) == []


REWRITE = """
import json
from pathlib import Path
from distill.core.storage import files
from distill.runtime.bundle import Bundle, Contents, write_bundle
if not {swaps}:
    files._exchange = lambda first, second: False
b = Bundle.open(Path({source!r}))
card = (b.folder / "README.md").read_text()
recipe = json.loads((b.folder / "recipe.json").read_text())
about = (b.tokenizer_json, b.labels, b.thresholds, b.preprocess, recipe, b.figures, b.golden, card, "of no run")
write_bundle(Path({out!r}), Contents(b.model, b.kind, b.precision, b.target, *about))
"""


@pytest.mark.slow
@pytest.mark.parametrize("swaps", [True, False], ids=["names swapped in one step", "in two steps"])
def test_a_bundle_is_the_old_or_the_new_one(chain: Chain, victim: Victim, tmp_path: Path, swaps: bool) -> None:
    """Where a system cannot swap two names there is a moment without either; the next writer mends that."""
    out = tmp_path / "bundle"
    replace = REWRITE.format(swaps=swaps, source=str(chain.fp32), out=str(out))
    found, moments = [], []

    def run(point: int) -> End:
        anew(tmp_path)
        shutil.copytree(chain.int8, out)
        return victim.run(replace, tmp_path, kill_at=point)

    def check(point: int) -> None:
        if not out.exists():
            moments.append(point)
            remove_leftovers(out)
        found.append(Bundle.open(out).precision)
        if point % 12 == 0:
            assert victim.run(replace, tmp_path).code == 0
            assert [path.name for path in tmp_path.iterdir()] == ["bundle"]

    assert every_point(run, check) > 60
    assert len(moments) == (0 if swaps else 1)
    assert set(found) == {"int8", "fp32"}
    assert Bundle.open(out).precision == "fp32"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("cut", [0, 10_000, 100_000, 400_000])
def test_a_bundle_stays_when_its_successor_is_torn(chain: Chain, victim: Victim, tmp_path: Path, cut: int) -> None:
    out = tmp_path / "bundle"
    shutil.copytree(chain.int8, out)
    replace = REWRITE.format(swaps=True, source=str(chain.fp32), out=str(out))
    assert victim.run(replace, tmp_path, file_bytes=cut, deadly=True).killed
    assert Bundle.open(out).precision == "int8"
    victim.run(replace, tmp_path)
    assert Bundle.open(out).precision == "fp32"
    assert leftovers(tmp_path) == []


BEGIN = """
import pickle
from pathlib import Path
from distill.training.run_writer import RunStart, claim_run
config, splits = pickle.loads({state!r})
with claim_run(Path({out!r}), RunStart("teacher", config, splits), {resume}, {overwrite}):
    pass
"""


def test_a_folder_is_claimed_wherever_the_first_try_was_killed(
    chain: Chain, victim: Victim, tmp_path: Path
) -> None:
    state = pickle.dumps((chain.recipe.teacher, chain.splits))
    out = tmp_path / "fresh"
    for again in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": False}):

        def check(_: int, again: dict[str, bool] = again) -> None:
            if again["resume"] and not (out / "started.json").exists():
                return  # it had not begun, and says so
            assert victim.run(BEGIN.format(state=state, out=str(out), **again), tmp_path).code == 0
            assert [path.name for path in out.iterdir()] == ["started.json"]
            shutil.rmtree(out)

        first = BEGIN.format(state=state, out=str(out), resume=False, overwrite=False)
        assert every_point(lambda point, first=first: victim.run(first, tmp_path, kill_at=point), check) >= 4
        shutil.rmtree(out)


OVER = (
    BEGIN.removesuffix("    pass\n")
    + """
    new, out = Path({new!r}), Path({out!r})
    for path in sorted(new.iterdir(), key=lambda path: path.name == "run.json"):
        path.rename(out / path.name)
"""
)


@pytest.mark.parametrize("finishes", [False, True])
def test_an_overwritten_run_stays_whole_until_another_is_finished(
    chain: Chain, victim: Victim, tmp_path: Path, finishes: bool
) -> None:
    out, new = tmp_path / "run", tmp_path / "new"
    state = pickle.dumps((chain.recipe.teacher, chain.splits))
    names = {path.name for path in chain.teacher.iterdir()}
    how = {"state": state, "out": str(out), "resume": False}
    over = (OVER if finishes else BEGIN).format(new=str(new), overwrite=True, **how)

    def run(point: int) -> End:
        anew(tmp_path)
        shutil.copytree(chain.teacher, out)
        shutil.copytree(chain.teacher, new)
        return victim.run(over, tmp_path, kill_at=point)

    def check(_: int) -> None:
        victim.run(BEGIN.format(overwrite=False, **how), tmp_path)  # refused, but it cleans up
        whole = out if is_run(out) else out / "replaced"
        assert names == {path.name for path in whole.iterdir()} - {"replaced"}
        Checkpoint.load(whole)
        assert leftovers(tmp_path) == []

    assert every_point(run, check) > 25
    assert {path.name for path in out.iterdir()} == names
    assert list(new.iterdir()) == [] if finishes else list(new.iterdir())


FINISH = """
import torch
from pathlib import Path
from distill.model.checkpoint import Checkpoint; from distill.training.run_writer import finish_run
from distill.model.training_log import TrainLog
run = Checkpoint.load(Path({source!r}))
finish_run(Path({out!r}), run.classifier, run.thresholds, TrainLog((), 1, 0.5), {{"quality": []}})
"""


@pytest.mark.slow
def test_a_finished_run_has_all_its_files(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    out = tmp_path / "run"
    finish = FINISH.format(source=str(chain.student), out=str(out))
    finished = []

    def run(point: int) -> End:
        anew(tmp_path)
        (out / "training").mkdir(parents=True)
        (out / "training" / "checkpoint").write_text("weights")
        return victim.run(finish, tmp_path, kill_at=point)

    def check(_: int) -> None:
        for path in out.rglob("*.json"):
            json.loads(path.read_text())
        if is_run(out):
            finished.append(Checkpoint.load(out).sha256)

    assert every_point(run, check) > 25
    assert finished
    for cut in (0, 5_000, 300_000):
        assert victim.run(finish, tmp_path, file_bytes=cut, deadly=True).killed
        assert Checkpoint.load(out).sha256 == finished[0]
    assert victim.run(finish, tmp_path).code == 0
    assert leftovers(tmp_path) == []
