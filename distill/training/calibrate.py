"""Calibration that travels in the network: its last layers give calibrated logits, whatever runs them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from distill.data.groups import GroupColumns
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.network import TwoTowerNetwork
from distill.scoring.calibration import Calibration, fit_calibration, label_rates
from distill.scoring.metrics import Probabilities, Targets


def calibrate(classifier: Classifier, dev: EncodedDataset, train_targets: Targets) -> Calibration:
    """Calibrate the network, in place, on dev, with the labels' rates of the training split (N, L)."""
    rates = label_rates(train_targets)
    probabilities = classifier.probabilities(dev)
    calibration = fit_calibration(probabilities, dev.targets, rates, classifier.labels.group_columns)
    fold_in(classifier.network, calibration)
    return calibration


def fold_in(network: TwoTowerNetwork, calibration: Calibration) -> None:
    """Make the network's logits calibrated, in place: in the weights and the bias of its last layer, and of its
    n-grams."""
    slopes = torch.tensor(calibration.slopes, dtype=torch.float64)
    offsets = torch.tensor(calibration.offsets, dtype=torch.float64)
    with torch.no_grad():
        output = network.output
        output.weight.copy_(output.weight.cpu().double() * slopes[:, None])
        output.bias.copy_(output.bias.cpu().double() * slopes + offsets)
        if network.ngrams is not None:
            network.ngrams.weight.copy_(network.ngrams.weight.cpu().double() * slopes)


def calibrations_of_folds(
    probabilities: Probabilities, targets: Targets, parts: list[NDArray[np.int64]], groups: GroupColumns
) -> list[Calibration]:
    """For the model of each fold, whose held-out rows are a part, the calibration that the rows of the other parts
    say, so that no row is calibrated with its own label; `probabilities` (N, L) are out of fold. One that changes
    nothing where there are no other parts."""
    calibrations = []
    for part in parts:
        others = [rows for rows in parts if rows is not part]
        rest = np.concatenate(others) if others else np.zeros(0, dtype=np.int64)
        found = fit_calibration(probabilities[rest], targets[rest], None, groups) if len(rest) else None
        calibrations.append(found or Calibration.none(targets.shape[1]))
    return calibrations
