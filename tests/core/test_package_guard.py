"""A stranger's package of the name of one of ours is found before it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chain import ROOT, Chain

from distill.cli.main import OPTIONAL_PACKAGES
from distill.core.errors import InstallError
from distill.core.package_guard import require_own


def foreign(folder: Path, name: str) -> Path:
    """A package of that name in a folder of its own, which says so when it is imported."""
    package = folder / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('imported')\n")
    return package / "__init__.py"


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Python with `folder` in front of everything else that it imports from."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_distills_own_packages_pass() -> None:
    require_own("teacher", "student", "export", "bench")


def test_a_foreign_package_stops_what_needs_it_and_nothing_else(chain: Chain, tmp_path: Path) -> None:
    origin = foreign(tmp_path, "export")
    predicted = run(tmp_path, "-m", "distill.cli", "predict", chain.fp32, "--text", "who did this")
    assert predicted.returncode == 0, predicted.stderr
    assert '"labels"' in predicted.stdout
    words = ("export", chain.student, "--data", chain.data, "--out", tmp_path / "bundle")
    exported = run(tmp_path, "-m", "distill.cli", *words)
    assert exported.returncode == 2
    assert exported.stdout == ""
    assert exported.stderr.splitlines() == [
        f"error: {origin}: is imported as 'export' in place of distill's own package; rename it or take its folder "
        "off PYTHONPATH"
    ]


def test_the_functions_look_first_too(tmp_path: Path) -> None:
    foreign(tmp_path, "teacher")
    script = "import distill\ntry: distill.train_teacher('data', 'out')\nexcept distill.DistillError as e: print(e)"
    (line,) = run(tmp_path, "-c", script).stdout.splitlines()
    assert "is imported as 'teacher' in place of distill's own package" in line


def test_a_package_that_is_missing_or_overwritten_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InstallError, match="no_package: distill's own package is missing; install distill again"):
        require_own("no_package")
    origin = foreign(tmp_path, "overwritten")
    monkeypatch.setattr("distill.core.package_guard.HOME", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InstallError, match="in place of distill's own"):
        require_own("overwritten")
    origin.write_text('PART_OF = "distill"\n')
    require_own("overwritten")


def test_every_command_that_imports_a_package_beside_distill_is_known() -> None:
    """By what the files of the commands import; `api` has its own checks, `demo` runs the others, and `dry_run` is
    for those that train or export."""
    for path in {*(ROOT / "distill" / "cli").glob("*.py")} - {ROOT / "distill" / "cli" / "dry_run.py"}:
        text = path.read_text(encoding="utf-8")
        for package in ("teacher", "student", "export", "bench"):
            if f"\n    from {package}" in text:
                assert package in OPTIONAL_PACKAGES[path.stem.replace("_", "-")], path
