"""The training loop of teachers and students: transformers' Trainer around a two-tower network and a loss."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from distill.core.errors import RunError
from distill.core.files import write_error, write_json
from distill.core.recipe import ModelConfig, TrainingPrecision
from distill.core.terminal import warn
from distill.model import distributed as processes
from distill.model.dataset import Batch, BatchTargets, EncodedDataset, LengthGroups
from distill.model.network import TwoTowerNetwork
from distill.model.outputs import Outputs
from distill.model.scratch import CNN, LSTM
from distill.model.training_log import EpochLog, TrainLog, warning
from distill.scoring.metrics import macro_ap, micro_ap, sigmoid
from distill.training.batch_norm import batch_of, share_batch_norms
from distill.training.distributed_trainer import ROWS, DividedTrainer, Rows, collate
from distill.training.progress import EpochProgress

STATE_FILE = "trainer_state.json"  # of a Trainer's checkpoint, written last

# What the network gave and what was wanted, to a scalar. A loss that is an nn.Module is trained along.
Loss = Callable[[Outputs[Tensor], BatchTargets], Tensor]


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from, and the dev split that it is watched and stopped on."""

    train: EncodedDataset
    dev: EncodedDataset


@dataclass(frozen=True)
class Workspace:
    """A folder for the checkpoints of a training, and whether it goes on with those that are there."""

    folder: Path
    resume: bool

    def __truediv__(self, name: str) -> Workspace:
        """A folder inside of it."""
        return replace(self, folder=self.folder / name)


def train_model(
    network: TwoTowerNetwork,
    config: ModelConfig,
    data: TrainingData,
    loss: Loss,
    workspace: Workspace,
    epochs: int | None = None,
) -> TrainLog:
    """Train in place and leave the network with the weights of its best epoch; with `epochs`, train for exactly
    that many and keep the last one's: dev then only watches.

    A checkpoint an epoch goes to the workspace; a resumed training ends as it would have without the break. Raises
    RunError when the loss is not finite, and OutputError when a checkpoint cannot be written; neither leaves a half
    one.

    Several processes train the same model: each has its part of every batch, whose loss and whose batch norms are
    those of the whole batch, so that the steps are those of one process; but dropout draws otherwise. They may
    resume from checkpoints of another number of processes.
    """
    started = time.perf_counter()
    model = NetworkWithLoss(network, loss)
    last = processes.by_first(_last_whole_checkpoint)(workspace.folder) if workspace.resume else None
    state = {} if last is None else json.loads((last / STATE_FILE).read_text(encoding="utf-8"))
    if last is not None and _is_over(state, config, epochs):  # killed after its last epoch
        kept = last if epochs is not None else Path(state["best_model_checkpoint"])
        model.load_state_dict(load_file(kept / "model.safetensors"))
        history = state["log_history"]
    else:
        trainer = _trainer(model, config, data, _arguments(config, workspace.folder, epochs), epochs)
        history = _run(trainer, last)
        processes.share_buffers(network)
    logs = _epoch_logs(history)
    better = min if config.monitor == "loss" else max
    best = better(logs, key=lambda log: getattr(log, f"dev_{config.monitor}"))
    if caution := warning(logs, best.epoch):
        warn(caution)
    done = round(state["epoch"]) if state else 0
    return TrainLog(tuple(logs), epochs or best.epoch, time.perf_counter() - started, done)


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
    lone = model.network.image_trainable
    order = LengthGroups(data.train.lengths(), config.batch_size, config.seed, drop_lone=lone)
    trainer = _TwoTowerTrainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=Rows(data.train, order),
        eval_dataset=Rows(data.dev),
        compute_metrics=_dev_metrics,
        optimizers=optimizer_and_schedule(model, config, math.ceil(len(order) / config.batch_size)),
        callbacks=[patience, progress] if epochs is None else [progress],
    )
    trainer.order, trainer.config, trainer.data, trainer.progress = order, config, data, progress
    trainer.remove_callback(PrinterCallback)
    return trainer


def _run(trainer: _TwoTowerTrainer, checkpoint: Path | None) -> list[dict[str, Any]]:
    """Train, from a checkpoint where there is one; Trainer's log."""
    if processes.count() > 1:
        share_batch_norms(trainer.model)
        torch.manual_seed(trainer.config.seed + processes.rank())  # or their dropout would fall in the same places
    with trainer.progress.bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "mtime may not be reliable")  # Trainer, of epochs shorter than a second
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


class NetworkWithLoss(nn.Module):
    """A network with its loss, whose own parameters (projections) are trained and checkpointed beside it."""

    def __init__(self, network: TwoTowerNetwork, loss: Loss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, **tensors: Tensor) -> tuple[Tensor, Tensor]:
        """The scalar loss and the logits float (B, L) of a flat batch. Of several
        processes each gives the inputs of its part and what is wanted of the batch, and gets the batch's logits."""
        batch = Batch.from_flat(tensors)
        rows = len(batch.targets.labels)
        with batch_of(rows):
            part = self.network.outputs(**batch.inputs)
        outputs = part.map(lambda tensor: processes.gathered(tensor)[:rows])
        return self.loss(outputs, batch.targets), outputs.logits

    def parameter_groups(self, config: ModelConfig) -> list[dict[str, Any]]:
        """Pretrained encoders at one rate, what starts from nothing at another; matrices decay, vectors do not."""
        encoders = (("text.", config.text.model != LSTM), ("image.", config.image.model != CNN))
        kept = tuple(name for name, is_pretrained in encoders if is_pretrained)
        named = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        pretrained = [p for name, p in named if name.startswith(kept)]
        fresh = [p for name, p in named if not name.startswith(kept)]
        if isinstance(self.loss, nn.Module):
            fresh += list(self.loss.parameters())
        groups = []
        for parameters, rate in ((pretrained, config.learning_rate), (fresh, config.head_learning_rate)):
            for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
                chosen = [p for p in parameters if (p.ndim > 1) == matrices]
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        return [group for group in groups if group["params"]]


def _last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; those that were cut off are removed.

    Trainer writes trainer_state.json last. The best checkpoint's path in it is made good for a folder that
    was moved, or named in another way, since.
    """
    by_step = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(by_step):
        try:
            state = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        if state.get("best_model_checkpoint"):
            state["best_model_checkpoint"] = str(folder / Path(state["best_model_checkpoint"]).name)
            write_json(path / STATE_FILE, state)
        return path
    return None


def _is_over(state: dict[str, Any], config: ModelConfig, epochs: int | None) -> bool:
    """Whether a training had nothing left to do when it wrote this trainer_state.json."""
    if epochs is not None:
        return bool(round(state["epoch"]) >= epochs)
    waited = state["stateful_callbacks"]["EarlyStoppingCallback"]["attributes"]["early_stopping_patience_counter"]
    return bool(round(state["epoch"]) >= config.epochs or waited >= config.patience)


def optimizer_and_schedule(
    model: NetworkWithLoss, config: ModelConfig, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """NAdam (Dozat 2016) or AdamW (Loshchilov and Hutter 2019), both with decoupled decay, and a rate that is
    constant for `constant_epochs` and then falls by exp(-decay_per_epoch) at the start of each further epoch.

    torch's fused AdamW takes a sixth of NAdam's time on a CPU, which is a third of a DistilBERT student's step.
    """
    groups = model.parameter_groups(config)
    optimizer: torch.optim.Optimizer
    if config.optimizer == "nadam":
        optimizer = torch.optim.NAdam(groups, decoupled_weight_decay=True)
    else:
        optimizer = torch.optim.AdamW(groups, fused=True)

    def factor(step: int) -> float:
        past = step // steps_per_epoch - config.constant_epochs + 1
        return math.exp(-config.decay_per_epoch * max(0, past))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _arguments(config: ModelConfig, folder: Path, epochs: int | None) -> TrainingArguments:
    accelerated = torch.cuda.is_available()
    bf16, fp16 = mixed_precision(config.precision)
    # Trainer would go by what the shell, or an earlier training in this process, left there.
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
        use_cpu=not accelerated,  # Trainer takes bf16 on a CPU only when told that a CPU is meant
        bf16=bf16,
        fp16=fp16,
        dataloader_pin_memory=accelerated,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="none",
        disable_tqdm=True,
        logging_nan_inf_filter=False,
        restore_callback_states_from_checkpoint=True,  # the count of epochs without a better one
        ddp_find_unused_parameters=True,  # those of a modality that is not used
    )
    # One process uses one GPU. Trainer would divide each batch among all in threads (nn.DataParallel): slower than
    # processes, and the loss would be that of parts.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def mixed_precision(precision: TrainingPrecision) -> tuple[bool, bool]:
    """Whether the products of a training are computed in bf16 and whether in fp16; neither is fp32."""
    if torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported()
        return precision == "bf16" or (precision == "auto" and supported), precision == "auto" and not supported
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        warn("this processor has no bf16 arithmetic: precision=bf16 is emulated here, exact but slow")
    return precision == "bf16", False


def _dev_metrics(evaluation: Any) -> dict[str, float]:
    probabilities = sigmoid(np.asarray(evaluation.predictions, dtype=np.float32))
    targets = np.asarray(evaluation.label_ids, dtype=np.float32)
    micro, macro = micro_ap(targets, probabilities), macro_ap(targets, probabilities)
    return {"micro_ap": micro, "macro_ap": macro, "balanced_ap": (micro + macro) / 2}


def _epoch_logs(history: list[dict[str, Any]]) -> list[EpochLog]:
    trained = {round(entry["epoch"]): entry for entry in history if "loss" in entry}
    measured = {round(entry["epoch"]): entry for entry in history if "eval_loss" in entry}
    return [
        EpochLog(
            epoch=epoch,
            loss=float(trained[epoch]["loss"]),
            dev_loss=float(entry["eval_loss"]),
            dev_micro_ap=float(entry["eval_micro_ap"]),
            dev_macro_ap=float(entry["eval_macro_ap"]),
            dev_balanced_ap=float(entry["eval_balanced_ap"]),
            learning_rate=float(trained[epoch]["learning_rate"]),
        )
        for epoch, entry in sorted(measured.items())
        if epoch in trained
    ]


class _TwoTowerTrainer(DividedTrainer):
    """Trainer with our own loss and order of examples."""

    order: LengthGroups
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

    def _not_finite(self, loss: float, rows: list[int], training: bool) -> RunError:
        config, names = self.config, (self.data.train if training else self.data.dev).names
        where = f"at step {self.state.global_step + 1} of {self.state.max_steps}"
        if not training:
            where = f"on dev after step {self.state.global_step}"
        rounded = self.args.bf16 or self.args.fp16
        precision = f", or set precision=fp32, now {config.precision}" if rounded else ""
        return RunError(
            f"the loss became {loss} {where}, in the batch of {', '.join(names[row] for row in rows)}; no "
            f"checkpoint is made of it. Lower learning_rate, now {config.learning_rate:g}, and head_learning_rate, "
            f"now {config.head_learning_rate:g}{precision}; then start over with --overwrite"
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As Trainer's, but a checkpoint that cannot be written is not left half there. Raises OutputError."""
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:  # each writer words a full disk in its own way
            folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            reason = str(error).strip().splitlines()[0]
            if isinstance(error, RuntimeError):
                if "inline_container" not in reason and "PytorchStreamWriter" not in reason:
                    raise
                reason = "torch could not write a file of it to its end"
            raise write_error(folder, reason, then="go on with --resume") from error
