"""Inject the faults again and put what was survived into docs/results/reliability.json.

    python docs/collect_reliability.py [--bundle BUNDLE --seconds 60] [--long FILE]

It runs the tests that kill processes and fill disks, and counts what they met; it counts the inputs that the tests
hold; with --bundle it mutates that Bundle for so long; FILE was printed by tests/long/predict_100k.py. What was
found and mended stands in the JSON by hand, and stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.files import read_json, write_json

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "results" / "reliability.json"
FIRST_MUTANT = 100_000  # others than those that the tests ask
TESTS = ("test_kill", "test_kill_commands", "test_predict", "test_full_disk")
# What a test injects its faults into.
SUBJECTS = {
    "test_a_file_is_the_old_or_the_new_one": "a JSON file replaced",
    "test_a_bundle_is_the_old_or_the_new_one": "a Bundle replaced",
    "test_a_bundle_stays_when_its_successor_is_torn": "a Bundle replaced",
    "test_a_folder_is_claimed_wherever_the_first_try_was_killed": "a run's folder claimed",
    "test_an_overwritten_run_is_whole_or_gone": "a run overwritten",
    "test_a_finished_run_has_all_its_files": "a run finished",
    "test_a_teacher_ends_as_an_unbroken_one": "train-teacher",
    "test_a_student_ends_as_an_unbroken_one": "train-student",
    "test_a_checkpoint_that_is_torn_is_not_taken": "train-student",
    "test_a_student_goes_on_when_there_is_room_again": "train-student",
    "test_a_small_file_system_fills_up_and_is_survived": "train-student",
    "test_an_export_is_whole_wherever_the_one_before_was_killed": "export",
    "test_an_export_that_finds_no_room_leaves_the_bundles_that_stand": "export",
    "test_torchs_own_exporter_says_it_too": "export",
    "test_killed_before_any_of_its_file_operations_it_ends_with_the_same_bytes": "predict",
    "test_killed_in_the_middle_of_a_line_it_ends_with_the_same_bytes": "predict",
    "test_answers_go_on_when_there_is_room_again": "predict",
    "test_a_folder_that_gained_an_image_is_another_source": "predict",
    "test_answers_are_never_lost_silently": "predict",
    "test_answers_to_something_else_are_not_gone_on_with": "predict",
    "test_two_runs_do_not_write_one_file": "predict",
    "test_figures_of_yesterday_stay": "a JSON file replaced",
    "test_half_a_feature_is_never_used": "the feature cache",
}


def faults() -> dict[str, dict[str, int]]:
    """By subject, how often it was killed, torn in a write, and out of room; every test passed."""
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.json"
        files = [str(ROOT / "tests" / f"{name}.py") for name in TESTS]
        environment = dict(os.environ) | {"DISTILL_TALLY": str(tally)}
        subprocess.run([sys.executable, "-m", "pytest", *files], cwd=ROOT, env=environment, check=True)
        counted = read_json(tally, BenchError)
    by_subject: dict[str, dict[str, int]] = {}
    for test, ends in counted.items():
        sums = by_subject.setdefault(SUBJECTS[test], {"killed": 0, "torn": 0, "full": 0})
        for kind, count in ends.items():
            sums[kind] += count
    return by_subject


def inputs() -> dict[str, int]:
    """How many of each kind the tests hold."""
    sys.path.insert(0, str(ROOT / "tests"))
    import hostile_graphs as graphs
    import hostile_images as images
    import hostile_rows as rows

    return {
        "images that must be read": sum(image.good for image in images.IMAGES),
        "images that must be refused": sum(not image.good for image in images.IMAGES),
        "texts": len(rows.TEXTS),
        "files of rows that must be read": len(rows.READ),
        "files of rows that must be refused": len(rows.REFUSED),
        "hostile graphs in a Bundle": len(graphs.GRAPHS),
        "hostile settings in a Bundle": len(graphs.SPECS),
        "hostile tokenizers in a Bundle": len(graphs.TOKENIZERS),
        "hostile manifests": len(graphs.MANIFESTS),
    }


def mutants(bundle: Path, seconds: int) -> dict[str, Any]:
    """What became of mutants of a Bundle whose checksums were mended, opened and asked for so long."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hostile_bundles import outcomes

    found = {outcome: len(said) for outcome, said in outcomes(bundle, FIRST_MUTANT, seconds).items()}
    answered, refused = found.pop("answer", 0), found.pop("refused", 0)
    return {"seconds": seconds, "answered": answered, "refused": refused, "other": found}


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path))
@click.option("--seconds", default=60, show_default=True)
@click.option("--long", "long_file", type=click.Path(path_type=Path))
def collect(bundle: Path | None, seconds: int, long_file: Path | None) -> None:
    """Write docs/results/reliability.json; what is not measured again keeps its figures."""
    tree = read_json(OUT, BenchError)
    tree |= {"faults": faults(), "inputs": inputs()}
    if bundle is not None:
        tree["mutants"] = mutants(bundle, seconds)
    if long_file is not None:
        tree["long"] = read_json(long_file, BenchError)
    write_json(OUT, tree)


if __name__ == "__main__":
    collect()
