"""Experiment trackers: TensorBoard, MLflow, W&B and trackio, where `report_to` names them.

A tracker never ends what it follows. One that fails, such as without its server, is left out from then on, with one
warning: everything that is logged is in files, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal

from distill.core.arguments import check_choice
from distill.core.errors import ArgumentError, DistillError, RunError
from distill.core.extras import require
from distill.core.output.terminal import note, warn
from distill.core.settings.recipe import TRACKERS
from distill.core.storage.files import read_json, write_json
from distill.core.tracking.trackers import Home, MLflow, Params, TensorBoard, Tracker, Trackio, WandB

NONE = "none"
OPENERS: dict[str, Callable[[Home, Params, str | None], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
    "trackio": Trackio,
}


class Tracking:
    """The open trackers of one run or report; none of them by default."""

    def __init__(self) -> None:
        self.trackers: dict[str, Tracker] = {}

    def log(self, figures: Mapping[str, float], step: int, prefix: str = "") -> None:
        """Log figures at a step, as PREFIX/NAME; the steps of a prefix grow."""
        named = {f"{prefix}/{name}" if prefix else name: float(value) for name, value in figures.items()}
        self._each(lambda tracker: tracker.log(named, step, prefix))

    def log_files(self, paths: Sequence[Path]) -> None:
        """Log whole files, such as tables and pages."""
        for path in paths:
            self._each(lambda tracker, path=path: tracker.log_file(path))  # type: ignore[misc]

    def open(self, name: str, home: Home, params: Params, run_id: str | None) -> None:
        """Open one more, or go on with its run of that id."""
        self._guarded(name, lambda: self.trackers.update({name: OPENERS[name](home, params, run_id)}))

    def close(self, status: Literal["finished", "failed", "killed"]) -> None:
        """Send the rest, and say how it ended."""
        self._each(lambda tracker: tracker.close(status))

    def ids(self) -> dict[str, str]:
        """What the trackers call the run, of those that must be told to go on with it."""
        return {name: tracker.run_id for name, tracker in self.trackers.items() if tracker.run_id}

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            self._guarded(name, lambda tracker=tracker: action(tracker))  # type: ignore[misc]

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        try:
            with redirect_stdout(sys.stderr):  # what trackers say is no result
                action()
        except DistillError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, hours of training are worth more
            self.trackers.pop(name, None)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warn(f"{name} fails and logs nothing more; the files are written all the same: {reason}")


def choose_trackers(asked: str | Sequence[str] | None, of_recipe: Sequence[str] = ()) -> tuple[str, ...]:
    """The trackers that are asked for, "none" for none of them, or else the recipe's. Raises ArgumentError for an
    unknown one and InstallError for one whose package cannot be imported, before anything slow."""
    names = (asked,) if isinstance(asked, str) else tuple(asked or of_recipe)
    for name in names:
        check_choice("report_to", name, (*TRACKERS, NONE))
    if NONE in names and len(names) > 1:
        raise ArgumentError(
            f"report_to: none excludes {', '.join(n for n in names if n != NONE)}; give one of both"
        )
    for name in (names := () if NONE in names else names):
        require(name, f"report_to={name}", name)
    return tuple(dict.fromkeys(names))


@contextmanager
def open_tracking(report_to: Sequence[str], home: Home, params: Params, resume: bool = False) -> Iterator[Tracking]:
    """The trackers in the block, and how it ended for them. With `resume`, they go on with the run that they logged
    before, whose ids are in `home.ids`."""
    tracking = Tracking()
    ids = read_ids(home.ids) if resume else {}
    for name in report_to:
        tracking.open(name, home, params, ids.get(name))
    if home.ids is not None and (opened := tracking.ids()):
        write_json(home.ids, ids | opened)
    for name, tracker in tracking.trackers.items():
        note(f"{name} logs to {tracker.where}")
    try:
        yield tracking
    except BaseException as error:
        tracking.close("killed" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    tracking.close("finished")


def read_ids(path: Path | None) -> dict[str, str]:
    """The ids in the file, by tracker. Raises RunError."""
    tree: Any = read_json(path, RunError) if path is not None and path.is_file() else {}
    if not isinstance(tree, dict) or not all(isinstance(value, str) for value in tree.values()):
        raise RunError(f"{path}: damaged; remove it, and the trackers begin a run of their own")
    return tree


def flatten(tree: Mapping[str, Any], where: str = "") -> dict[str, str]:
    """Nested settings by their keys in a recipe: {"text": {"layers": 4}} is {"text.layers": "4"}."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{where}.{key}".lstrip(".")
        if isinstance(value, dict):
            flat |= flatten(value, name)
        else:
            flat[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return flat
