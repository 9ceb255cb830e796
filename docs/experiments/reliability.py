"""Faults injected on purpose, and what came of them: docs/reliability.md.

What was found and mended stands in reliability.json by hand, and stays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import hostile_graphs as graphs
import hostile_images as images
import hostile_rows as rows
import hostile_tokenizers
from hostile_bundles import outcomes

from distill.core.errors import BenchError
from distill.core.storage.files import read_json
from experiments.results import PATH, ROOT, conditions, read, table, write

LONG = ROOT / "tests" / "long" / "predict_100k.py"
FATES = {"killed": "killed before an operation", "torn": "killed in a write", "full": "out of room"}
FIRST_MUTANT = 100_000  # others than those that the tests ask
# What is broken, and the tests that break it, by their names without test_.
TESTS = {
    "a JSON file replaced": ("a_file_is_the_old_or_the_new_one", "figures_of_yesterday_stay"),
    "a Bundle replaced": ("a_bundle_is_the_old_or_the_new_one", "a_bundle_stays_when_its_successor_is_torn"),
    "a run's folder claimed": ("a_folder_is_claimed_wherever_the_first_try_was_killed",),
    "a run overwritten": ("an_overwritten_run_stays_whole_until_another_is_finished",),
    "a run finished": ("a_finished_run_has_all_its_files",),
    "train-teacher": ("a_teacher_ends_as_an_unbroken_one",),
    "train-student": (
        "a_student_ends_as_an_unbroken_one",
        "a_checkpoint_that_is_torn_is_not_taken",
        "a_student_goes_on_when_there_is_room_again",
        "a_small_file_system_fills_up_and_is_survived",
    ),
    "export": (
        "an_export_is_whole_wherever_the_one_before_was_killed",
        "an_export_that_finds_no_room_leaves_the_bundles_that_stand",
        "torchs_own_exporter_says_it_too",
    ),
    "predict": (
        "killed_before_any_of_its_file_operations_it_ends_with_the_same_bytes",
        "killed_in_the_middle_of_a_line_it_ends_with_the_same_bytes",
        "answers_go_on_when_there_is_room_again",
        "a_folder_that_gained_an_image_is_another_source",
        "answers_are_never_lost_silently",
        "answers_to_something_else_are_not_gone_on_with",
        "two_runs_do_not_write_one_file",
    ),
    "the feature cache": ("half_a_feature_is_never_used",),
}


@click.command("reliability")
@click.option("--bundle", type=PATH, help="Bundle to mutate, and to answer with.")
@click.option("--seconds", default=60, show_default=True, help="Of mutating it.")
@click.option("--data", type=PATH, metavar="DATA", help="Dataset for the long run; without it, none.")
@click.option("--items", default=100_000, show_default=True, help="Of the long run.")
@click.pass_obj
def measure(results: Path, bundle: Path | None, seconds: int, data: Path | None, items: int) -> None:
    """Kill processes, fill disks, mutate a Bundle and answer 100,000 items (reliability.json).

    It runs the tests that inject faults, and counts what they met and the inputs that they hold. What is not
    measured again keeps its figures.
    """
    tree = read("reliability") | {"faults": count_faults(), "inputs": count_inputs()}
    if bundle is not None:
        tree["mutants"] = mutants(bundle, seconds)
    if bundle is not None and data is not None:
        command = [sys.executable, str(LONG), str(bundle), str(data), str(items)]
        tree["long"] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    write(results, "reliability", conditions(), tree)


def count_faults() -> dict[str, dict[str, int]]:
    """By what is broken, how often it was killed, torn in a write, and out of room; every test passed."""
    named = " or ".join(f"test_{name}" for names in TESTS.values() for name in names)
    with tempfile.TemporaryDirectory() as folder:
        tally = Path(folder) / "tally.json"
        command = [sys.executable, "-m", "pytest", "tests", "-k", named]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"DISTILL_TALLY": str(tally)}, check=True)
        counted = read_json(tally, BenchError)
    return {
        what: {kind: sum(counted.get(f"test_{name}", {}).get(kind, 0) for name in names) for kind in FATES}
        for what, names in TESTS.items()
    }


def count_inputs() -> dict[str, int]:
    """How many of each kind the tests hold."""
    return {
        "images that must be read": sum(image.good for image in images.IMAGES),
        "images that must be refused": sum(not image.good for image in images.IMAGES),
        "texts": len(rows.TEXTS),
        "files of rows that must be read": len(rows.READ),
        "files of rows that must be refused": len(rows.REFUSED),
        "hostile graphs in a Bundle": len(graphs.GRAPHS),
        "hostile settings in a Bundle": len(graphs.SPECS),
        "hostile tokenizers in a Bundle": len(hostile_tokenizers.TOKENIZERS),
        "hostile manifests": len(graphs.MANIFESTS),
    }


def mutants(bundle: Path, seconds: int) -> dict[str, Any]:
    """What became of mutants of a Bundle whose checksums were mended, opened and asked for so long."""
    found = {outcome: len(seeds) for outcome, seeds in outcomes(bundle, FIRST_MUTANT, seconds).items()}
    answered, refused = found.pop("answer", 0), found.pop("refused", 0)
    return {"seconds": seconds, "answered": answered, "refused": refused, "other": found}


def faults() -> str:
    """What was broken while it wrote."""
    counts = read("reliability")["faults"]
    total = {kind: sum(ends[kind] for ends in counts.values()) for kind in FATES}
    rows = [
        (what, *(str(ends[kind]) for kind in FATES)) for what, ends in [*counts.items(), ("all, survived", total)]
    ]
    return table(" | ".join(("", *FATES.values())), rows)


def inputs() -> str:
    """What was fed in."""
    tree = read("reliability")
    m, wrong = tree["mutants"], sum(tree["mutants"]["other"].values())
    tried = f"{m['answered'] + m['refused'] + wrong} ({m['refused']} refused)"
    rows = [(what, str(count), "0") for what, count in tree["inputs"].items()]
    rows.append((f"mutants of a Bundle, checksums mended, {m['seconds']} s", tried, str(wrong)))
    return table(" | tried | wrong", rows)


def long_sentence() -> str:
    """A hundred thousand items."""
    run = read("reliability")["long"]
    peaks = ", ".join(f"{value:.0f} MB at {share}" for share, value in run["peak_rss_mb"].items())
    same = "the same bytes as" if run["same_bytes_after_kill"] else "OTHER bytes than"
    return (
        f"{run['items']:,} items with the demo's Bundle on one thread: {run['seconds']:.0f} s, "
        f"{run['items_per_second']:.0f} a second, largest memory {peaks}. Killed after {run['killed_after']:,} "
        f"answers and resumed, it ends with {same} the unbroken run. Eight threads on one Predictor give the "
        "answers of one.\n"
    )


def found() -> str:
    """What was wrong before."""
    rows = ((row["what"], row["now"]) for row in read("reliability")["found"])
    return table("before | now", rows, left=2)


def still_open() -> str:
    """What is not mended."""
    return "".join(f"- {text}\n" for text in read("reliability")["open"])
