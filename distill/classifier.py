"""A network together with what it needs to read Examples. Knows one model, not how it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from distill.bundle import Kind
from distill.data import Example
from distill.dual import DualBranch
from distill.encoders import load_picture, load_text
from distill.encoding import Encoded
from distill.features import picture_features
from distill.labels import LabelSet
from distill.preprocess import PreprocessSpec, load_tokenizer, tokenise
from distill.recipe import ModelConfig

EVAL_BATCH = 32


def default_device() -> torch.device:
    """The accelerator when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Classifier:
    """Network, labels, tokenizer and preprocessing; `config` is what it was built from."""

    kind: Kind
    config: ModelConfig
    labels: LabelSet
    spec: PreprocessSpec
    tokenizer_json: str
    network: DualBranch

    @classmethod
    def pretrained(cls, kind: Kind, config: ModelConfig, labels: LabelSet) -> Classifier:
        """Pretrained encoders and a random head, which depends on the seed. Raises BackboneError."""
        text = load_text(config.text, kind)
        picture = load_picture(config.picture, kind)
        torch.manual_seed(config.seed)
        network = DualBranch(text.encoder, picture.encoder, config.head, len(labels), config.picture.trainable)
        spec = PreprocessSpec(picture=picture.spec, text=text.spec)
        return cls(kind, config, labels, spec, text.tokenizer_json, network)

    def encode(self, examples: Sequence[Example], soft: NDArray[np.float32] | None = None) -> Encoded:
        """Everything that is computed once: token ids, targets and, with a frozen picture branch, features."""
        features = None
        if not self.network.picture_trainable:
            device = default_device()
            features = picture_features(self.network.picture.to(device), self.spec.picture, examples, device)
        return Encoded(
            ids=tokenise(load_tokenizer(self.tokenizer_json, self.spec.text), [e.text for e in examples]),
            targets=self.labels.encode([example.labels for example in examples]),
            images=[example.image for example in examples],
            picture=self.spec.picture,
            pad_id=self.spec.text.pad_id,
            features=features,
            soft=soft,
        )

    def logits(self, encoded: Encoded) -> NDArray[np.float32]:
        """float32 (N, L), in the order of the examples; batches are made of like lengths."""
        device = default_device()
        network = self.network.to(device).eval()
        order = np.argsort(encoded.lengths(), kind="stable")
        result = np.zeros((len(encoded), len(self.labels)), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), EVAL_BATCH):
                rows = order[start : start + EVAL_BATCH]
                batch = encoded.collate([encoded[int(row)] for row in rows])
                inputs = {name: value.to(device) for name, value in batch.items() if name not in ("labels", "soft")}
                result[rows] = network(**inputs).float().cpu().numpy()
        return result
