"""Small things that tests share: a generated dataset, tiny random encoders, and one trained chain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from chain import Chain
from victim import Victim

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: no test may reach for a hub
# OpenVINO 2026.4.1 crashes on a processor with AMX in int8 products as narrow as those of a toy; encoders of usual
# widths run. Its oneDNN reads this when it first computes.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")

from distill.core.settings.recipe import Recipe, recipes_folder
from distill.core.storage.files import write_json
from distill.data.dataset import read_splits
from distill.data.generated import write_demo_data
from distill.model.checkpoint import Checkpoint
from distill.model.demo_encoders import write_demo_encoders
from distill.runtime.bundle import Bundle

THREADS = torch.get_num_threads()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the user's feature cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    """No test leaves torch with another number of threads: sums in another order are other numbers."""
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 64 train, 32 dev and 24 test images of six labels."""
    folder = tmp_path_factory.mktemp("data") / "memes"
    write_demo_data(folder, sizes=(64, 32, 24))
    return folder


@pytest.fixture(scope="session")
def overrides(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """KEY=VALUE settings that make the tiny recipe quicker still and name its encoders."""
    texts = [example.text for example in read_splits(data).train]
    encoders = write_demo_encoders(tmp_path_factory.mktemp("encoders"), texts)
    quick = ["teacher.epochs=2", "student.epochs=2", "export.calibration_examples=8"]
    quick += ["teacher.image.size=32", "student.image.size=32"]
    return quick + [f"{key}={path}" for key, path in encoders.items()]


@pytest.fixture(scope="session")
def recipe(overrides: list[str]) -> Recipe:
    """The tiny recipe."""
    return Recipe.load(recipes_folder() / "tiny.toml", overrides)


@pytest.fixture(scope="session")
def chain(data: Path, overrides: list[str], recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The whole chain, two epochs each."""
    from distill.core.machine.cpu import detect_target
    from distill.training.run_writer import RunStart, begin_run
    from distill.training.trainer import CheckpointFolder
    from export.pipeline import ExportRequest, export_run
    from student.train import DistillationTargets, fit_student
    from teacher.soft_targets import ensemble_soft_targets
    from teacher.train import fit_teacher

    runs = tmp_path_factory.mktemp("runs")
    splits = read_splits(data)
    begin_run(runs / "teacher", RunStart("teacher", recipe.teacher, splits), resume=False, overwrite=False)
    fit_teacher(recipe.teacher, splits, CheckpointFolder(runs / "teacher", resume=False))
    targets = DistillationTargets(ensemble_soft_targets([runs / "teacher"], splits.train))
    begin_run(runs / "student", RunStart("student", recipe.student, splits), resume=False, overwrite=False)
    learned = fit_student(recipe.student, splits, targets, CheckpointFolder(runs / "student", resume=False))
    export_run(learned, splits, recipe.export, ExportRequest("int8", detect_target(), runs / "bundle"))
    return Chain(
        data, splits, recipe, overrides, runs / "teacher", runs / "student", runs / "bundle-fp32", runs / "bundle"
    )


@pytest.fixture(scope="session")
def folded(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher with two folds, one epoch each."""
    from distill.training.run_writer import RunStart, begin_run
    from distill.training.trainer import CheckpointFolder
    from teacher.train import fit_teacher

    folder = tmp_path_factory.mktemp("folded") / "teacher"
    config = replace(chain.recipe.teacher, folds=2, epochs=1)
    begin_run(folder, RunStart("teacher", config, chain.splits), resume=False, overwrite=False)
    fit_teacher(config, chain.splits, CheckpointFolder(folder, resume=False))
    return folder


@pytest.fixture(scope="session")
def baseline(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `distill baseline`, with two folds, and a library for static vectors."""
    import static_library

    from distill.api import fit_baselines

    out = tmp_path_factory.mktemp("baseline") / "baseline"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILL_CACHE", str(out.parent / "cache"))
        static_library.install(patch)
        fit_baselines(
            chain.data, out, recipe=recipes_folder() / "tiny.toml", overrides=[*chain.overrides, "teacher.folds=2"]
        )
    return out


@pytest.fixture(scope="session")
def victim() -> Iterator[Victim]:
    """A process that is killed, or meets a full disk, where it is told."""
    started = Victim()
    yield started
    started.close()
    if "DISTILL_TALLY" in os.environ:  # docs/experiments/reliability.py asks how much was tried
        write_json(Path(os.environ["DISTILL_TALLY"]), started.ends)


@pytest.fixture
def images_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each run of a frozen tower took, with an empty cache of features."""
    from distill.model import features

    runs: list[int] = []
    real = features._run

    def counted(encoder: Any, pixels: Any, device: Any) -> Any:
        runs.append(len(pixels))
        return real(encoder, pixels, device)

    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "features"))
    monkeypatch.setattr(features, "_run", counted)
    return runs


@pytest.fixture
def checkpoint(chain: Chain) -> Checkpoint:
    """The student, opened."""
    return Checkpoint.load(chain.student)


@pytest.fixture
def bundle(chain: Chain) -> Bundle:
    """The int8 Bundle, opened."""
    return Bundle.open(chain.int8)
