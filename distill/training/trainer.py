"""The training loop of teachers and students: transformers' Trainer around a two-tower network and a loss.

`train_model` is the door: it trains, stops early, writes checkpoints and resumes from them.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PrinterCallback, TrainingArguments, set_seed
from transformers.utils import logging as transformers_logging

from distill.core.errors import RunError
from distill.core.files import write_error, write_json
from distill.core.recipe import ModelConfig, TrainingPrecision
from distill.core.terminal import note, warn
from distill.core.tracking import Tracking
from distill.data.groups import GroupColumns
from distill.model import distributed
from distill.model.classifier import default_device
from distill.model.dataset import Batch, EncodedDataset, LengthGroupedSampler
from distill.model.network import TwoTowerNetwork
from distill.model.sync_batch_norm import convert_batch_norms, global_batch_size
from distill.model.training_log import TrainLog, best_epoch, convergence_warning
from distill.scoring.probabilities import to_probabilities
from distill.training.checkpoint_files import (
    OPTIMIZER,
    SCHEDULER,
    STATE_FILE,
    check_checkpoint,
    explain_load_errors,
    read_state,
    read_weights,
    set_rate_of_step,
)
from distill.training.distributed_trainer import ROWS, DistributedTrainer, RowDataset, collate_shard
from distill.training.early_stopping import EarlyStoppingCallback, epoch_logs, is_new_best
from distill.training.head_start import ap_metrics, begin_at_probe, measure_probe
from distill.training.optimizer import optimizer_and_schedule, parameter_groups
from distill.training.probe import Loss as Loss
from distill.training.progress import EpochProgress, TrackingCallback


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from, and the dev split for validation and early stopping."""

    train: EncodedDataset
    dev: EncodedDataset


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
    state = {} if last is None else read_state(last)
    if last is not None and _has_ended(state, config, epochs):  # killed after its last epoch
        kept = last if epochs is not None else Path(state["best_model_checkpoint"])
        model.load_state_dict(read_weights(kept))
        history = state["log_history"]
    else:
        trainer = _trainer(model, config, data, _arguments(config, checkpoints.folder, epochs), epochs)
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
        return TrainLog(tuple(logs), 0, time.perf_counter() - started, resumed_after)
    if warning := convergence_warning(logs, best.epoch):
        warn(warning)
    return TrainLog(tuple(logs), epochs or best.epoch, time.perf_counter() - started, resumed_after)


def _trainer(
    model: NetworkWithLoss,
    config: ModelConfig,
    data: TrainingData,
    arguments: TrainingArguments,
    epochs: int | None,
) -> _TwoTowerTrainer:
    transformers_logging.set_verbosity_error()
    set_seed(config.seed)
    progress = EpochProgress(epochs or config.epochs)
    patience = EarlyStoppingCallback(early_stopping_patience=config.patience)
    has_batch_norms = model.network.image_trainable
    lengths = data.train.lengths()
    sampler = LengthGroupedSampler(lengths, config.batch_size, config.seed, drop_last_single=has_batch_norms)
    groups = parameter_groups(model.network, model.loss, config)
    trainer = _TwoTowerTrainer(
        model=model,
        args=arguments,
        data_collator=collate_shard,
        train_dataset=RowDataset(data.train, sampler),
        eval_dataset=RowDataset(data.dev),
        compute_metrics=partial(_dev_metrics, data.dev.groups),
        optimizers=optimizer_and_schedule(groups, config, math.ceil(len(sampler) / config.batch_size)),
        callbacks=[patience, progress] if epochs is None else [progress],
    )
    trainer.sampler, trainer.config, trainer.data, trainer.progress = sampler, config, data, progress
    trainer.remove_callback(PrinterCallback)
    return trainer


def _run(trainer: _TwoTowerTrainer, checkpoint: Path | None) -> list[dict[str, Any]]:
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


class NetworkWithLoss(nn.Module):
    """A network with its loss, whose own parameters, such as projections, are trained and checkpointed with it."""

    def __init__(self, network: TwoTowerNetwork, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        """The scalar loss and the logits float (B, L) of a flat batch. In several processes, each passes the inputs
        of its part with the targets of the whole batch, and gets the logits of the whole batch."""
        batch = Batch.from_flat(tensors)
        rows = len(batch.targets.labels)
        with global_batch_size(rows):
            part = self.network.outputs(**batch.inputs)
        outputs = part.map(lambda tensor: distributed.all_gather(tensor)[:rows])
        return self.loss(outputs, batch.targets), outputs.logits


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


def _arguments(config: ModelConfig, folder: Path, epochs: int | None) -> TrainingArguments:
    device = default_device().type
    bf16, fp16 = mixed_precision(config.precision)
    # Trainer would take what the shell, or an earlier training in this process, left there.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if bf16 else "fp16" if fp16 else "no"
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs or config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=32,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=epochs is None,
        metric_for_best_model=f"eval_{config.monitor}",
        greater_is_better=config.monitor != "loss",
        max_grad_norm=1.0,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=device == "cpu",  # Trainer accepts bf16 on a CPU only with this
        bf16=bf16,
        fp16=fp16,
        dataloader_pin_memory=device == "cuda",
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="none",
        disable_tqdm=True,
        logging_nan_inf_filter=False,
        restore_callback_states_from_checkpoint=True,  # such as the patience that is left
        ddp_find_unused_parameters=True,  # the parameters of a modality that is not used
    )
    # One process uses one GPU. Trainer would divide each batch among all GPUs in threads (nn.DataParallel), which
    # is slower than processes, and average the losses of parts.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def mixed_precision(precision: TrainingPrecision) -> tuple[bool, bool]:
    """Whether to train in bf16 and whether in fp16; fp32 is neither."""
    device = default_device().type
    if device == "mps":
        return precision == "bf16", False
    if device == "cuda":
        supported = torch.cuda.is_bf16_supported()
        return precision == "bf16" or (precision == "auto" and supported), precision == "auto" and not supported
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        warn("this processor has no bf16 arithmetic: precision=bf16 is emulated here, exact but slow")
    return precision == "bf16", False


def _dev_metrics(groups: GroupColumns, evaluation: Any) -> dict[str, float]:
    probabilities = to_probabilities(np.asarray(evaluation.predictions, dtype=np.float32), groups)
    return ap_metrics(probabilities, np.asarray(evaluation.label_ids, dtype=np.float32))


class _TwoTowerTrainer(DistributedTrainer):
    """Trainer with the loss of NetworkWithLoss, which it stops for when it is not finite."""

    sampler: LengthGroupedSampler
    config: ModelConfig
    data: TrainingData
    progress: EpochProgress

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Called by Trainer for each batch, in training and in validation. Raises RunError."""
        rows = inputs.pop(ROWS)
        loss, logits = model(**inputs)
        if not torch.isfinite(loss):
            raise self._not_finite(loss.item(), rows.tolist(), model.training)
        return (loss, {"logits": logits}) if return_outputs else loss

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As Trainer's, but of equal epochs the one with the least dev loss is the best."""
        if not is_new_best(self.state, self.config.monitor):
            return False
        self.state.best_metric = metrics[f"eval_{self.config.monitor}"]
        self.state.best_global_step = self.state.global_step
        return True

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """As Trainer's, which loads neither where one of both is missing. Raises RunError."""
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        missing = [name for name in (OPTIMIZER, SCHEDULER) if not (folder / name).is_file()]
        with explain_load_errors(folder, OPTIMIZER, SCHEDULER):
            if not missing:
                super()._load_optimizer_and_scheduler(checkpoint)
                return
            warn(
                f"{folder}: goes on without {' and '.join(missing)}; it will not end quite as an unbroken training"
            )
            if OPTIMIZER not in missing:
                state = torch.load(folder / OPTIMIZER, map_location=self.args.device, weights_only=True)
                self.optimizer.load_state_dict(state)
            set_rate_of_step(folder, self.optimizer, self.lr_scheduler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """As Trainer's. Raises RunError."""
        if checkpoint is not None:
            with explain_load_errors(
                Path(checkpoint), *(path.name for path in Path(checkpoint).glob("rng_state*"))
            ):
                super()._load_rng_state(checkpoint)

    def _not_finite(self, loss: float, rows: list[int], training: bool) -> RunError:
        config, ids = self.config, (self.data.train if training else self.data.dev).ids
        where = f"at step {self.state.global_step + 1} of {self.state.max_steps}"
        if not training:
            where = f"on dev after step {self.state.global_step}"
        is_mixed = self.args.bf16 or self.args.fp16
        precision = f", or set precision=fp32, now {config.precision}" if is_mixed else ""
        return RunError(
            f"the loss became {loss} {where}, in the batch of {', '.join(ids[row] for row in rows)}; no "
            f"checkpoint is made of it. Lower learning_rate, now {config.learning_rate:g}, and head_learning_rate, "
            f"now {config.head_learning_rate:g}{precision}; then start over with --overwrite"
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer's, but a checkpoint that cannot be written is removed. Raises OutputError."""
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk, in the words of three libraries
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            reason = str(error).strip().splitlines()[0]
            if isinstance(error, RuntimeError):
                if "inline_container" not in reason and "PytorchStreamWriter" not in reason:
                    raise
                reason = "torch could not write a file of it to its end"
            raise write_error(folder, reason, then="go on with --resume") from error
