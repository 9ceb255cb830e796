"""Opening a finished training run with torch: its network, tokenizer, thresholds and activation ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RecipeError, RunError
from distill.core.settings.model_config import ModelConfig
from distill.core.settings.recipe import StudentConfig, TeacherConfig
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import sha256_of
from distill.core.untrusted import short_repr
from distill.data.dataset import Example
from distill.data.run_folder import RUN_FILE, TOKENIZER, WEIGHTS, read_run, read_run_labels
from distill.model.classifier import Classifier
from distill.model.encoders.image import rebuild_image
from distill.model.encoders.text import rebuild_text
from distill.model.network import TwoTowerNetwork
from distill.preprocess.inputs import PreprocessSpec
from distill.preprocess.text import load_tokenizer, vocabulary_size
from distill.runtime.bundle import Kind
from distill.scoring.thresholds import Thresholds

MAX_ACTIVATION = 1e9
# Least and greatest input of each linear layer, by its name, learned by quantisation-aware training.
ActivationRanges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Checkpoint:
    """A finished run, opened. `ranges` is empty unless it was trained in int8 arithmetic; `sha256` is that of the
    weights file."""

    folder: Path
    classifier: Classifier = field(repr=False)
    thresholds: Thresholds
    sha256: str
    ranges: ActivationRanges = field(repr=False)

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Open the run in `folder`. Raises RunError if it is absent, unfinished, damaged or of another format."""
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
            kinds = " or ".join(get_args(Kind))
            raise RunError(
                f"{folder / RUN_FILE}: unknown kind {short_repr(tree['kind'])}; expected {kinds}; train again"
            )
        config_class = TeacherConfig if tree["kind"] == "teacher" else StudentConfig
        config: ModelConfig = build_dataclass(config_class, tree["config"], f"{folder / RUN_FILE}: config")
        labels = read_run_labels(folder)
        text = rebuild_text(folder / "text", config.text)
        image = rebuild_image(folder / "image", config.image, config.head.grid)
        spec = PreprocessSpec.from_json(tree["preprocess"])
        tokenizer_json = (folder / TOKENIZER).read_text(encoding="utf-8")
        tokenizer = load_tokenizer(tokenizer_json, spec.text)  # fails now rather than after an epoch
        network = TwoTowerNetwork(text, image, config, len(labels), vocabulary_size(tokenizer))
        network.load_state_dict(load_file(folder / WEIGHTS))
        classifier = Classifier(
            kind=tree["kind"],
            config=config,
            labels=labels,
            spec=spec,
            tokenizer_json=tokenizer_json,
            network=network.eval(),
        )
        ranges = {name: (float(low), float(high)) for name, (low, high) in tree["ranges"].items()}
        if any(not -MAX_ACTIVATION <= low <= high <= MAX_ACTIVATION for low, high in ranges.values()):
            raise RunError(f"{folder / RUN_FILE}: a range is not from a lower to a higher number; train again")
        return cls(folder, classifier, read_thresholds(folder), tree["sha256"], ranges)

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Probabilities float32 (N, L) in the order of the examples."""
        return self.classifier.probabilities(self.classifier.encode(examples))

    def logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """Logits float32 (N, L) in the order of the examples."""
        return self.classifier.logits(self.classifier.encode(examples))


def read_thresholds(folder: Path) -> Thresholds:
    """Those of a finished run, without loading its weights. Raises RunError."""
    try:
        thresholds = Thresholds.from_json(read_run(folder).get("thresholds"))
    except RecipeError as error:
        raise RunError(f"{folder / RUN_FILE}: {error}; train again") from error
    labels = read_run_labels(folder)
    if len(thresholds.values) != len(labels):
        raise RunError(f"{folder}: thresholds for {len(thresholds.values)} of {len(labels)} labels; train again")
    return thresholds
