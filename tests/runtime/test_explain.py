"""`distill explain`: effects against a model whose every effect is known, and the image through its objects."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chain import Chain
from click.testing import CliRunner
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from distill.cli.main import main
from distill.core.errors import DataError
from distill.core.storage.files import read_json
from distill.data.dataset import Example
from distill.data.labels import LabelSet
from distill.preprocess.images import ImageSpec
from distill.preprocess.inputs import ModelInputs, Preprocessor, PreprocessSpec
from distill.preprocess.text import TextSpec
from distill.runtime.explain import Explanation, explain_prediction, occlude
from distill.runtime.explain_plot import colour_scale, draw, lay_out_words, load_grey, plain_style, write_plot
from distill.runtime.pool import WorkerPool
from distill.runtime.predictor import Predictor
from distill.scoring.metrics import sigmoid
from distill.scoring.thresholds import FittedOn, Thresholds

WORTH = {"good": 1.0, "bad": -2.0, "plain": 0.0, "late": 4.0}
SPEC = PreprocessSpec(ImageSpec(16, "squash", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), TextSpec(3, 0))


class Linear:
    """One logit is the sum of its words' worth, the other the mean red of the top left quarter."""

    def __init__(self) -> None:
        words = ["[PAD]", *WORTH]
        tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[PAD]"))
        tokenizer.pre_tokenizer = WhitespaceSplit()
        self.worth = np.array([0.0, *WORTH.values()])
        self.preprocessor, self.pool = Preprocessor(SPEC, tokenizer.to_str()), WorkerPool(1)
        thresholds = Thresholds((0.6, 0.4), "micro", FittedOn("nothing", 0))
        self.bundle = SimpleNamespace(labels=LabelSet(("words", "red")), thresholds=thresholds, preprocess=SPEC)

    def logits(self, batch: ModelInputs) -> NDArray[np.float32]:
        words = self.worth[batch.input_ids].sum(1) * batch.present[:, 0]
        red = batch.pixels[:, :8, :8, 0].mean((1, 2)) / 255 * batch.present[:, 1]
        return np.stack([words, red], 1).astype(np.float32)


@pytest.fixture
def linear() -> Any:
    return Linear()


@pytest.fixture
def red(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "red.png")
    return tmp_path / "red.png"


def test_a_word_has_the_effect_that_it_has_and_one_that_is_not_read_has_none(linear: Any, red: Path) -> None:
    found = explain_prediction(linear, Example("x", "good  bad\nplain late", red, ()), ["words"], grid=2)
    (words,) = found.labels
    assert [(word.text, word.read) for word in found.words] == [(word, word != "late") for word in WORTH]
    # Without one of three tokens the fourth word is read, and its worth comes in.
    assert [effect.logit for effect in words.words] == pytest.approx([1 - 4, -2 - 4, 0 - 4, 0])
    one, without = sigmoid(np.array([-1.0, 2.0], dtype=np.float32))
    assert words.words[0].probability == pytest.approx(one - without, abs=1e-5)
    assert (words.whole.logit, words.text_alone.logit, words.image_alone.logit) == (-1, -1, 0)
    assert not words.decided


def test_a_region_has_the_effect_of_its_square(linear: Any, red: Path) -> None:
    found = explain_prediction(linear, Example("x", "good", red, ()), ["red"], grid=4)
    (label,) = found.labels
    map_ = np.array([[effect.logit for effect in row] for row in label.regions])
    # Squares reach half a cell of 4 pixels over each side of their cell; grey is 128 of 255, the quarter 8 x 8.
    reach = np.array([6, 6, 2, 0]) / 8
    assert map_ == pytest.approx(np.outer(reach, reach) * (1 - 128 / 255), abs=2e-5)
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    assert occlude(image, 1, 0, 0, SPEC.image).min() == 128
    assert image.max() == 0


def test_half_a_post_is_explained_as_far_as_it_goes(linear: Any, red: Path) -> None:
    text = explain_prediction(linear, Example("x", "good", None, ()))
    assert text.grid == 0
    assert {label.label: label.decided for label in text.labels} == {"words": True, "red": True}
    assert all(label.regions == () and label.text_alone is None for label in text.labels)
    assert text.labels[0].words[0].logit == 1  # without it nothing is left, and nothing is worth 0
    image = explain_prediction(linear, Example("x", " \n", red, ()), grid=2)
    assert image.words == ()
    assert [label.label for label in image.labels] == ["red", "words"]  # decided first


def test_a_strange_label_and_too_fine_a_grid_are_refused(linear: Any, red: Path) -> None:
    with pytest.raises(DataError, match="--label wrods: the Bundle has no such label; it has words, red"):
        explain_prediction(linear, Example("x", "good", red, ()), ["wrods"])
    with pytest.raises(DataError, match="finer than the 16 pixels"):
        explain_prediction(linear, Example("x", "good", red, ()), grid=17)


def test_the_image_shows_labels_words_colours_and_maps(linear: Any, red: Path) -> None:
    found = explain_prediction(linear, Example("x", "good $bad$ plain late", red, ()), grid=4)
    with plain_style():
        figure = draw(found, load_grey(red), SPEC.image, "red.png")
        page = figure.axes[0]
        texts = [text.get_text() for text in page.texts]
        assert [text for text in texts if text in ("words", "red")] == ["words", "red"]
        assert texts.count("$bad$") == 2
        assert sum(text.startswith(("predicted: ", "not predicted: ")) for text in texts) == 2
        assert len(page.images) == 4  # the image and its map, twice
        assert [len(figure.axes), page.images[1].get_array().shape] == [3, (4, 4)]  # a bar of colours each
        assert page.images[0].get_extent()[1] - 20 == pytest.approx(
            2 * (page.images[0].get_extent()[2] - 78), abs=1
        )
        norm, colours = colour_scale(found.labels[0].words), page.images[1].cmap
        assert norm(0) == 0.5
        assert colours(0.5)[3] == pytest.approx(0, abs=0.01)
        assert colours(1.0)[0] > colours(1.0)[2]  # for: orange; against: blue
        assert colours(0.0)[0] < colours(0.0)[2]


def test_no_word_leaves_its_line_and_few_unread_ones_are_shown(linear: Any) -> None:
    text = " ".join(["good", "x" * 90, "bad", *["late"] * 400])
    found = explain_prediction(linear, Example("x", text, None, ()))
    with plain_style():
        figure = draw(found, None, SPEC.image, "text")
        chips = lay_out_words(found.words, figure, 300)
        assert len(chips) == 3 + 8
        assert all(chip.left + chip.width <= 300 for chip in chips)
        assert {chip.line for chip in chips} == set(range(chips[-1].line + 1))
        wide = 72 * figure.get_size_inches()[0]
        boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
        assert max(box.get_x() + box.get_width() for box in boxes) < wide


def test_a_cropped_image_says_what_the_model_saw(linear: Any, red: Path) -> None:
    found: Explanation = explain_prediction(linear, Example("x", "", red, ()), ["red"], grid=2)
    with plain_style():
        figure = draw(found, load_grey(red), replace(SPEC.image, fit="crop"), "red.png")
        left, right, bottom, top = figure.axes[0].images[1].get_extent()
        assert right - left == pytest.approx(bottom - top)


def test_letters_that_no_font_has_are_no_warning(linear: Any, tmp_path: Path) -> None:
    found = explain_prediction(linear, Example("x", "漢字 \x00 \udc80", None, ()), ["words"])
    write_plot(found, None, SPEC.image, "漢字", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1650


def test_the_command_writes_an_image_and_the_numbers_of_predict(chain: Chain, tmp_path: Path) -> None:
    example, out = chain.splits.test[0], tmp_path / "a.png"
    name = chain.splits.labels.names[1]
    words = ["explain", str(chain.int8), "--image", str(example.image), "--text", example.text, "--grid", "3"]
    done = CliRunner().invoke(main, [*words, "--label", name, "--out", str(out)])
    assert done.exit_code == 0, done.output
    figures = read_json(tmp_path / "a.json", DataError)
    (label,) = figures["labels"]
    predicted = Predictor.load(chain.int8).predict(example.text, example.image)
    assert label["whole"]["probability"] == pytest.approx(predicted.probabilities[name], abs=1e-4)
    assert [word["text"] for word in figures["words"]] == example.text.split()
    assert np.shape(label["regions"]) == (3, 3)
    assert json.dumps(figures)
    with Image.open(out) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "."], ".: is a folder; give the name of a file"),
        (["--out", "a.pdf"], "--out a.pdf is to be a PNG file"),
    ],
)
def test_a_name_that_is_no_images_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["explain", str(tmp_path), "--text", "a", *words])
    assert done.exit_code == 2
    assert said in done.stderr


def test_without_matplotlib_one_line_says_what_brings_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "distill.runtime.explain_plot", raising=False)
    monkeypatch.delattr("distill.runtime.explain_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = CliRunner().invoke(main, ["explain", str(chain.int8), "--text", "a"])
    assert done.exit_code == 2
    assert done.stderr.strip() == "error: distill explain needs matplotlib; pip install 'distill[plots]'"
