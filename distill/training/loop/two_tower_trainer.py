"""transformers' Trainer for a two-tower network with its loss: its arguments, checkpoints and errors."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import TrainingArguments

from distill.core.errors import RunError
from distill.core.output.terminal import warn
from distill.core.settings.model_config import ModelConfig
from distill.core.storage.files import write_error
from distill.data.groups import GroupColumns
from distill.model import distributed
from distill.model.compute import default_device
from distill.model.dataset import Batch, EncodedDataset, LengthGroupedSampler
from distill.model.network import TwoTowerNetwork
from distill.model.sync_batch_norm import global_batch_size
from distill.scoring.probabilities import to_probabilities
from distill.training.head_start import ap_metrics
from distill.training.loop.checkpoint_files import OPTIMIZER, SCHEDULER, explain_load_errors, set_rate_of_step
from distill.training.loop.distributed_trainer import ROWS, DistributedTrainer
from distill.training.loop.early_stopping import is_new_best
from distill.training.loop.progress import EpochProgress
from distill.training.probe import Loss


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from, and the dev split for validation and early stopping."""

    train: EncodedDataset
    dev: EncodedDataset


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


def trainer_arguments(
    model: NetworkWithLoss, config: ModelConfig, folder: Path, epochs: int | None
) -> TrainingArguments:
    """Of Trainer, for this training."""
    device, arithmetic = default_device().type, model.network.trained_in
    # Trainer would take what the shell, or an earlier training in this process, left there.
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no" if arithmetic == "fp32" else arithmetic
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
        bf16=arithmetic == "bf16",
        fp16=arithmetic == "fp16",
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


def dev_metrics(groups: GroupColumns, evaluation: Any) -> dict[str, float]:
    """What Trainer logs of dev."""
    probabilities = to_probabilities(np.asarray(evaluation.predictions, dtype=np.float32), groups)
    return ap_metrics(probabilities, np.asarray(evaluation.label_ids, dtype=np.float32))


class TwoTowerTrainer(DistributedTrainer):
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
