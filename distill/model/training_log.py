"""The log of a training, epoch by epoch, and a warning if it diverged or reached a plateau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from distill.core.settings.model_config import Monitor

DIVERGED = 1.5  # times the least training loss so far: more than dropout and the order of examples change it
NOTICEABLE = 0.05  # of the first epoch's loss: a loss near 0 may double by chance
PLATEAU = 0.02  # of the training loss, over all epochs without a better dev metric
PLATEAU_EPOCHS = 3  # epochs without a better dev metric before a plateau is reported


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
    """All epochs of a training. The weights kept are those of `best_epoch`: the best by the recipe's
    `monitor` (as the function of that name says), or the last where the number of epochs was fixed. `seconds` are
    those of the epochs after `resumed_after`, which is 0 for a training that was never interrupted. It ran in the
    `arithmetic` that the recipe's "auto" may choose."""

    epochs: tuple[EpochLog, ...]
    best_epoch: int
    seconds: float
    resumed_after: int = 0
    arithmetic: str = "fp32"

    @property
    def epoch_s(self) -> float:
        """Mean seconds of an epoch, training and validation; nan where none was left to train."""
        trained = len(self.epochs) - self.resumed_after
        return self.seconds / trained if trained > 0 else math.nan


def best_epoch(epochs: Sequence[EpochLog], monitor: Monitor) -> EpochLog:
    """The best on dev by `monitor`; of equal ones, such as with an AP of 1, the one with the least dev loss, and of
    these the first."""
    sign = 1 if monitor == "loss" else -1
    return min(epochs, key=lambda log: (sign * getattr(log, f"dev_{monitor}"), log.dev_loss, log.epoch))


def convergence_warning(epochs: Sequence[EpochLog], best_epoch: int) -> str | None:
    """One line with the evidence if a training diverged or reached a plateau; `best_epoch` is the best on dev.

    Diverged: the last training loss is far above an earlier one. Plateau: dev did not improve for some epochs, and
    the training loss hardly changed in them. A training loss that keeps falling while dev gets worse is neither:
    that is what early stopping is for.
    """
    if len(epochs) < 2:
        return None
    last, least = epochs[-1], min(epochs, key=lambda log: log.loss)
    if last.loss > DIVERGED * least.loss and last.loss - least.loss > NOTICEABLE * epochs[0].loss:
        return (
            f"this training diverged: its loss rose from {least.loss:.4g} in epoch {least.epoch} to "
            f"{last.loss:.4g} in epoch {last.epoch}; lower the learning rate, now {last.learning_rate:.3g}"
        )
    best = next(log for log in epochs if log.epoch == best_epoch)
    if last.epoch - best_epoch >= PLATEAU_EPOCHS and abs(best.loss - last.loss) < PLATEAU * best.loss:
        return (
            f"this training reached a plateau: no better on dev for {last.epoch - best_epoch} epochs after epoch "
            f"{best_epoch}, and its loss moved only from {best.loss:.4g} to {last.loss:.4g}; another learning rate "
            f"than {last.learning_rate:.3g} may take it further"
        )
    return None
