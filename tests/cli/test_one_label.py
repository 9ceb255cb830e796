"""Multi-class data from a CSV file to a Bundle, and a group of labels beside others: exactly one is decided."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import TINY, Chain, contents_of
from click.testing import CliRunner, Result
from sklearn.metrics import accuracy_score

import distill
from distill.cli.main import main
from distill.core.errors import BundleError, DataError
from distill.core.storage.files import read_json
from distill.data.groups import LabelGroup
from distill.model.soft_targets import SoftTargets
from distill.runtime.bundle import MANIFEST, Bundle, write_bundle

WORDS = {"cats": "meow purr whiskers", "dogs": "bark woof fetch", "birds": "tweet wing nest"}
CLASSES = tuple(sorted(WORDS))


def ask(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CSV files with a column of texts and one of classes."""
    folder, drawn = tmp_path_factory.mktemp("animals"), random.Random(5)
    for split, count in (("train", 48), ("dev", 24), ("test", 12)):
        kinds = [drawn.choice(CLASSES) for _ in range(count)]
        lines = [
            f"{' '.join(drawn.choices(WORDS[kind].split(), k=3))} {split}{n},{kind}" for n, kind in enumerate(kinds)
        ]
        (folder / f"{split}.csv").write_text("caption,kind\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def one_label(animals: Path, overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, its student and the fp32 Bundle; only the first command says that there is one label a row."""
    runs = tmp_path_factory.mktemp("one-label")
    more = [*overrides, "teacher.head.modalities=text", "student.image.trainable=false"]
    words = ["--recipe", TINY, *(part for override in more for part in ("--set", override))]
    data = ["--data", animals]
    ask("train-teacher", *data, "--out", runs / "teacher", *words, "--one-label", "--label-column", "kind")
    ask("train-student", *data, "--out", runs / "student", *words, "--teacher", runs / "teacher")
    ask("export", runs / "student", *data, "--out", runs / "bundle")
    return runs


def test_runs_soft_targets_and_bundle_remember_that_there_is_one_label_a_row(one_label: Path) -> None:
    group = LabelGroup("label", CLASSES)
    for name in ("teacher", "student"):
        assert read_json(one_label / name / "started.json", DataError)["groups"] == {"label": list(CLASSES)}
        run = read_json(one_label / name / "run.json", DataError)
        assert (run["format"], run["thresholds"]["groups"]) == (7, {"label": [0, 1, 2]})
    assert SoftTargets.read(one_label / "teacher" / "soft_targets.npz").groups == (group,)
    bundle = Bundle.open(one_label / "bundle")
    assert bundle.labels.groups == (group,)
    assert bundle.thresholds.values == (None, None, None)
    manifest = json.loads((one_label / "bundle" / MANIFEST).read_text())
    assert (manifest["format"], manifest["groups"]) == (5, {"label": list(CLASSES)})


def test_every_row_gets_one_label_and_probabilities_that_add_up_to_1(
    one_label: Path, animals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.jsonl"
    ask("predict", one_label / "bundle", animals / "test.csv", "--out", out)
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(answers) == 12
    for answer in answers:
        p = answer["probabilities"]
        assert answer["labels"] == [max(p, key=lambda name: p[name])]
        assert sum(p.values()) == pytest.approx(1, abs=2e-4)


def test_evaluate_shows_the_accuracy_that_scikit_learn_counts(
    one_label: Path, animals: Path, tmp_path: Path
) -> None:
    result = ask(
        "evaluate", one_label / "bundle", "--data", animals, "--split", "test", "--out", tmp_path / "e.json"
    )
    assert "accuracy" in result.output
    predictor = distill.load(one_label / "bundle")
    rows = [line.rsplit(",", 1) for line in (animals / "test.csv").read_text().splitlines()[1:]]
    p = predictor.predict_proba([{"text": text} for text, _ in rows])
    decided = predictor.decide(p)
    assert (decided.sum(axis=1) == 1).all()
    expected = accuracy_score([kind for _, kind in rows], np.array(predictor.labels)[p.argmax(axis=1)])
    (group,) = read_json(tmp_path / "e.json", DataError)["quality"]["groups"]
    assert group["accuracy"]["value"] == pytest.approx(expected)
    assert predictor.groups == {"label": CLASSES}
    assert np.isnan(predictor.thresholds).all()


def test_inspect_and_the_card_say_how_often_the_one_label_is_right(
    one_label: Path, animals: Path, tmp_path: Path
) -> None:
    ask("inspect", one_label / "bundle", "--data", animals, "--out", tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text()
    assert "The accuracy is" in page
    assert "To beat in accuracy" in page
    card = (one_label / "bundle" / "README.md").read_text()
    assert "a multi-class classifier of images with text" in card
    assert "| ECE | accuracy [95 %] |\n|---|---|---|---|---|---|---|\n|" in card
    assert "Of the labels exactly one is predicted" in card
    assert "| highest |" in card


def test_the_cards_code_decides_as_the_predictor_does(
    one_label: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    from PIL import Image

    card = (one_label / "bundle" / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    Image.new("RGB", (32, 32)).save(tmp_path / "meme.jpg")
    monkeypatch.chdir(one_label / "bundle")
    exec(code.replace('"meme.jpg"', repr(str(tmp_path / "meme.jpg"))), {})
    expected = distill.load(one_label / "bundle").predict("WHO DID THIS", tmp_path / "meme.jpg")
    assert capsys.readouterr().out.splitlines()[-1] == str(list(expected.labels))


def test_other_groups_than_the_runs_are_refused(one_label: Path, animals: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"was trained with groups of labels 'label' .*, and asked for are 'two'"):
        distill.read_dataset(animals, one_label / "teacher", groups={"two": ["cats", "dogs"]})
    assert distill.read_dataset(animals, one_label / "teacher", one_label=True).labels.groups


def test_a_run_that_is_resumed_without_its_groups_is_refused(
    one_label: Path, animals: Path, overrides: list[str]
) -> None:
    words = [
        "--recipe",
        TINY,
        *(part for o in [*overrides, "teacher.head.modalities=text"] for part in ("--set", o)),
    ]
    command = ["train-teacher", "--data", animals, "--out", one_label / "teacher", *words, "--label-column", "kind"]
    result = CliRunner().invoke(main, [*map(str, command), "--resume"])
    assert result.exit_code != 0
    assert "was started with groups.label, which is not asked for now" in result.output


@pytest.fixture(scope="module")
def harmful(overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher with folds of posts with one degree each, and any of two targets beside it."""
    folder, drawn = tmp_path_factory.mktemp("harmful"), random.Random(6)
    for split, count in (("train", 40), ("dev", 20)):
        rows = []
        for n in range(count):
            degree = drawn.choice(["not", "somewhat", "very"])
            targets = [target for target in ("person", "group") if drawn.random() < 0.4 and degree != "not"]
            text = f"{degree} {' '.join(targets)} {n}"
            rows.append({"id": f"{split}{n}", "text": text, "labels": [degree, *targets] if n % 9 else None})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups = {
        "labels.groups.degree": ["not", "somewhat", "very"],
        "teacher.folds": 2,
        "teacher.head.modalities": "text",
    }
    settings = dict(override.split("=", 1) for override in overrides)
    for key in (
        "teacher.epochs",
        "student.epochs",
        "export.calibration_examples",
        "teacher.image.size",
        "student.image.size",
    ):
        settings[key] = int(settings[key])  # type: ignore[assignment]
    run = folder.parent / f"{folder.name}-teacher"
    distill.train_teacher(folder, run, recipe=TINY, overrides={**settings, **groups})
    return run


def test_a_group_has_no_threshold_and_the_labels_beside_it_do(harmful: Path) -> None:
    rule = read_json(harmful / "run.json", DataError)["thresholds"]
    labels = read_json(harmful / "run.json", DataError)["labels"]
    assert labels == ["group", "not", "person", "somewhat", "very"]
    assert rule["groups"] == {"degree": [1, 3, 4]}
    assert [value is None for value in rule["values"]] == [False, True, False, True, True]
    first = read_json(harmful / "metrics.json", DataError)["quality"][0]
    assert first["what"] == "out-of-fold train, thresholds cross-fitted"
    assert [group["name"] for group in first["groups"]] == ["degree"]
    assert first["groups"][0]["examples"] == 35  # of 40, five are unlabelled
    constant = read_json(harmful / "metrics.json", DataError)["constant"]
    assert len({"not", "somewhat", "very"} & set(constant["names"])) == 1


def grouped(chain: Chain, folder: Path, columns: dict[str, tuple[int, ...]]) -> Path:
    """The chain's fp32 Bundle, some labels of which exclude each other."""
    contents = contents_of(chain.fp32)
    inside = {place for places in columns.values() for place in places}
    values = tuple(None if i in inside else v for i, v in enumerate(contents.thresholds.values))
    rule = replace(contents.thresholds, values=values, groups=columns)
    labels = contents.labels.with_group_columns(columns)
    write_bundle(folder, replace(contents, labels=labels, thresholds=rule))
    return folder


def test_a_service_names_the_groups_and_an_explanation_decides_among_them(chain: Chain, tmp_path: Path) -> None:
    from distill.runtime.explain import explain_prediction
    from distill.runtime.serve.openapi import bundle_info
    from distill.runtime.serve.request import Limits

    predictor = distill.load(grouped(chain, tmp_path / "bundle", {"mood": (4, 0, 2)}))
    names = predictor.labels
    mood = (names[4], names[0], names[2])
    for example in chain.splits.dev[:6]:
        answer = predictor.predict(example.text, example.image)
        assert len(set(answer.labels) & set(mood)) == 1
        assert sum(answer.probabilities[name] for name in mood) == pytest.approx(1, abs=2e-4)
    info = bundle_info(predictor.bundle, Limits())
    assert info.groups == {"mood": list(mood)}
    assert [label.threshold is None for label in info.labels] == [name in mood for name in names]
    explanation = explain_prediction(predictor, chain.splits.dev[0], names, grid=1)
    answer = predictor.predict(chain.splits.dev[0].text, chain.splits.dev[0].image)
    assert [label.label for label in explanation.labels if label.decided] == list(answer.labels)
    for label in explanation.labels:
        odds = label.whole.probability / (1 - label.whole.probability)
        assert label.whole.logit == pytest.approx(np.log(odds), abs=1e-3)
        assert (label.threshold is None) == (label.label in mood)


def test_groups_of_the_manifest_and_of_the_rule_must_agree(chain: Chain, tmp_path: Path) -> None:
    folder = grouped(chain, tmp_path / "bundle", {"mood": (0, 1)})
    manifest = json.loads((folder / MANIFEST).read_text())
    for changed in (manifest | {"groups": {}}, {k: v for k, v in manifest.items() if k != "groups"}):
        (folder / MANIFEST).write_text(json.dumps(changed))
        with pytest.raises(
            BundleError, match=r"manifest\.json and thresholds\.json have different groups of labels"
        ):
            Bundle.open(folder)


def test_a_bundle_without_groups_says_nothing_of_them(chain: Chain) -> None:
    assert "groups" not in json.loads((chain.int8 / "thresholds.json").read_text())
    manifest = json.loads((chain.int8 / MANIFEST).read_text())
    assert manifest["format"] == 4
    assert '"groups"' not in json.dumps(manifest)
