"""A Bundle's card, as the hub's own parser reads it, and its lines of Python, which are run."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chain import Chain
from huggingface_hub import ModelCard
from PIL import Image
from sklearn.metrics import average_precision_score

from distill.core.settings.recipe import CardConfig, Recipe
from distill.data.dataset import Splits
from distill.data.labels import LabelSet
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle
from distill.runtime.predictor import Predictor
from distill.scoring.baseline import BaselineAnswers
from distill.scoring.evaluation import SplitOutputs, fit_and_evaluate
from distill.scoring.selective import AnswerCut
from distill.training.baseline import Baseline
from export.card.metadata import encoder_name, is_hub_id, publishable_settings
from export.card.page import render_card
from export.figures import ExportFigures
from export.parity import Parity

ABOUT = CardConfig("Meme: a 'student' #1", "cc-by-nc-4.0", "en", "someone/memes")


def fp32_card(
    checkpoint: Checkpoint,
    splits: Splits,
    bundle: Bundle,
    about: CardConfig,
    baseline: BaselineAnswers | None = None,
    cuts: tuple[AnswerCut, ...] | None = None,
) -> str:
    """The card of an fp32 export of the chain's student, its text encoder named as on the hub."""
    targets = splits.labels.encode([example.labels for example in splits.dev])
    outputs = SplitOutputs("dev", splits.labels, Predictor(bundle).probabilities(splits.dev), targets)
    evaluation = fit_and_evaluate(outputs, "balanced", targets).beside(baseline, "the student")
    if cuts is not None:
        evaluation = replace(evaluation, thresholds=replace(evaluation.thresholds, answer_cuts=cuts))
    config = checkpoint.classifier.config
    config = replace(config, text=replace(config.text, model="someone/text-encoder"))
    figures = ExportFigures("fp32", "any", 1, Parity(**bundle.figures["parity"]), evaluation)
    return render_card(replace(checkpoint.classifier, config=config, labels=splits.labels), figures, splits, about)


def renamed(splits: Splits, names: list[str]) -> Splits:
    """The same examples with other labels."""
    new = dict(zip(splits.labels.names, names, strict=True))
    parts = (
        [replace(example, labels=tuple(new[label] for label in example.labels)) for example in part]
        for part in (splits.train, splits.dev, splits.test)
    )
    return Splits(LabelSet(tuple(names)), *parts)


def test_the_hub_reads_what_the_recipe_and_the_figures_say(
    checkpoint: Checkpoint, chain: Chain, bundle: Bundle
) -> None:
    data: Any = ModelCard(fp32_card(checkpoint, chain.splits, bundle, ABOUT)).data
    assert (data.license, data.language, data.datasets) == ("cc-by-nc-4.0", "en", ["someone/memes"])
    assert (data.library_name, data.pipeline_tag) == ("onnx", "image-classification")
    assert {"multi-label", "multimodal", "memes", "onnx", "fp32"} <= set(data.tags)
    assert data.base_model == ["someone/text-encoder"]  # the image encoder is torchvision's
    assert data.model_name == ABOUT.name
    results = {result.metric_name: result for result in data.eval_results}
    assert set(results) == {"micro-F1", "macro-F1", "micro-AP", "mAP"}
    targets = chain.splits.labels.encode([example.labels for example in chain.splits.dev])
    p = Predictor(bundle).probabilities(chain.splits.dev)
    some = targets.sum(0) > 0
    assert results["mAP"].metric_value == pytest.approx(
        average_precision_score(targets[:, some], p[:, some], average="macro"), abs=1e-4
    )
    assert results["micro-F1"].dataset_split == "dev"


def test_a_baseline_has_its_row_and_its_sentence(checkpoint: Checkpoint, chain: Chain, bundle: Bundle) -> None:
    answers = Baseline(chain.teacher, 0.01).answers("dev", chain.splits)
    card = fp32_card(checkpoint, chain.splits, bundle, ABOUT, answers)
    q = answers.answers.quality(answers.rows)
    cells = (
        f"{q.micro_f1:.3f} | {q.macro_f1:.3f} | {q.macro_f1_empty_as_one:.3f} | {q.micro_ap:.3f} | {q.ece:.3f} |"
    )
    assert f"| the baseline (teacher), thresholds cross-fitted on dev | {cells}" in card
    assert re.search(
        r"\nAgainst the baseline: the student .*the baseline \(teacher\).* could have been shown.*\.\n", card
    )
    assert "the baseline" not in fp32_card(checkpoint, chain.splits, bundle, ABOUT)


def test_the_card_says_which_precisions_can_be_held_from_where_and_on_how_many_posts(
    checkpoint: Checkpoint, chain: Chain, bundle: Bundle
) -> None:
    cuts = (AnswerCut(0.8, 0.61234, 0.329), AnswerCut(0.9, None, 0.0))
    card = fp32_card(checkpoint, chain.splits, bundle, ABOUT, cuts=cuts)
    section = card[card.index("## Posts to leave to a person") : card.index("## Training and data")]
    assert section.count("\n\n\n") == 0
    assert section.strip().splitlines()[-4:] == [
        "| precision to hold | confidence from | posts answered there |",
        "|---|---|---|",
        "| 0.8 | 0.612 | 33% |",
        "| 0.9 | cannot be held | – |",
    ]
    assert "with a risk of 5%" in section
    none = fp32_card(checkpoint, chain.splits, bundle, ABOUT, cuts=tuple(replace(c, confidence=None) for c in cuts))
    assert f"hold a precision of 0.8 or 0.9, as far as dev, {len(chain.splits.dev)} examples, can show" in none
    assert "Posts to leave" not in fp32_card(
        checkpoint, chain.splits, bundle, ABOUT, cuts=()
    )  # made before there were any


def test_the_cards_of_an_export_say_what_they_do_not_know(bundle: Bundle, chain: Chain) -> None:
    for folder, precision in ((bundle.folder, "int8"), (chain.fp32, "fp32")):
        text = (folder / "README.md").read_text(encoding="utf-8")
        data: Any = ModelCard(text).data
        assert data.license == "unknown"
        assert data.base_model is None
        assert precision in data.tags
        assert bundle.figures["quality"][0]["micro_f1"]["value"] >= 0
        for title in ("How to use it", "Intended use", "Out of scope", "Limits and bias", "Licence"):
            assert f"## {title}\n" in text
        assert str(chain.data.parent) not in text  # where things stood on this machine is nobody's business
        assert "/encoders" not in text


def test_no_path_of_this_machine_is_in_a_bundle_that_may_be_published(bundle: Bundle, chain: Chain) -> None:
    assert Path(chain.recipe.student.text.model).is_absolute()
    folder = str(Path(chain.recipe.student.text.model).parent)
    texts = [path.read_bytes() for path in bundle.folder.iterdir()]
    assert not [text for text in texts if folder.encode() in text]
    assert (
        json.loads((bundle.folder / "recipe.json").read_text())["text"]["model"]
        == Path(chain.recipe.student.text.model).name
    )


def test_the_table_counts_every_label_in_train(bundle: Bundle, chain: Chain) -> None:
    text = (bundle.folder / "README.md").read_text(encoding="utf-8")
    for name in chain.splits.labels.names:
        in_train, in_dev = (
            sum(name in example.labels for example in part) for part in (chain.splits.train, chain.splits.dev)
        )
        assert f"| {name} | {in_train} | {in_dev} | " in text


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_lines_without_distill_run_and_answer_as_distill_does(
    chain: Chain, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = chain.int8 if precision == "int8" else chain.fp32
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    example = chain.splits.test[0]
    assert example.image is not None
    with Image.open(example.image) as image:
        image.convert("RGB").save(tmp_path / "meme.jpg", "PNG")  # opened by its content; PNG is decoded in one way
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    code = code.replace('Path(".")', f"Path({str(folder)!r})").replace("WHO DID THIS", example.text)
    exec(compile(code, "card", "exec"), space)
    expected = Predictor.load(folder).predict(example.text, tmp_path / "meme.jpg")
    assert space["probabilities"] == pytest.approx(np.array(list(expected.probabilities.values())), abs=1e-4)


def test_ids_of_the_hub_are_told_from_folders_and_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "encoder").mkdir(parents=True)
    names = ("someone/encoder", "here/encoder", "/a/b", "./a", "mobilenet_v2", "a/b/c")
    assert [is_hub_id(name) for name in names] == [True, False, False, False, False, False]
    assert encoder_name("/home/me/secret/encoder") == "encoder (a local folder)"
    assert encoder_name("static:someone/encoder") == "static vectors of someone/encoder"
    config = Recipe.load(None, ["student.text.model=static:someone/encoder"]).student
    assert publishable_settings(config)["text"]["model"] == "static:someone/encoder"


def test_the_persuasion_labels_bring_their_own_caution(
    checkpoint: Checkpoint, chain: Chain, bundle: Bundle
) -> None:
    names = ["Smears", "Loaded Language", "Name calling/Labeling", "Doubt", "Slogans", "Bandwagon"]
    assert "SemEval" in fp32_card(checkpoint, renamed(chain.splits, names), bundle, ABOUT)
    assert "SemEval" not in fp32_card(checkpoint, chain.splits, bundle, ABOUT)


def test_no_name_breaks_a_table_or_opens_a_tag(checkpoint: Checkpoint, chain: Chain, bundle: Bundle) -> None:
    names = ["a|b", "a\\|b", "<script>", "`code", "{{ label }}", "[x](http://a)"]
    card = fp32_card(checkpoint, renamed(chain.splits, names), bundle, replace(ABOUT, name="<b>Mine"))
    table = card[card.index("| label | in train") :].split("\n\n")[0]
    rows = table.splitlines()[2:]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] == [9] * len(names)
    cells = {re.sub(r"\\(.)", r"\1", row.split(" | ")[0].removeprefix("| ")) for row in rows}
    assert cells == set(names)
    assert "\n# \\<b>Mine\n" in card
    assert not re.search(r"(?<!\\)<(script|b)>", card.split("---\n")[2])
