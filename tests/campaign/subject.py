"""What the campaign attacks: a dataset, tiny encoders, a teacher, a student, two Bundles, made by the product."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TINY = ROOT / "recipes" / "tiny.toml"
PACKAGES = ("distill", "teacher", "student", "export", "recipes")
SIZES = (64, 32, 24)
QUICK = ("teacher.epochs=2", "student.epochs=2", "export.calibration_examples=8", "teacher.image.size=32")
QUICK += ("student.image.size=32", "export.matmuls=dynamic", "export.convolutions=float")
MAKE_DATA = """
import sys
from pathlib import Path
from distill.data.dataset import read_splits
from distill.data.generated import write_demo_data
from distill.model.demo_encoders import write_demo_encoders
folder = Path(sys.argv[1])
write_demo_data(folder / "data", tuple(map(int, sys.argv[2:])))
write_demo_encoders(folder / "encoders", [example.text for example in read_splits(folder / "data").train])
"""


@dataclass(frozen=True)
class Subject:
    """Where everything is. `settings` are the words that make a command use the quick recipe."""

    data: Path
    settings: tuple[str, ...]
    teacher: Path
    student: Path
    fp32: Path
    int8: Path


def environment(**more: str) -> dict[str, str]:
    """For a process: this checkout, one thread, no hub, no colours, no cache of the user's."""
    quiet = {"HF_HUB_OFFLINE": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1", "RUST_BACKTRACE": "0"}
    return {**os.environ, "PYTHONPATH": str(ROOT), **quiet, **more}


def command(*words: object) -> list[str]:
    """`distill WORDS` in a process of its own."""
    return [sys.executable, "-m", "distill.cli", *map(str, words)]


def prepare(folder: Path) -> Subject:
    """Make the subject in `folder`, or use the one that this very code made there. It takes about a minute."""
    encoders = {
        f"{kind}.{tower}.model": folder / "encoders" / f"{kind}-{tower}"
        for kind in ("teacher", "student")
        for tower in ("text", "image")
    }
    values = (*QUICK, *(f"{key}={path}" for key, path in encoders.items()))
    settings = ("--recipe", str(TINY), *(part for value in values for part in ("--set", value)))
    teacher, student, bundle, data = (folder / name for name in ("teacher", "student", "bundle", "data"))
    subject = Subject(data, settings, teacher, student, folder / "bundle-fp32", bundle)
    made_by = folder / "made-by.txt"
    if not made_by.exists() or made_by.read_text() != _sources():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run([sys.executable, "-c", MAKE_DATA, str(folder), *map(str, SIZES)])
        common = ("--data", data, *settings)
        _run(command("train-teacher", "--out", teacher, "--overwrite", *common))
        _run(command("train-student", "--teacher", teacher, "--out", student, "--overwrite", *common))
        _run(command("export", student, "--int8", "--out", bundle, *common))
        made_by.write_text(_sources())
    return subject


def _sources() -> str:
    """A hash of all code that makes the subject."""
    digest = hashlib.sha256()
    for path in sorted(
        path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".toml")
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _run(words: list[str]) -> None:
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the campaign cannot make what it attacks: {' '.join(words)}\n{done.stderr}")
