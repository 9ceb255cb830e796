"""Which epoch of a training is the best, and when to stop waiting for a better one, by Trainer's log."""

from __future__ import annotations

from typing import Any

import transformers

from distill.core.settings.model_config import Monitor
from distill.model.training_log import EpochLog, best_epoch


class EarlyStoppingCallback(transformers.EarlyStoppingCallback):
    """Trainer's, with `best_epoch` in place of the metric alone. Checkpoints know it by its name."""

    early_stopping_patience_counter: int

    def check_metric_value(self, args: Any, state: Any, control: Any, metric_value: Any) -> None:
        """Count the epochs since the best one."""
        if is_new_best(state, args.metric_for_best_model.removeprefix("eval_")):
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1


def is_new_best(state: Any, monitor: Monitor) -> bool:
    """Whether the epoch that Trainer's state was just measured in is the best so far."""
    return bool(best_epoch(epoch_logs(state.log_history), monitor).epoch == round(state.epoch))


def epoch_logs(history: list[dict[str, Any]]) -> list[EpochLog]:
    """The epochs of Trainer's log history, in order."""
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
