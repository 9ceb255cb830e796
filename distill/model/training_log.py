"""What a training did, epoch by epoch, and whether its losses ran away or stood still. Knows figures, no model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

RAN_AWAY = 1.5  # times the least training loss so far: more than dropout and the order of examples ever moved it
NOTICEABLE = 0.05  # of the first epoch's loss: losses near 0 double without meaning anything
STOOD_STILL = 0.02  # of the training loss, over all epochs in which dev did not get better
PATIENT = 3  # epochs without a better one that say anything


@dataclass(frozen=True)
class EpochLog:
    """One epoch: mean training loss, then validation."""

    epoch: int
    loss: float
    dev_loss: float
    dev_micro_ap: float
    dev_macro_ap: float
    dev_balanced_ap: float
    learning_rate: float


@dataclass(frozen=True)
class TrainLog:
    """What a training did; the weights kept are those of `best_epoch`: the best by `monitor`, or the last of a
    training whose length was given. `seconds` are those of the epochs after
    `resumed_after`, 0 of an unbroken one."""

    epochs: tuple[EpochLog, ...]
    best_epoch: int
    seconds: float
    resumed_after: int = 0

    @property
    def epoch_s(self) -> float:
        """The mean seconds of an epoch, training and validation; nan where none was left to train."""
        trained = len(self.epochs) - self.resumed_after
        return self.seconds / trained if trained > 0 else math.nan


def warning(epochs: Sequence[EpochLog], best_epoch: int) -> str | None:
    """One line when a training diverged or reached a plateau, with its evidence; `best_epoch` is the best on dev.

    Diverged: the last training loss is far above an earlier one. Plateau: dev got no better for some epochs, and
    the training loss hardly moved in them. A training loss that goes on falling while dev gets worse is neither:
    that is what stopping early is for.
    """
    if len(epochs) < 2:
        return None
    last, least = epochs[-1], min(epochs, key=lambda log: log.loss)
    if last.loss > RAN_AWAY * least.loss and last.loss - least.loss > NOTICEABLE * epochs[0].loss:
        return (
            f"this training diverged: its loss rose from {least.loss:.4g} in epoch {least.epoch} to "
            f"{last.loss:.4g} in epoch {last.epoch}; lower the learning rate, now {last.learning_rate:.3g}"
        )
    best = next(log for log in epochs if log.epoch == best_epoch)
    if last.epoch - best_epoch >= PATIENT and abs(best.loss - last.loss) < STOOD_STILL * best.loss:
        return (
            f"this training reached a plateau: no better on dev for {last.epoch - best_epoch} epochs after epoch "
            f"{best_epoch}, and its loss moved only from {best.loss:.4g} to {last.loss:.4g}; another learning rate "
            f"than {last.learning_rate:.3g} may take it further"
        )
    return None
