"""What distill asks of a tracker, once for each of the four. Their own settings come from their own environment
variables: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME, WANDB_PROJECT, TRACKIO_PROJECT and so on."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from distill.core.extras import require

Params = Mapping[str, str]
PROJECT = "distill"  # where the environment names no other
EVENTS, IDS = "tensorboard.events", "tracking.json"  # a dot, as no teacher's name of a comparison has one
MAX_TEXT_BYTES = 1 << 20  # of a file that TensorBoard shows
MAX_PARAM = 500  # characters; what MLflow's older servers store
PARAMS_A_CALL, METRICS_A_CALL = 100, 1000  # that MLflow accepts
MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # not many minutes


@dataclass(frozen=True)
class Home:
    """Where a run is logged: its `name`, the folder of TensorBoard's `events`, and the file of the trackers' `ids`
    of it, None for what is never resumed."""

    name: str
    events: Path
    ids: Path | None = None

    @classmethod
    def of_run(cls, folder: Path) -> Home:
        """That of a training run's folder."""
        return cls(folder.absolute().name, folder / EVENTS, folder / IDS)

    @classmethod
    def of_file(cls, path: Path) -> Home:
        """That of a report, beside it."""
        return cls(path.stem, path.with_suffix(".tensorboard"))


class Tracker(Protocol):
    """An open run of one tracker."""

    @property
    def where(self) -> str:
        """What a person opens."""

    @property
    def run_id(self) -> str | None:
        """What the tracker goes on with."""

    def log(self, figures: Mapping[str, float], step: int, prefix: str) -> None:
        """Log figures, whose names begin with the prefix, at a step of it."""

    def log_file(self, path: Path) -> None:
        """Log a whole file."""

    def close(self, status: str) -> None:
        """End the run: finished, failed or killed."""


class TensorBoard:
    """Event files, which `tensorboard --logdir` shows; of a file it shows the text."""

    def __init__(self, home: Home, params: Params, run_id: str | None) -> None:
        self.where, self.run_id = str(home.events), None
        self.writer = require("torch.utils.tensorboard", "report_to=tensorboard", "train").SummaryWriter(
            home.events
        )
        rows = "\n".join(f"| {name} | {value} |" for name, value in params.items())
        self.writer.add_text("recipe", f"| setting | value |\n|---|---|\n{rows}")

    def log(self, figures: Mapping[str, float], step: int, prefix: str) -> None:
        """A curve each."""
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()  # else nothing is seen for two minutes

    def log_file(self, path: Path) -> None:
        """Markdown as it is, other text as code; where the file is, if it is no text or long."""
        text = f"see {path}"
        if path.suffix in (".md", ".txt", ".toml", ".json") and path.stat().st_size <= MAX_TEXT_BYTES:
            text = path.read_text(encoding="utf-8")
            text = text if path.suffix == ".md" else "\n".join(f"    {line}" for line in text.splitlines())
        self.writer.add_text(path.name, text)

    def close(self, status: str) -> None:
        """Its files do not say how it ended."""
        self.writer.close()


class MLflow:
    """A run of the experiment that MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID names, else "distill"; inside a
    run that the caller has open, a child of it."""

    def __init__(self, home: Home, params: Params, run_id: str | None) -> None:
        for name, value in MLFLOW_PATIENCE.items():
            os.environ.setdefault(name, value)
        mlflow = require("mlflow", "report_to=mlflow")
        self.entities, self.client = require("mlflow.entities", "report_to=mlflow"), mlflow.MlflowClient()
        self.run_id = run_id or self._create(mlflow.active_run(), home.name)
        self.where = f"run {self.run_id} at {mlflow.get_tracking_uri()}"
        self.client.update_run(self.run_id, status="RUNNING")
        pairs = [self.entities.Param(_plain(key), value[:MAX_PARAM]) for key, value in params.items()]
        for start in range(0, len(pairs), PARAMS_A_CALL):
            self.client.log_batch(self.run_id, params=pairs[start : start + PARAMS_A_CALL])

    def _create(self, parent: Any, name: str) -> str:
        experiment_id = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if parent is not None:
            experiment_id = parent.info.experiment_id
        if not experiment_id:
            experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
            known = self.client.get_experiment_by_name(experiment)
            experiment_id = self.client.create_experiment(experiment) if known is None else known.experiment_id
        tags = {} if parent is None else {"mlflow.parentRunId": parent.info.run_id}
        return str(self.client.create_run(experiment_id, tags=tags, run_name=name).info.run_id)

    def log(self, figures: Mapping[str, float], step: int, prefix: str) -> None:
        """Curves by step."""
        now_ms = int(time.time() * 1000)
        metrics = [self.entities.Metric(_plain(name), value, now_ms, step) for name, value in figures.items()]
        for start in range(0, len(metrics), METRICS_A_CALL):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_A_CALL])

    def log_file(self, path: Path) -> None:
        """An artefact of the run."""
        self.client.log_artifact(self.run_id, path)

    def close(self, status: str) -> None:
        """With MLflow's own word for it."""
        self.client.set_terminated(self.run_id, status.upper())


class WandB:
    """A run of the project that WANDB_PROJECT names, else "distill"."""

    def __init__(self, home: Home, params: Params, run_id: str | None) -> None:
        self.wandb = require("wandb", "report_to=wandb")
        project = os.environ.get("WANDB_PROJECT") or PROJECT
        resume = None if run_id is None else "allow"
        self.run = self.wandb.init(project=project, name=home.name, id=run_id, resume=resume)
        self.run.config.update(dict(params), allow_val_change=True)
        self.run_id = str(self.run.id)
        self.where = str(self.run.url or self.run.dir)
        self.prefixes: set[str] = set()

    def log(self, figures: Mapping[str, float], step: int, prefix: str) -> None:
        """Each prefix has an axis of steps of its own: W&B's common one never goes back."""
        axis = f"{prefix}/step"
        if prefix not in self.prefixes:
            self.prefixes.add(prefix)
            self.run.define_metric(f"{prefix}/*", step_metric=axis)
        self.run.log({**figures, axis: step})

    def log_file(self, path: Path) -> None:
        """An artefact with this one file."""
        artefact = self.wandb.Artifact(_plain(f"{self.run_id}-{path.name}", "-"), type="results")
        artefact.add_file(str(path))
        self.run.log_artifact(artefact)

    def close(self, status: str) -> None:
        """W&B knows exit codes."""
        self.run.finish(exit_code=0 if status == "finished" else 1)


class Trackio:
    """A run of the project that TRACKIO_PROJECT names, else "distill"."""

    def __init__(self, home: Home, params: Params, run_id: str | None) -> None:
        trackio = require("trackio", "report_to=trackio")
        project = os.environ.get("TRACKIO_PROJECT") or PROJECT
        name = run_id or f"{home.name}-{secrets.token_hex(2)}"  # of one name there is one run
        self.run = trackio.init(project=project, name=name, config=dict(params), resume="allow", embed=False)
        self.run_id, self.where = name, f"run {name} of project {project}: trackio show --project {project}"

    def log(self, figures: Mapping[str, float], step: int, prefix: str) -> None:
        """Curves by step."""
        self.run.log(dict(figures), step=step)

    def log_file(self, path: Path) -> None:
        """An artefact with this one file."""
        self.run.log_artifact(path, name=_plain(f"{self.run_id}-{path.name}", "-"), type="results")

    def close(self, status: str) -> None:
        """Send the rest."""
        self.run.finish()


def _plain(name: str, other: str = "_") -> str:
    """The name where it has only letters, digits, blanks and . - / : as MLflow asks for; else such a one with a few
    digits that tell it from others."""
    allowed = r"[^A-Za-z0-9_.\-]" if other == "-" else r"[^\w.\- /:]"
    plain = re.sub(allowed, other, name)
    return plain if plain == name else f"{plain}{other}{hashlib.sha256(name.encode()).hexdigest()[:4]}"
