"""A training is followed by trackers, by a user's callbacks and by its own log, and lost by none of them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from chain import TINY, Chain
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback

import distill
from distill.core import tracking
from distill.core.errors import ArgumentError, RunError
from distill.core.output.transcript import TRAIN_LOG
from distill.core.storage.files import read_json
from distill.core.tracking.trackers import Home, Params
from distill.data.run_folder import METRICS, RUN_FILE

EPOCHS = 2


class FailsLater:
    """A tracker whose server goes away after the first epoch."""

    where, run_id = "http://gone", "7"

    def __init__(self, home: Home, params: Params, run_id: str | None) -> None:
        self.logged = 0

    def log(self, figures: dict[str, float], step: int, prefix: str) -> None:
        self.logged += 1
        if self.logged > 2:
            raise ConnectionError("the server is gone\nand more lines")

    def log_file(self, path: Path) -> None:
        raise AssertionError("it is left out by now")

    def close(self, status: str) -> None:
        raise AssertionError("it is left out by now")


class Counts(TrainerCallback):
    """A user's callback."""

    def __init__(self) -> None:
        self.epochs = 0
        self.logs: list[str] = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.epochs += 1

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.logs.append((Path(args.output_dir).parent.parent / TRAIN_LOG).read_text(encoding="utf-8"))


class Stops(TrainerCallback):
    """Control-C after the first epoch is saved."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Followed:
    """A teacher that was trained with three trackers, one of which fails, and a callback."""

    run: Path
    store: str
    callback: Counts
    said: str


def train(chain: Chain, out: Path, **options: Any) -> Any:
    return distill.train_teacher(chain.data, out, recipe=TINY, overrides=chain.overrides, **options)


@pytest.fixture(scope="module")
def file_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's, in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_TRACKING_URI", tmp_path_factory.mktemp("mlflow").as_uri())
        yield mlflow.get_tracking_uri()


@pytest.fixture(scope="module")
def followed(chain: Chain, file_store: str, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    out, callback = tmp_path_factory.mktemp("followed") / "teacher", Counts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tracking.OPENERS, "wandb", FailsLater)
        patch.setitem(__import__("sys").modules, "wandb", types.ModuleType("wandb"))
        train(chain, out, report_to=["tensorboard", "mlflow", "wandb"], callbacks=[callback])
    return Followed(out, file_store, callback, (out / TRAIN_LOG).read_text(encoding="utf-8"))


def best_row(run: Path) -> dict[str, Any]:
    row: dict[str, Any] = read_json(run / METRICS, RunError)["quality"][0]
    return row


def test_tensorboards_files_hold_each_epoch_the_figures_and_the_recipe(followed: Followed) -> None:
    events = EventAccumulator(str(followed.run / "tensorboard.events")).Reload()
    training = read_json(followed.run / RUN_FILE, RunError)["training"]["epochs"]
    logged = {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert logged["all/eval_micro_ap"] == pytest.approx([epoch["dev_micro_ap"] for epoch in training])
    assert logged["all/loss"] == pytest.approx([epoch["loss"] for epoch in training])
    row = best_row(followed.run)
    assert logged["final/micro_f1"] == pytest.approx([row["micro_f1"]["value"]])
    for label in row["labels"]:
        assert logged[f"final/f1/{label['name']}"] == pytest.approx([label["f1"]])
        assert logged[f"final/threshold/{label['name']}"] == pytest.approx([label["threshold"]])
    texts = events.Tags()["tensors"]
    assert {"recipe/text_summary", "metrics.json/text_summary"} <= set(texts)
    (recipe,) = events.Tensors("recipe/text_summary")
    assert b"| teacher.epochs | 2 |" in recipe.tensor_proto.string_val[0]


def test_mlflows_run_holds_the_same_and_the_files(followed: Followed) -> None:
    client = mlflow.MlflowClient(followed.store)
    run_id = read_json(followed.run / "tracking.json", RunError)["mlflow"]
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == "distill"
    assert (run.info.run_name, run.info.status) == ("teacher", "FINISHED")
    assert run.data.params["teacher.epochs"] == str(EPOCHS)
    assert run.data.params["kind"] == "teacher"
    assert len(client.get_metric_history(run_id, "all/eval_loss")) == EPOCHS
    row = best_row(followed.run)
    for label in row["labels"]:
        assert run.data.metrics[f"final/f1/{label['name']}"] == pytest.approx(label["f1"])
    assert {file.path for file in client.list_artifacts(run_id)} == {METRICS, RUN_FILE}


def test_a_tracker_that_fails_is_warned_of_once_and_loses_nothing(followed: Followed) -> None:
    (line,) = [line for line in followed.said.splitlines() if "wandb" in line and "warning" in line]
    assert (
        line == "warning: wandb fails and logs nothing more; the files are written all the same: the server is gone"
    )
    assert (followed.run / RUN_FILE).is_file()


def test_a_users_callback_hears_of_every_epoch_and_must_be_one(followed: Followed, chain: Chain) -> None:
    assert followed.callback.epochs == EPOCHS
    with pytest.raises(
        ArgumentError, match=r"^callbacks must be transformers\.TrainerCallback objects or classes; got"
    ):
        train(chain, followed.run.parent / "never", callbacks=[print])
    assert not (followed.run.parent / "never").exists()


def test_the_log_holds_what_was_printed_while_it_is_printed(followed: Followed, chain: Chain) -> None:
    assert "epoch 1/2" in followed.callback.logs[1]  # as the second epoch was evaluated
    assert followed.said.startswith("# 20")
    for part in (f"{chain.data}: 64 train, 32 dev, 24 test examples", "epoch 2/2", "Teacher", "threshold"):
        assert part in followed.said
    assert "\x1b" not in followed.said


def test_an_interrupted_training_goes_on_in_the_same_log_and_the_same_runs(
    chain: Chain, file_store: str, tmp_path: Path
) -> None:
    out = tmp_path / "teacher"
    with pytest.raises(KeyboardInterrupt):
        train(chain, out, report_to="mlflow", callbacks=[Stops])
    run_id = read_json(out / "tracking.json", RunError)["mlflow"]
    assert mlflow.MlflowClient().get_run(run_id).info.status == "KILLED"
    train(chain, out, report_to="mlflow", resume=True)
    said = (out / TRAIN_LOG).read_text(encoding="utf-8")
    assert said.count("# 20") == 2
    assert said.index("epoch 1/2") < said.index("\ninterrupted\n") < said.index("epoch 2/2")
    assert said.count("epoch 1/2") == 1
    assert read_json(out / "tracking.json", RunError)["mlflow"] == run_id
    assert mlflow.MlflowClient().get_run(run_id).info.status == "FINISHED"
    steps = [metric.step for metric in mlflow.MlflowClient().get_metric_history(run_id, "all/eval_loss")]
    assert steps == sorted(set(steps))
    assert len(steps) == EPOCHS
