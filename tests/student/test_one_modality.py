"""A student of texts alone or of images alone, taught by a teacher of both, from training to a Bundle's answers."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from chain import TINY, Chain
from services import encoded, serving

import distill
from bench.measure.stages import stage_times
from bench.runtimes.open_model import open_variant
from bench.runtimes.variants import variant_from_path
from distill.core.errors import BundleError, RecipeError
from distill.core.settings.recipe import Recipe
from distill.core.storage.files import read_json, write_json
from distill.data.examples import Example
from distill.model.checkpoint import Checkpoint
from distill.runtime.bundle import Bundle
from distill.runtime.explain import explain_prediction
from distill.runtime.explain_plot import write_plot
from distill.runtime.onnx.tower_sessions import TextAlone
from distill.runtime.predictor import Predictor
from student.fake_quant import insert_fake_quant, remove_fake_quant

Made = dict[str, tuple[Checkpoint, Bundle]]


@pytest.fixture(scope="module")
def made(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A student and its Bundle, by what they read."""
    result = {}
    for reads in ("text", "image"):
        folder = tmp_path_factory.mktemp(reads)
        overrides = [*chain.overrides, f"student.head.modalities={reads}", "student.epochs=1"]
        student = distill.train_student(
            chain.data, folder / "student", teacher=chain.teacher, recipe=TINY, overrides=overrides
        )
        bundle = distill.export(
            folder / "student", chain.data, folder / "bundle", embed=True, recipe=TINY, overrides=overrides
        )
        result[reads] = student, bundle
    return result


@pytest.mark.parametrize(("reads", "other"), [("text", "image"), ("image", "text")])
def test_a_student_of_one_modality_looks_at_no_other(
    reads: str, other: str, chain: Chain, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    student, bundle = made[reads]
    assert bundle.modalities == reads
    capsys.readouterr()
    predictor = Predictor.load(bundle.folder)
    assert f"reads {reads}s alone: {other}s are not looked at" in " ".join(capsys.readouterr().err.split())
    posts = chain.splits.test[:6]
    whole = predictor.probabilities(posts)
    alone = [{"text": example.text or None, "image": example.image} | {other: None} for example in posts]
    np.testing.assert_array_equal(predictor.predict_proba(alone), whole)
    classifier = student.classifier
    np.testing.assert_allclose(whole, classifier.probabilities(classifier.encode(posts)), atol=1e-4)
    assert np.ptp(whole, axis=0).max() > 0.01
    assert bundle.size_bytes() < 0.9 * Bundle.open(chain.fp32).size_bytes()  # of the other tower nothing is left
    in_one_file = Predictor.load(bundle.folder / "model.onnx")
    assert in_one_file.bundle.modalities == reads
    np.testing.assert_array_equal(in_one_file.probabilities(posts), whole)


def test_a_model_of_texts_alone_opens_no_image(chain: Chain, made: Made, tmp_path: Path) -> None:
    predictor = Predictor.load(made["text"][1].folder)
    post = predictor.predict(text="rally tonight", image=b"no image")
    assert post.probabilities == predictor.predict(text="rally tonight").probabilities
    (answer,) = predictor.stream([Example("post", "rally tonight", tmp_path / "absent.jpg", ())])
    assert answer.probabilities == post.probabilities  # type: ignore[union-attr]
    with serving(predictor) as client:
        served = client.post("/v1/predict", json={"text": "rally tonight", "image": encoded(b"no image")})
        assert served.json()["probabilities"] == post.probabilities
        assert client.get("/v1/bundle").json()["modalities"] == "text"
    image = chain.splits.test[0].image
    found = explain_prediction(predictor, Example("post", "rally tonight", image, ()), count=2, grid=4)
    assert found.grid == 0
    write_plot(found, image, predictor.bundle.preprocess.image, "post", tmp_path / "plot.png")  # type: ignore[arg-type]
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_text_that_is_alone_has_all_threads(chain: Chain, made: Made) -> None:
    folder, texts = made["text"][1].folder, [example.text for example in chain.splits.test]
    one, two = Predictor.load(folder, threads=1), Predictor.load(folder, threads=2)
    assert isinstance(two.model, TextAlone)
    rows = [answer.probabilities for answer in two.predict_many([{"text": t} for t in texts])]  # type: ignore[union-attr]
    assert two.model._text.wide is None  # rows have a thread each
    assert [two.predict(text).probabilities for text in texts] == rows
    assert two.model._text.wide not in (None, two.model._text.narrow)
    assert [one.predict(text).probabilities for text in texts] == rows
    assert isinstance(one.model, TextAlone)
    assert one.model._text.wide is None
    assert two.predict(texts[0], b"no image").probabilities == rows[0]


def test_where_the_time_goes_knows_that_no_image_is_read(made: Made, tmp_path: Path) -> None:
    model = open_variant(variant_from_path(made["text"][1].folder), 1)
    found = stage_times(model, [("rally tonight", tmp_path / "absent.jpg")], passes=1)
    assert {stage.name for stage in found.stages} >= {"decode", "tokenise", "decide"}


def test_a_setting_of_an_encoder_that_is_left_out_changes_nothing_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = {"student.head.modalities": "text", "student.image.size": 32, "student.epochs": 2}
    for overrides in (given, [f"{key}={value}" for key, value in given.items()]):
        Recipe.load(TINY, overrides)
        warned = " ".join(capsys.readouterr().err.split())
        assert "student.image.size changes nothing: student.head.modalities=text leaves that encoder out" in warned
        assert f"{TINY}: student.image.trainable changes nothing: " in warned
        assert warned.count("changes nothing") == 2


def test_an_encoder_that_is_left_out_is_not_fine_tuned_in_int8(made: Made) -> None:
    """No layer of it is in the exported graph, where its ranges would be looked for."""
    network = copy.deepcopy(made["image"][0].classifier.network)
    insert_fake_quant(network, 127)
    ranges = remove_fake_quant(network)
    assert ranges
    assert not [name for name in ranges if name.startswith("text.")]


def test_what_a_bundle_reads_is_one_of_three(made: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made["text"][1].folder, tmp_path / "bundle"))
    manifest = read_json(folder / "manifest.json", BundleError)
    write_json(folder / "manifest.json", manifest | {"modalities": "smells"})
    with pytest.raises(BundleError, match="unknown modalities 'smells'; expected both, text, image"):
        Bundle.open(folder)


@pytest.mark.parametrize(("reads", "other"), [("text", "image"), ("image", "text")])
def test_features_of_a_tower_that_is_left_out_cannot_be_matched(reads: str, other: str) -> None:
    overrides = [f"student.head.modalities={reads}", f"student.distill.{other}_features=1"]
    with pytest.raises(
        RecipeError, match=f"student.distill.{other}_features matches .* student.head.modalities={reads}"
    ):
        Recipe.load(None, [*overrides, "student.image.trainable=true", "student.text.ngrams=off"])
