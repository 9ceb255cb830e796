"""One trained chain, where it stands, and the parts of its Bundles that tests put together anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from distill.core.settings.recipe import Recipe, recipes_folder
from distill.data.dataset import Splits
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Bundle, Contents

ROOT = Path(__file__).parent.parent.parent
SUPPORT = Path(__file__).parent
TINY = recipes_folder() / "tiny.toml"
# Everything that a base install does not have; importing any of it raises.
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        absent = "torch torchvision transformers accelerate optimum onnx sklearn safetensors".split()
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


@dataclass(frozen=True)
class Chain:
    """A trained teacher, its student and the exported Bundles."""

    data: Path
    splits: Splits
    recipe: Recipe
    overrides: list[str]
    teacher: Path
    student: Path
    fp32: Path
    int8: Path

    def words(self, *more: str) -> list[str]:
        """What makes a command use the chain's recipe, and more settings."""
        settings = [part for override in (*self.overrides, *more) for part in ("--set", override)]
        return ["--recipe", str(TINY), *settings]


def contents_of(folder: Path) -> Contents:
    opened = Bundle.open(folder)
    return Contents(
        model=opened.model,
        kind=opened.kind,
        precision=opened.precision,
        target=opened.target,
        tokenizer_json=opened.tokenizer_json,
        labels=opened.labels,
        thresholds=opened.thresholds,
        preprocess=opened.preprocess,
        golden=opened.golden,
        recipe={},
        figures={},
        card="# card",
        run_sha256="0",
    )


def random_batch(rows: int, tokens: int, size: int = 32) -> ModelInputs:
    generator = np.random.default_rng(rows * 100 + tokens)
    mask = np.ones((rows, tokens), dtype=np.int64)
    mask[0, max(1, tokens // 2) :] = 0
    pixels = generator.integers(0, 256, (rows, size, size, 3)).astype(np.uint8)
    present = np.stack([np.ones(rows), np.arange(rows) % 2], axis=1).astype(np.float32)
    return ModelInputs(generator.integers(5, 100, (rows, tokens)), mask, pixels, present)


def read(chain: Chain, count: int) -> ModelInputs:
    """The first test examples as a batch for the fp32 Bundle."""
    bundle = Bundle.open(chain.fp32)
    preprocessor = Preprocessor(bundle.preprocess, bundle.tokenizer_json)
    some = chain.splits.test[:count]
    rows = preprocessor.rows(
        [example.text for example in some], [preprocessor.image(example.image) for example in some]
    )
    return preprocessor.batch(rows)


def reference_logits(chain: Chain, batch: ModelInputs) -> np.ndarray:
    """onnxruntime as it comes, without export.runtime."""
    session = onnxruntime.InferenceSession(chain.fp32 / "model.onnx", providers=["CPUExecutionProvider"])
    logits: np.ndarray = session.run(None, batch.feed())[0]
    return logits
