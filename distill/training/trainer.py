"""The training loop of teachers and students: transformers' Trainer around a two-tower network and a loss.

`train_model` is the door: it trains, stops early, writes checkpoints and resumes from them.
"""

from __future__ import annotations

import json
import math
import shutil
import time
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from distill.core.output.terminal import note, warn
from distill.core.settings.model_config import ModelConfig
from distill.core.storage.files import write_json
from distill.core.tracking import Tracking
from distill.model import distributed
from distill.model.dataset import LengthGroupedSampler
from distill.model.network import TwoTowerNetwork
from distill.model.sync_batch_norm import convert_batch_norms
from distill.model.training_log import TrainLog, best_epoch, convergence_warning
from distill.training.head_start import begin_at_probe, measure_probe
from distill.training.loop.arithmetic import choose_arithmetic
from distill.training.loop.checkpoint_files import (
    STATE_FILE,
    check_checkpoint,
    read_state,
    read_weights,
)
from distill.training.loop.distributed_trainer import RowDataset, collate_shard
from distill.training.loop.early_stopping import EarlyStoppingCallback, epoch_logs
from distill.training.loop.optimizer import optimizer_and_schedule, parameter_groups
from distill.training.loop.progress import EpochProgress, TrackingCallback
from distill.training.loop.two_tower_trainer import NetworkWithLoss as NetworkWithLoss
from distill.training.loop.two_tower_trainer import TrainingData as TrainingData
from distill.training.loop.two_tower_trainer import TwoTowerTrainer, dev_metrics, trainer_arguments
from distill.training.probe import Loss as Loss


@dataclass(frozen=True)
class Followers:
    """Who hears of each step: trackers, and transformers.TrainerCallback objects or classes of the user's."""

    tracking: Tracking = field(default_factory=Tracking)
    callbacks: tuple[Any, ...] = ()


@dataclass(frozen=True)
class CheckpointFolder:
    """A folder for the checkpoints of a training, and whether to resume from those that are there. `name` is its
    path inside the run, by which `followers` tell trainings apart."""

    folder: Path
    resume: bool
    followers: Followers = field(default_factory=Followers)
    name: str = ""

    def child(self, name: str) -> CheckpointFolder:
        """The folder of that name inside it."""
        return replace(self, folder=self.folder / name, name=f"{self.name}/{name}".lstrip("/"))


def train_model(
    network: TwoTowerNetwork,
    config: ModelConfig,
    data: TrainingData,
    loss: Loss,
    checkpoints: CheckpointFolder,
    epochs: int | None = None,
) -> TrainLog:
    """Train in place and leave the network with the weights of its best epoch; with `epochs`, train for exactly
    that many without early stopping and keep the last one's. With `config.head_start` "probe" the head is fitted
    first; without epochs that is all, and it counts as epoch 0 where the best one is looked for.

    The folder gets a checkpoint an epoch; a resumed training ends as it would have without the interruption.
    Raises RunError for a loss that is not finite and OutputError for a checkpoint that cannot be written; neither
    leaves a partial checkpoint.

    Several processes train the same model: each computes its part of every batch, and loss and batch norms are
    those of the whole batch, so the steps are those of one process except for dropout. They may resume from
    checkpoints of another number of processes.
    """
    started = time.perf_counter()
    last = (
        distributed.on_first_process(_last_complete_checkpoint)(checkpoints.folder) if checkpoints.resume else None
    )
    probe = None
    if config.head_start == "probe" and (last is None or epochs is None):  # else a checkpoint holds what came of it
        begin_at_probe(network, config, data.train, loss)
        if config.epochs == 0 or epochs == 0:
            return TrainLog((), 0, time.perf_counter() - started)
        if epochs is None:
            probe = measure_probe(network, loss, data.dev)
    model = NetworkWithLoss(network, loss)
    network.trained_in = choose_arithmetic(model, config, data.train)
    state = {} if last is None else read_state(last)
    if last is not None and _has_ended(state, config, epochs):  # killed after its last epoch
        kept = last if epochs is not None else Path(state["best_model_checkpoint"])
        model.load_state_dict(read_weights(kept))
        history = state["log_history"]
    else:
        arguments = trainer_arguments(model, config, checkpoints.folder, epochs)
        trainer = _trainer(model, config, data, arguments, epochs)
        for callback in (
            TrackingCallback(checkpoints.followers.tracking, checkpoints.name),
            *checkpoints.followers.callbacks,
        ):
            trainer.add_callback(callback)
        history = _run(trainer, last)
        distributed.broadcast_buffers(network)
    logs, resumed_after = epoch_logs(history), round(state["epoch"]) if state else 0
    best = best_epoch(logs, config.monitor)
    if probe is not None and best_epoch([probe.dev, best], config.monitor).epoch == 0:
        note("no epoch is better on dev than the linear probe, which is kept")
        network.load_state_dict(probe.weights)
        return TrainLog(tuple(logs), 0, time.perf_counter() - started, resumed_after, network.trained_in)
    if warning := convergence_warning(logs, best.epoch):
        warn(warning)
    seconds = time.perf_counter() - started
    return TrainLog(tuple(logs), epochs or best.epoch, seconds, resumed_after, network.trained_in)


def _trainer(
    model: NetworkWithLoss,
    config: ModelConfig,
    data: TrainingData,
    arguments: TrainingArguments,
    epochs: int | None,
) -> TwoTowerTrainer:
    transformers_logging.set_verbosity_error()
    set_seed(config.seed)
    progress = EpochProgress(epochs or config.epochs)
    patience = EarlyStoppingCallback(early_stopping_patience=config.patience)
    has_batch_norms = model.network.image_trainable
    lengths = data.train.lengths()
    sampler = LengthGroupedSampler(lengths, config.batch_size, config.seed, drop_last_single=has_batch_norms)
    groups = parameter_groups(model.network, model.loss, config)
    trainer = TwoTowerTrainer(
        model=model,
        args=arguments,
        data_collator=collate_shard,
        train_dataset=RowDataset(data.train, sampler),
        eval_dataset=RowDataset(data.dev),
        compute_metrics=partial(dev_metrics, data.dev.groups),
        optimizers=optimizer_and_schedule(groups, config, math.ceil(len(sampler) / config.batch_size)),
        callbacks=[patience, progress] if epochs is None else [progress],
    )
    trainer.sampler, trainer.config, trainer.data, trainer.progress = sampler, config, data, progress
    trainer.remove_callback(PrinterCallback)
    return trainer


def _run(trainer: TwoTowerTrainer, checkpoint: Path | None) -> list[dict[str, Any]]:
    """Train, from a checkpoint where there is one, and return Trainer's log history."""
    if distributed.world_size() > 1:
        convert_batch_norms(trainer.model)
        torch.manual_seed(trainer.config.seed + distributed.rank())  # dropout must differ between the parts
    if checkpoint is not None:
        check_checkpoint(checkpoint)
    with trainer.progress.bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mtime may not be reliable")  # epochs may be shorter than a second
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def _last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones, without the trainer_state.json that Trainer writes last, are
    removed. The path of the best checkpoint in it is corrected, as the folder may have been moved since."""
    by_step = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(by_step):
        try:
            state = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        if isinstance(state, dict) and state.get("best_model_checkpoint"):
            state["best_model_checkpoint"] = str(folder / Path(state["best_model_checkpoint"]).name)
            write_json(path / STATE_FILE, state)
        return path
    return None


def _has_ended(state: dict[str, Any], config: ModelConfig, epochs: int | None) -> bool:
    """Whether the training that wrote this trainer_state.json had trained its last epoch."""
    if epochs is not None:
        return bool(round(state["epoch"]) >= epochs)
    waited = state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"]
    return bool(round(state["epoch"]) >= config.epochs or waited >= config.patience)
