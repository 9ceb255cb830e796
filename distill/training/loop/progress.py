"""Training progress: a bar over the steps and one line an epoch on the terminal, the same figures in trackers."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

from distill.core.output.terminal import console, note, shows_progress
from distill.core.tracking import Tracking
from distill.data.run_folder import TRAINING


class EpochProgress(TrainerCallback):
    """A Trainer callback that shows the bar and prints the lines, in the first of several processes."""

    def __init__(self, epochs: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, transient=True, disable=not shows_progress())
        self.epochs = epochs
        self.task: TaskID | None = None
        self.loss = math.nan
        self.started = time.monotonic()
        self.first_step = 0  # of this process, which may have resumed

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Show the bar, from the step that a resumed training is at."""
        self.started, self.first_step = time.monotonic(), state.global_step
        if state.is_world_process_zero:
            self.task = self.bar.add_task("training", total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Keep the epoch's training loss for its line."""
        self.loss = (logs or {}).get("loss", self.loss)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Print the epoch's line."""
        if state.is_world_process_zero and metrics:
            note(
                f"  epoch {round(state.epoch)}/{self.epochs}  loss {self.loss:.4f}  "
                f"dev loss {metrics['eval_loss']:.4f}  dev micro-AP {metrics['eval_micro_ap']:.3f}  "
                f"macro-AP {metrics['eval_macro_ap']:.3f}{self._time_left(state)}"
            )

    def _time_left(self, state: Any) -> str:
        """How long the epochs that are left will take at most, where that is long enough to be asked for."""
        seconds_a_step = (time.monotonic() - self.started) / max(state.global_step - self.first_step, 1)
        minutes = round((state.max_steps - state.global_step) * seconds_a_step / 60)
        return f"  at most {minutes} min left" if minutes else ""


class TrackingCallback(TrainerCallback):
    """A Trainer callback that logs what Trainer logs, in the first of several processes. `name` tells one training
    of a run from the others: "all", "fold1", "control-seed13/fold2"."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self.tracking = tracking
        self.name = name.removeprefix(f"{TRAINING}/")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Log the figures of the epoch, which come in two parts."""
        if state.is_world_process_zero:
            figures = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
            self.tracking.log(figures, state.global_step, self.name)
