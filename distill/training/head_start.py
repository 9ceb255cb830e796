"""A training that begins at a linear probe, and keeps the probe where no epoch is better on dev."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.core.output.terminal import note
from distill.core.settings.model_config import ModelConfig
from distill.model.classifier import EVAL_BATCH
from distill.model.compute import default_device
from distill.model.dataset import BatchTargets, EncodedDataset
from distill.model.network import TwoTowerNetwork
from distill.model.text_features import with_text_features
from distill.model.training_log import EpochLog
from distill.scoring.metrics import Probabilities, Targets, macro_ap, micro_ap
from distill.scoring.probabilities import to_probabilities
from distill.training.probe import Loss, fit_probe, probe_targets


@dataclass(frozen=True)
class HeadStart:
    """The weights of a network with a fitted probe, and its quality on dev, as epoch 0."""

    weights: dict[str, Tensor]
    dev: EpochLog


def begin_at_probe(network: TwoTowerNetwork, config: ModelConfig, train: EncodedDataset, loss: Loss) -> None:
    """Fit the head of an untrained network, in place, to what the recipe says that it learns. Where training goes
    on by labels alone, its logits are brought to the scale of the `loss`; a teacher's logits have none but their
    own."""
    goes_on = config.epochs > 0 and train.teacher is None
    fit_probe(network, train, probe_targets(config, train), loss if goes_on else None)


def measure_probe(network: TwoTowerNetwork, loss: Loss, dev: EncodedDataset) -> HeadStart:
    """Measure a network as Trainer measures it after each epoch, and keep a copy of its weights."""
    device, logits, losses = default_device(), [], []
    dev = with_text_features(network, dev)  # the same in every fold
    network.to(device).eval()
    with torch.no_grad():
        for start in range(0, len(dev), EVAL_BATCH):
            batch = dev.collate([dev[row] for row in range(start, min(start + EVAL_BATCH, len(dev)))])
            outputs = network.outputs(**{name: tensor.to(device) for name, tensor in batch.inputs.items()})
            targets = BatchTargets(batch.targets.labels.to(device), None)
            losses.append(float(loss(outputs, targets)) * len(targets.labels))
            logits.append(outputs.logits.float().cpu().numpy())
    metrics = ap_metrics(to_probabilities(np.concatenate(logits), dev.groups), dev.targets)
    micro, macro = metrics["micro_ap"], metrics["macro_ap"]
    note(f"  probe  dev micro-AP {micro:.3f}  macro-AP {macro:.3f}")
    log = EpochLog(0, math.nan, sum(losses) / len(dev), micro, macro, metrics["balanced_ap"], 0.0)
    return HeadStart({name: value.detach().cpu().clone() for name, value in network.state_dict().items()}, log)


def ap_metrics(probabilities: Probabilities, targets: Targets) -> dict[str, float]:
    """What a training is watched by: micro- and macro-averaged precision, and their mean."""
    micro, macro = micro_ap(targets, probabilities), macro_ap(targets, probabilities)
    return {"micro_ap": micro, "macro_ap": macro, "balanced_ap": (micro + macro) / 2}
