"""Calibration that travels in the network: its last layers give calibrated logits, whatever runs them."""

from __future__ import annotations

import torch

from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.network import TwoTowerNetwork
from distill.scoring.calibration import Calibration, fit_calibration, label_rates
from distill.scoring.metrics import Targets


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
