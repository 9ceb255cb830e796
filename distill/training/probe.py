"""A linear probe: a network's linear head, fitted to frozen features by L2-penalised logistic regression.

The penalty is chosen by the log loss of held-out rows, one for all labels. With a teacher's answers in the data,
the probe learns the mixture of labels and answers that the student's loss weighs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack, issparse
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from distill.core.recipe import ModelConfig, StudentConfig
from distill.core.terminal import note, track
from distill.data.groups import GroupColumns
from distill.data.stratify import stratified_folds
from distill.model.classifier import EVAL_BATCH, default_device
from distill.model.dataset import BatchTargets, EncodedDataset
from distill.model.network import TwoTowerNetwork
from distill.model.outputs import Outputs
from distill.scoring.metrics import Probabilities, Targets, logit, positive_rates
from distill.scoring.probabilities import to_probabilities

# Inverse strengths of the penalty that are tried, for features whose vectors have length 1 a modality.
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
FOLDS = 3
SEED = 13  # of the folds that choose the penalty
MAX_ROTATED = 3_000  # rows up to which features are rotated into the space of the rows, which is exact and quicker
LBFGS_STEPS = 100
DRAWS = 16  # of labels for each example
MAX_BIAS = 8.0  # of a label without positives or without negatives

# From a network's outputs and their targets to a scalar. The weights of an nn.Module are trained along.
Loss = Callable[[Outputs[Tensor], BatchTargets], Tensor]
Matrix = Any  # NDArray[np.float64] or csr_matrix, (N, W)
Solution = tuple[NDArray[np.float64], NDArray[np.float64]]  # weights (W, L) and biases (L,)


@dataclass(frozen=True)
class Probe:
    """A linear layer: `weight` float64 (W, L) on the features and `bias` (L,), fitted with `penalty`."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    penalty: float


def fit_probe(
    network: TwoTowerNetwork, encoded: EncodedDataset, targets: Targets | None = None, loss: Loss | None = None
) -> None:
    """Fit the network's linear head, and the weights of its n-grams, to the features of these examples, in place.

    `targets` float32 (N, L) in [0, 1], NaN where unknown, are the labels by default. The network's encoders are not
    changed. With a `loss` that training goes on with, each label's logits get the slope and offset at which that
    loss is least (`match_loss`).
    """
    targets = encoded.targets if targets is None else targets
    features, scale = probe_features(network, encoded), _scale(network)
    probe = fit_linear(features, targets)
    note(f"linear probe: {features.shape[1]} features, penalty 1/{probe.penalty:g}")
    if loss is not None:
        slopes, offsets = match_loss(loss, features @ probe.weight + probe.bias, encoded.groups)
        probe = replace(probe, weight=probe.weight * slopes, bias=probe.bias * slopes + offsets)
    width = len(scale)
    with torch.no_grad():
        network.output.weight.copy_(torch.from_numpy((probe.weight[:width] * scale[:, None]).T))
        network.output.bias.copy_(torch.from_numpy(probe.bias))
        if network.ngrams is not None:
            network.ngrams.weight.copy_(torch.from_numpy(probe.weight[width:]))


def match_loss(
    loss: Loss, logits: NDArray[np.float64], groups: GroupColumns
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slopes > 0 and offsets, float64 (L,), at which `loss` of slope * logit + offset is least, by L-BFGS, for
    labels that are drawn with the probabilities of these logits (N, L): their own labels are learned already, and
    would ask for ever larger slopes.

    A probe is fitted by log loss. Focal loss wants smaller logits, and with a weight for positives other offsets:
    without this, the first steps of fine-tuning change the encoders for what two numbers a label can do.
    """
    z = np.concatenate([logits] * DRAWS)
    labels = torch.from_numpy(_draw_labels(to_probabilities(z.astype(np.float32), groups), groups))
    inputs = torch.from_numpy(z)
    log_slopes = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    offsets = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_slopes, offsets], max_iter=LBFGS_STEPS, line_search_fn="strong_wolfe")

    def step() -> Tensor:
        optimizer.zero_grad()
        moved = inputs * log_slopes.exp() + offsets
        value = loss(Outputs(moved, moved, moved), BatchTargets(labels))
        value.backward()
        return value

    optimizer.step(step)
    return log_slopes.detach().exp().numpy(), offsets.detach().numpy()


def _draw_labels(probabilities: Probabilities, groups: GroupColumns) -> Targets:
    """Labels float32 (N, L) in {0, 1} with these probabilities, of each group exactly one."""
    drawn = np.random.default_rng(SEED).random(probabilities.shape)
    labels = (drawn < probabilities).astype(np.float32)
    for columns in groups.values():
        ends = np.cumsum(probabilities[:, columns], axis=1)
        chosen = (drawn[:, columns[:1]] * ends[:, -1:] >= ends).sum(axis=1)
        labels[:, columns] = np.arange(len(columns)) == np.minimum(chosen, len(columns) - 1)[:, None]
    return labels


def probe_targets(config: ModelConfig, encoded: EncodedDataset) -> Targets:
    """What a probe learns, float32 (N, L): the labels, mixed with a teacher's probabilities by the weights of a
    student's loss where there are some; labels that are unknown leave the teacher's alone, and the other way."""
    labels = encoded.targets
    if encoded.teacher is None or not isinstance(config, StudentConfig):
        return labels
    answers = to_probabilities(encoded.teacher.logits, encoded.groups)
    weights = config.distill.hard_labels * ~np.isnan(labels), config.distill.soft_targets * ~np.isnan(answers)
    with np.errstate(invalid="ignore"):
        mixed = (np.nan_to_num(labels) * weights[0] + np.nan_to_num(answers) * weights[1]) / (
            weights[0] + weights[1]
        )
    return mixed.astype(np.float32)


def probe_features(network: TwoTowerNetwork, encoded: EncodedDataset) -> Matrix:
    """What a probe of an untrained network reads of these examples, (N, W): the features of each modality with a
    vector of about length 1, and beside them the TF-IDF of n-grams where the network has them."""
    features: Matrix = joint_features(network, encoded) * _scale(network)
    if network.ngrams is None:
        return features
    has_text = diags(encoded.present[:, 0].astype(np.float64))
    return hstack([csr_matrix(features), has_text @ network.ngrams.features(encoded.token_ids)]).tocsr()


def joint_features(network: TwoTowerNetwork, encoded: EncodedDataset) -> NDArray[np.float64]:
    """What the linear head of an untrained network sees of these examples, float64 (N, W)."""
    parts = []
    device = default_device()
    network.to(device).eval()
    with torch.no_grad():
        for start in track(range(0, len(encoded), EVAL_BATCH), "features", -(-len(encoded) // EVAL_BATCH)):
            rows = range(start, min(start + EVAL_BATCH, len(encoded)))
            batch = encoded.collate([encoded[row] for row in rows])
            inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
            outputs = network.outputs(**inputs)
            joint = network.fusion(outputs.text, outputs.image, network.drop_modalities(inputs["present"]))
            parts.append(joint.double().cpu().numpy())
    return np.concatenate(parts)


def _scale(network: TwoTowerNetwork) -> NDArray[np.float64]:
    """By which the features of each modality are multiplied so that their vector has about length 1."""
    widths = [width for width in (network.text.width, network.image.width) if width]
    return np.concatenate([np.full(width, width**-0.5) for width in widths])


def fit_linear(features: Matrix, targets: Targets) -> Probe:
    """The logistic regression of targets (N, L) on features (N, W), with the penalty whose held-out log loss is the
    least."""
    rows = features.shape[0]
    rotated, back = _rotate(features) if rows <= MAX_ROTATED else (features, None)
    penalty = 1.0
    if rows >= 2 * FOLDS:
        losses = [
            _held_out_losses(rotated, targets, part) for part in stratified_folds(np.round(targets), FOLDS, SEED)
        ]
        penalty = PENALTIES[int(np.argmin(np.mean(losses, axis=0)))]
    ((weight, bias),) = _solve(rotated, targets, (penalty,))
    return Probe(weight if back is None else back(weight), bias, penalty)


def _rotate(features: Matrix) -> tuple[NDArray[np.float64], Callable[[NDArray[np.float64]], NDArray[np.float64]]]:
    """The features (N, W) in coordinates (N, R) of the space that their rows span, in which penalised regression
    has the same solution, and how to turn a solution (R, L) back into one of W features."""
    gram = features @ features.T
    values, vectors = np.linalg.eigh(gram.toarray() if issparse(gram) else gram)
    kept = values > max(values[-1] * 1e-10, 1e-12)
    lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * lengths, lambda weight: np.asarray(features.T @ (vectors / lengths @ weight))


def _held_out_losses(features: Matrix, targets: Targets, part: NDArray[np.int64]) -> list[float]:
    """For each penalty, the mean log loss of the rows of a part by a regression on the others."""
    rest = np.setdiff1d(np.arange(len(targets)), part)
    losses = []
    for weight, bias in _solve(features[rest], targets[rest], PENALTIES):
        logits = features[part] @ weight + bias
        losses.append(float(np.nanmean(np.logaddexp(0, logits) - targets[part] * logits)))
    return losses


def _solve(features: Matrix, targets: Targets, penalties: Sequence[float]) -> list[Solution]:
    """A regression for each label on the rows where it is known, for each penalty, from the strongest on, where the
    last solution is near the next. A target between 0 and 1 counts as that share of a positive. A label without
    positives or without negatives has its rate alone."""
    rates = np.clip(logit(positive_rates(targets)), -MAX_BIAS, MAX_BIAS)
    solutions = [(np.zeros((features.shape[1], targets.shape[1])), rates.copy()) for _ in penalties]
    for label, column in enumerate(targets.T):
        known = np.flatnonzero(~np.isnan(column))
        positive, negative = known[column[known] > 0], known[column[known] < 1]
        if not len(positive) or not len(negative) or not features.shape[1]:
            continue  # of images, where there are none, no feature is left
        rows = features[np.concatenate([positive, negative])]
        classes = np.repeat([1, 0], [len(positive), len(negative)])
        shares = np.concatenate([column[positive], 1 - column[negative]])
        model = LogisticRegression(tol=1e-5, max_iter=2000, warm_start=True)
        for (weight, bias), penalty in zip(solutions, penalties, strict=True):
            model.set_params(C=penalty).fit(rows, classes, shares)
            weight[:, label], bias[label] = model.coef_[0], model.intercept_[0]
    return solutions
