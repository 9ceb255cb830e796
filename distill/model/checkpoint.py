"""A finished training run, opened with torch: network, tokenizer, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.files import sha256_of
from distill.core.recipe import ModelConfig, StudentConfig, TeacherConfig
from distill.core.schema import build_dataclass
from distill.core.untrusted import short_repr
from distill.data.dataset import Example
from distill.data.run_folder import RUN_FILE, TOKENIZER, WEIGHTS, read_run, read_run_labels
from distill.data.run_folder import START_FILE as START_FILE
from distill.model.classifier import Classifier
from distill.model.encoders import rebuild_image, rebuild_text
from distill.model.network import TwoTowerNetwork
from distill.preprocess.inputs import PreprocessSpec
from distill.preprocess.text import load_tokenizer
from distill.runtime.bundle import Kind
from distill.scoring.thresholds import Thresholds


@dataclass(frozen=True)
class Checkpoint:
    """A finished run, opened. `ranges` are those of the inputs of its linear layers, by the layer's name, when
    it was trained in int8 arithmetic; else empty."""

    folder: Path
    classifier: Classifier
    thresholds: Thresholds
    sha256: str
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Raises RunError for a folder that is absent, unfinished, damaged or of another format."""
        tree = read_run(folder)
        weights = folder / WEIGHTS
        if not weights.is_file() or sha256_of(weights) != tree.get("sha256"):
            raise RunError(f"{weights}: missing, or not the weights that {RUN_FILE} names; train again")
        try:
            return cls._assemble(folder, tree)
        except (RunError, ModuleNotFoundError):
            raise
        except Exception as error:  # torch, transformers and safetensors each have errors of their own
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise RunError(f"{folder}: damaged, or written by another version ({reason}); train again") from error

    @classmethod
    def _assemble(cls, folder: Path, tree: dict[str, Any]) -> Checkpoint:
        from safetensors.torch import load_file

        if tree["kind"] not in get_args(Kind):
            raise RunError(f"{folder / RUN_FILE}: kind {short_repr(tree['kind'])} is none of ours; train again")
        config_class = TeacherConfig if tree["kind"] == "teacher" else StudentConfig
        config: ModelConfig = build_dataclass(config_class, tree["config"], f"{folder / RUN_FILE}: config")
        labels = read_run_labels(folder)
        text, image = rebuild_text(folder, config.text), rebuild_image(folder, config.image, config.head.grid)
        network = TwoTowerNetwork(text, image, config.head, len(labels), config.image.trainable)
        network.load_state_dict(load_file(folder / WEIGHTS))
        classifier = Classifier(
            kind=tree["kind"],
            config=config,
            labels=labels,
            spec=PreprocessSpec.from_json(tree["preprocess"]),
            tokenizer_json=(folder / TOKENIZER).read_text(encoding="utf-8"),
            network=network.eval(),
        )
        load_tokenizer(classifier.tokenizer_json, classifier.spec.text)  # found out here, and not after an epoch
        ranges = {name: (float(low), float(high)) for name, (low, high) in tree["ranges"].items()}
        thresholds = Thresholds.from_json(tree["thresholds"])
        if len(thresholds.values) != len(labels):
            raise RunError(
                f"{folder}: thresholds for {len(thresholds.values)} of {len(labels)} labels; train again"
            )
        return cls(folder, classifier, thresholds, tree["sha256"], ranges)

    def logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L)."""
        return self.classifier.logits(self.classifier.encode(examples))
