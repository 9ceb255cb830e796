"""Linear probes: logistic regression on frozen features, against scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack
from scipy.sparse import random as sparse_random
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from distill.core.errors import RecipeError
from distill.core.settings.model_config import Focal
from distill.core.settings.recipe import Recipe
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.training import probe
from distill.training.head_start import ap_metrics
from distill.training.probe import Probe, fit_linear, probe_targets
from distill.training.trainer import CheckpointFolder, train_model
from teacher.losses import teacher_loss
from teacher.train import prepare_teacher

PROBE = ["teacher.head.hidden_size=0", "teacher.head_start=probe", "teacher.text.trainable=false"]
PROBE += ["teacher.image.trainable=false", "teacher.epochs=0"]


def problem(rows: int = 60, width: int = 9) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    generator = np.random.default_rng(2)
    features = generator.normal(size=(rows, width))
    noise = generator.normal(size=(rows, 2))
    return features, ((features[:, :2] + noise) > 0.3).astype(np.float32)


def sklearn_logits(
    features: NDArray[np.float64], targets: NDArray[np.float32], fitted: Probe
) -> NDArray[np.float64]:
    models = [LogisticRegression(C=fitted.penalty, tol=1e-8, max_iter=5000).fit(features, y) for y in targets.T]
    return np.stack([model.decision_function(features) for model in models], axis=1)


@pytest.mark.parametrize("most_rotated", [0, 1000])
@pytest.mark.parametrize("width", [9, 200])
def test_it_is_scikit_learns_regression(monkeypatch: pytest.MonkeyPatch, most_rotated: int, width: int) -> None:
    monkeypatch.setattr(probe, "MAX_ROTATED", most_rotated)
    features, targets = problem(width=width)
    fitted = fit_linear(csr_matrix(features), targets)
    logits = features @ fitted.weight + fitted.bias
    np.testing.assert_allclose(logits, sklearn_logits(features, targets, fitted), atol=0.02)


def test_many_rows_of_sparse_features_are_fitted_as_closely_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 rows, of which each feature is in a few; in blocks of labels, with columns that are empty."""
    monkeypatch.setattr(probe, "MAX_VARIABLES", 400)
    generator = np.random.default_rng(3)
    features = sparse_random(20_000, 300, density=0.01, random_state=3, format="csr")
    truth = generator.normal(size=(300, 3)) * 4
    truth[250:] = 0
    targets = (generator.random((20_000, 3)) < expit(features @ truth - 1)).astype(np.float32)
    wide = hstack([features, csr_matrix((20_000, 50))]).tocsr()
    fitted = fit_linear(wide, targets)
    assert fitted.weight.shape == (350, 3)
    assert (fitted.weight[300:] == 0).all()
    logits = features @ fitted.weight[:300] + fitted.bias
    np.testing.assert_allclose(logits, sklearn_logits(features, targets, fitted), atol=0.02)


def test_without_features_every_label_has_its_rate() -> None:
    _, targets = problem()
    fitted = fit_linear(np.zeros((60, 3)), targets)
    assert (fitted.weight == 0).all()
    np.testing.assert_allclose(1 / (1 + np.exp(-fitted.bias)), targets.mean(0), atol=1e-6)


def test_rows_of_unknown_label_and_labels_of_one_class_change_nothing_else() -> None:
    features, targets = problem()
    known = fit_linear(features[:50], targets[:50])
    unknown = np.concatenate([targets, np.ones((60, 1), dtype=np.float32)], axis=1)
    unknown[50:, :2] = np.nan
    fitted = fit_linear(features, unknown)
    expected = LogisticRegression(C=fitted.penalty, tol=1e-8).fit(features[:50], targets[:50, 0]).coef_[0]
    np.testing.assert_allclose(fitted.weight[:, 0], expected, atol=0.02)
    assert known.weight.shape == (9, 2)
    assert (fitted.weight[:, 2] == 0).all()
    assert fitted.bias[2] == probe.MAX_BIAS


def test_a_target_between_0_and_1_counts_as_that_share_of_a_positive() -> None:
    """Four copies of each row, one of them negative, are the same as a target of 0.75."""
    features, targets = problem()
    soft = np.where(targets[:, :1] == 1, 0.75, 0.0).astype(np.float32)
    copies = np.repeat(features, 4, axis=0)
    hard = np.stack([np.arange(4) < 4 * target for target in soft[:, 0]]).reshape(-1, 1).astype(np.float32)
    ((weight, bias),) = probe._solve(features, soft, [4.0], 1e-6)
    ((expected, intercept),) = probe._solve(copies, hard, [1.0], 1e-6)
    np.testing.assert_allclose(weight, expected, atol=0.02)
    np.testing.assert_allclose(bias, intercept, atol=0.02)


def test_a_students_probe_learns_labels_and_answers_mixed(chain: Chain) -> None:
    learned = Checkpoint.load(chain.student).classifier
    examples = chain.splits.train[:4]
    teacher = Checkpoint.load(chain.teacher).classifier
    answers = teacher.outputs(teacher.encode(examples))
    encoded = learned.encode(examples, answers)
    mixed = probe_targets(chain.recipe.student, encoded)
    sides = (encoded.targets + 1 / (1 + np.exp(-answers.logits))) / 2
    np.testing.assert_allclose(mixed, sides, atol=1e-6)


@pytest.mark.parametrize("ngrams", ["off", "add", "only"])
def test_the_network_answers_as_the_regression_does(chain: Chain, ngrams: str) -> None:
    """Its logits are those of a regression on the normed features, and its encoders stay as they were."""
    config = Recipe.load(None, [*chain.overrides, *PROBE, f"teacher.text.ngrams={ngrams}"]).teacher
    teacher = prepare_teacher(config, chain.splits)
    before = {name: value.clone() for name, value in teacher.classifier.network.text.state_dict().items()}
    network, train = teacher.classifier.network, teacher.data.train
    features = probe.joint_features(network, train) * probe._scale(network)
    if network.ngrams is not None:
        features = np.concatenate([features, network.ngrams.features(train.token_ids).toarray()], axis=1)
    probe.fit_probe(network, train)
    expected = fit_linear(features, train.targets)
    logits = features @ expected.weight + expected.bias
    np.testing.assert_allclose(teacher.classifier.logits(train), logits, atol=0.02)
    assert all(torch.equal(value, before[name]) for name, value in network.text.state_dict().items())


def test_a_probe_begins_where_the_loss_that_goes_on_is_least(chain: Chain) -> None:
    """If its probabilities are true, no slope and no offset has a lower focal loss in expectation, by scipy."""
    config = replace(chain.recipe.teacher, focal=Focal(2.0, 0.25))
    logits = np.random.default_rng(5).normal([-1.5, 0.5], [1.0, 2.0], size=(400, 2))
    _, targets = problem()
    slopes, offsets = probe.match_loss(teacher_loss(config, targets), logits, {})

    def expected_focal(line: NDArray[np.float64], label: int) -> float:
        z, truth = line[0] * logits[:, label] + line[1], expit(logits[:, label])
        hit, miss = (expit(z), 0.25), (expit(-z), 0.75)
        losses = [-weight * (1 - p) ** 2 * np.log(p) for p, weight in (hit, miss)]
        return float((truth * losses[0] + (1 - truth) * losses[1]).mean())

    for label in range(2):
        best = minimize(expected_focal, np.array([1.0, 0.0]), args=(label,), method="BFGS", options={"gtol": 1e-9})
        assert (slopes[label], offsets[label]) == pytest.approx(tuple(best.x), abs=0.05)
    assert (slopes < 0.7).all()
    assert (offsets < -0.3).all()
    plain = replace(config, focal=Focal(0.0, -1.0))
    slopes, offsets = probe.match_loss(teacher_loss(plain, targets), logits, {})
    assert slopes == pytest.approx([1, 1], abs=0.05)
    assert offsets == pytest.approx([0, 0], abs=0.05)


def test_labels_of_a_group_are_drawn_with_its_probabilities_one_a_row() -> None:
    p = np.tile(np.array([0.2, 0.9, 0.5, 0.3], dtype=np.float32), (5000, 1))
    drawn = probe._draw_labels(p, {"g": (0, 2, 3)})
    assert (drawn[:, [0, 2, 3]].sum(axis=1) == 1).all()
    assert drawn.mean(axis=0) == pytest.approx([0.2, 0.9, 0.5, 0.3], abs=0.02)


@pytest.mark.parametrize("rate", [1.0, 1e-3])
def test_the_probe_is_kept_where_no_epoch_is_better_on_dev(chain: Chain, tmp_path: Path, rate: float) -> None:
    """A rate of 1 destroys the network; with a good one the demo's dev gets better than the probe."""
    more = [*PROBE[:2], "teacher.epochs=2", f"teacher.learning_rate={rate}", f"teacher.head_learning_rate={rate}"]
    config = Recipe.load(None, [*chain.overrides, *more]).teacher
    teacher, alone = prepare_teacher(config, chain.splits), prepare_teacher(config, chain.splits)
    probe.fit_probe(alone.classifier.network, alone.data.train)
    loss = teacher_loss(config, teacher.targets)
    run = CheckpointFolder(tmp_path, resume=False)
    log = train_model(teacher.classifier.network, config, teacher.data, loss, run)
    assert len(log.epochs) == 2
    of_dev = [balanced_ap(each.classifier, each.data.dev) for each in (teacher, alone)]
    if rate == 1.0:
        assert log.best_epoch == 0
        assert of_dev[0] == pytest.approx(of_dev[1], abs=0.03)  # on the scale of focal loss
    else:
        assert log.best_epoch > 0
        assert of_dev[0] >= of_dev[1]


def balanced_ap(classifier: Classifier, encoded: EncodedDataset) -> float:
    return ap_metrics(classifier.probabilities(encoded), encoded.targets)["balanced_ap"]


def test_no_epochs_after_a_probe_are_the_probe(chain: Chain, tmp_path: Path) -> None:
    """As where the probe was the best in the median fold."""
    config = Recipe.load(None, [*chain.overrides, *PROBE[:2]]).teacher
    teacher, alone = prepare_teacher(config, chain.splits), prepare_teacher(config, chain.splits)
    probe.fit_probe(alone.classifier.network, alone.data.train)
    run = CheckpointFolder(tmp_path, resume=False)
    loss = teacher_loss(config, teacher.targets)
    log = train_model(teacher.classifier.network, config, teacher.data, loss, run, epochs=0)
    assert (log.epochs, log.best_epoch) == ((), 0)
    left, right = (each.classifier.logits(each.data.dev) for each in (teacher, alone))
    for label in range(left.shape[1]):
        assert np.corrcoef(left[:, label], right[:, label])[0, 1] == pytest.approx(1)


def test_features_of_a_frozen_text_tower_are_those_of_its_tokens(chain: Chain) -> None:
    config = replace(chain.recipe.teacher, text=replace(chain.recipe.teacher.text, trainable=False))
    teacher = prepare_teacher(config, chain.splits)
    classifier, train = teacher.classifier, teacher.data.train
    assert train.text_features is not None
    from_tokens = classifier.logits(replace(train, text_features=None))
    np.testing.assert_allclose(classifier.logits(train), from_tokens, atol=1e-5)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.epochs=0 teacher.head_start=random", "teacher.epochs=0 trains nothing"),
        ("teacher.head.hidden_size=256", "set teacher.head.hidden_size=0"),
        ("teacher.text.ngrams=add teacher.head.modalities=image", "ngrams=add reads texts"),
        ("teacher.text.ngrams=only teacher.text.layers=2", "no encoder to prune"),
        ("teacher.text.ngrams=only teacher.head.fusion=transformer", "needs an encoder of texts"),
        ("teacher.text.model=lstm teacher.text.ngrams=add", "lstm starts from nothing"),
        ("student.text.ngrams=only student.distill.text_features=1", "which student.text.ngrams=only has not"),
        (
            "student.text.trainable=false student.distill.text_features=1",
            "text_features=1.0 matches .* a frozen tower",
        ),
        (f"{' '.join(PROBE)} teacher.loss=asymmetric", "fits the head by log loss, and loss=asymmetric"),
        (f"{' '.join(PROBE)} teacher.class_weights=focal_alpha", "class_weights=focal_alpha is for training"),
        (f"{' '.join(PROBE)} teacher.augment.word_edit_rate=0.1", "turn teacher.augment off"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(None, override.split())
