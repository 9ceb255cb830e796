"""A linear probe: a network's linear head, fitted to frozen features by L2-penalised logistic regression.

The penalty is chosen by the log loss of held-out rows, one for all labels. With a teacher's answers in the data,
the probe learns the mixture of labels and answers that the student's loss weighs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags, hstack, issparse
from scipy.special import expit
from torch import Tensor

from distill.core.output.terminal import note, track
from distill.core.settings.model_config import ModelConfig
from distill.core.settings.recipe import StudentConfig
from distill.data.dividing.stratify import stratified_folds
from distill.data.groups import GroupColumns
from distill.model.classifier import EVAL_BATCH
from distill.model.compute import default_device
from distill.model.dataset import BatchTargets, EncodedDataset
from distill.model.network import TwoTowerNetwork
from distill.model.outputs import Outputs
from distill.model.text_features import with_text_features
from distill.scoring.metrics import Probabilities, Targets, logit, positive_rates
from distill.scoring.probabilities import to_probabilities

# Inverse strengths of the penalty that are tried, for features whose vectors have length 1 a modality.
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
FOLDS = 3
SEED = 13  # of the folds that choose the penalty
MAX_ROTATED = 4_000  # rows up to which features are rotated into the space of the rows, which is exact and quicker
LBFGS_STEPS = 100  # of the slopes and offsets
MAX_STEPS = 2000  # of a regression
TOLERANCE = 1e-3  # largest slope of the sum of the losses at the end of a fit, where curvatures are about 1
ROUGH = 0.05  # the same, where only the penalty is chosen
MAX_VARIABLES = 2_000_000  # of a regression of several labels at once
DRAWS = 16  # of labels for each example
MAX_BIAS = 8.0  # of a label without positives or without negatives

# From a network's outputs and their targets to a scalar. The weights of an nn.Module are trained along.
Loss = Callable[[Outputs[Tensor], BatchTargets], Tensor]
Matrix = Any  # NDArray[np.float64] or csr_matrix, (N, W)
Solution = tuple[NDArray[np.float64], NDArray[np.float64]]  # weights (W, L) and biases (L,)
Back = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # from weights (R, L) of changed features to (W, L)


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
    if not (config.distill.hard_labels or config.distill.soft_targets):
        return labels
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
    """What the linear head of an untrained network sees of these examples, float64 (N, W). Their texts run through
    its encoder once, and not again in other folds."""
    encoded = with_text_features(network, encoded)
    device = default_device()
    network.to(device).eval()
    joint = np.zeros((len(encoded), network.fusion.width))
    batches = encoded.batches_by_length(EVAL_BATCH)
    with torch.no_grad():
        for rows in track(batches, "features", len(batches)):
            batch = encoded.collate([encoded[int(row)] for row in rows])
            inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
            outputs = network.outputs(**inputs)
            fused = network.fusion(outputs.text, outputs.image, network.drop_modalities(inputs["present"]))
            joint[rows] = fused.double().cpu().numpy()
    return joint


def _scale(network: TwoTowerNetwork) -> NDArray[np.float64]:
    """By which the features of each modality are multiplied so that their vector has about length 1."""
    widths = [width for width in (network.text.width, network.image.width) if width]
    return np.concatenate([np.full(width, width**-0.5) for width in widths])


def fit_linear(features: Matrix, targets: Targets) -> Probe:
    """The logistic regression of targets (N, L) on features (N, W), with the penalty whose held-out log loss is the
    least."""
    rows = features.shape[0]
    rotated, back = _rotate(features) if rows <= MAX_ROTATED else _without_empty_columns(features)
    penalty = 1.0
    if rows >= 2 * FOLDS:
        losses = [
            _held_out_losses(rotated, targets, part) for part in stratified_folds(np.round(targets), FOLDS, SEED)
        ]
        penalty = PENALTIES[int(np.argmin(np.mean(losses, axis=0)))]
    ((weight, bias),) = _solve(rotated, targets, (penalty,), TOLERANCE)
    return Probe(back(weight), bias, penalty)


def _without_empty_columns(features: Matrix) -> tuple[Matrix, Back]:
    """The columns that are not empty, whose weights are 0, and how to put them back."""
    if not issparse(features):
        return features, lambda weight: weight
    used = np.flatnonzero(features.getnnz(axis=0))

    def back(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.zeros((features.shape[1], weight.shape[1]))
        whole[used] = weight
        return whole

    return features[:, used], back


def _rotate(features: Matrix) -> tuple[NDArray[np.float64], Back]:
    """The features (N, W) in coordinates (N, R) of the space that their rows span, in which penalised regression
    has the same solution, and how to turn a solution (R, L) back into one of W features."""
    values, vectors = np.linalg.eigh(_gram(features))
    kept = values > max(values[-1] * 1e-10, 1e-12)
    lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * lengths, lambda weight: np.asarray(features.T @ (vectors / lengths @ weight))


def _gram(features: Matrix) -> NDArray[np.float64]:
    """Products of each row with each, (N, N). Columns that are dense in a sparse matrix are multiplied as such."""
    if not issparse(features):
        return np.asarray(features @ features.T)
    is_dense = features.getnnz(axis=0) > features.shape[0] / 10
    dense, sparse = features[:, is_dense].toarray(), features[:, ~is_dense]
    return np.asarray(dense @ dense.T + (sparse @ sparse.T).toarray())


def _held_out_losses(features: Matrix, targets: Targets, part: NDArray[np.int64]) -> list[float]:
    """For each penalty, the mean log loss of the rows of a part by a regression on the others."""
    rest = np.setdiff1d(np.arange(len(targets)), part)
    losses = []
    for weight, bias in _solve(features[rest], targets[rest], PENALTIES, ROUGH):
        logits = features[part] @ weight + bias
        losses.append(float(np.nanmean(np.logaddexp(0, logits) - targets[part] * logits)))
    return losses


def _solve(features: Matrix, targets: Targets, penalties: Sequence[float], tolerance: float) -> list[Solution]:
    """A regression for each label on the rows where it is known, for each penalty, from the strongest on, where the
    last solution is near the next. A target between 0 and 1 counts as that share of a positive. A label without
    positives or without negatives has its rate alone."""
    rates = positive_rates(targets)
    bias = np.clip(logit(rates), -MAX_BIAS, MAX_BIAS)
    learned = np.flatnonzero((rates > 0) & (rates < 1)) if features.shape[1] else np.zeros(0, dtype=np.int64)
    blocks = np.array_split(learned, math.ceil(len(learned) * features.shape[1] / MAX_VARIABLES) or 1)
    weight = np.zeros((features.shape[1], len(bias)))
    solutions = []
    for penalty in penalties:
        weight, bias = weight.copy(), bias.copy()
        for block in blocks:
            if len(block):
                start = weight[:, block], bias[block]
                weight[:, block], bias[block] = _regression(features, targets[:, block], penalty, start, tolerance)
        solutions.append((weight, bias))
    return solutions


def _regression(features: Matrix, targets: Targets, penalty: float, start: Solution, tolerance: float) -> Solution:
    """The regressions of all labels at once by L-BFGS: two products of matrices a step, several times quicker than
    each label alone, and no copy of a row for each side of a target between 0 and 1.

    Its variables are weights and biases on a scale on which the second derivative is about 1, exactly so for
    rotated features and probabilities that are all the label's rate: few steps are needed then.
    """
    labels = targets.shape[1]
    known = ~np.isnan(targets)
    shares = np.where(known, targets, 0.0)
    rates = positive_rates(targets)
    squares = np.asarray((features.power(2) if issparse(features) else features**2).sum(axis=0)).reshape(-1, 1)
    scale = (squares * rates * (1 - rates) * known.mean(axis=0) + 1 / penalty) ** -0.5
    bias_scale = (known.sum(axis=0) * rates * (1 - rates)) ** -0.5

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        bias, weight = flat[:labels] * bias_scale, flat[labels:].reshape(-1, labels) * scale
        z = features @ weight + bias
        value = ((np.logaddexp(0, z) - shares * z) * known).sum() + (weight**2).sum() / (2 * penalty)
        slope = (expit(z) - shares) * known
        slopes = (features.T @ slope + weight / penalty) * scale
        return value, np.concatenate([slope.sum(axis=0) * bias_scale, slopes.ravel()])

    first = np.concatenate([start[1] / bias_scale, (start[0] / scale).ravel()])
    options = {"maxiter": MAX_STEPS, "maxfun": 2 * MAX_STEPS, "gtol": tolerance, "ftol": 1e-13}
    found = minimize(loss, first, method="L-BFGS-B", jac=True, options=options).x
    return found[labels:].reshape(-1, labels) * scale, found[:labels] * bias_scale
