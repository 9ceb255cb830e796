"""What a benchmark asks: the examples of a split with their truth, and the constant baseline to beat."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from distill.core.errors import BenchError
from distill.core.files import read_json, write_json
from distill.core.schema import build_dataclass
from distill.data.dataset import Example, Splits, encode_targets
from distill.data.image_facts import image_hash
from distill.data.labels import LabelSet
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import ConstantBaseline, Targets, constant_baseline

EVAL_SET = "eval_set.json"


@dataclass(frozen=True)
class EvalSet:
    """The examples of one split of which labels are known, with the constant baseline chosen on train and the rate
    of each label there, (L,) in [0, 1]."""

    split: str
    examples: tuple[Example, ...]
    labels: LabelSet
    constant: ConstantBaseline
    train_rates: tuple[float, ...]

    @property
    def targets(self) -> Targets:
        """Of the examples, float32 (N, L)."""
        return encode_targets(self.examples, self.labels)

    @classmethod
    def from_splits(cls, splits: Splits, split: str) -> EvalSet:
        """The examples of that split. Raises BenchError when none has a label, as in a test split whose truth is
        kept secret."""
        examples = tuple(example for example in splits.examples(split) if example.labels is not None)
        if not any(example.labels for example in examples):
            raise BenchError(
                f"no example of {split} has a label, so nothing can be measured; choose another --split"
            )
        train, here = (encode_targets(part, splits.labels) for part in (splits.train, examples))
        constant = constant_baseline(splits.labels.names, train, here, splits.labels.group_columns)
        return cls(split, examples, splits.labels, constant, tuple(label_rates(train).tolist()))

    def save(self, folder: Path) -> None:
        """Write it into a new folder, images and all, for `load` on another machine."""
        folder.mkdir(parents=True)
        rows = []
        for number, example in enumerate(self.examples):
            name = None
            if isinstance(example.image, Path):
                name = f"{number}{example.image.suffix}"
                shutil.copyfile(example.image, folder / name)
            elif example.image is not None:
                name = f"{number}.image"
                (folder / name).write_bytes(example.image)
            rows.append({"id": example.id, "text": example.text, "image": name, **_labels(example)})
        constant = {"constant": asdict(self.constant), "train_rates": self.train_rates}
        labels = {"labels": self.labels.names, "groups": self.labels.group_columns}
        tree = {"split": self.split, **labels, **constant, "rows": rows}
        write_json(folder / EVAL_SET, tree)

    @classmethod
    def load(cls, folder: Path) -> EvalSet:
        """Read what `save` wrote. Raises BenchError."""
        tree = read_json(folder / EVAL_SET, BenchError)
        examples = tuple(
            Example(
                row["id"],
                row["text"],
                folder / row["image"] if row["image"] else None,
                tuple(row["labels"]),
                tuple(row["unknown_labels"]),
            )
            for row in tree["rows"]
        )
        labels, constant = (
            LabelSet(tuple(tree["labels"])).with_group_columns(tree.get("groups", {})),
            build_dataclass(ConstantBaseline, tree["constant"], "constant"),
        )
        return cls(tree["split"], examples, labels, constant, tuple(tree["train_rates"]))

    def sha256(self) -> str:
        """Hex SHA-256 of texts, images and labels, in order, wherever the files are: two reports with the same one
        asked the same."""
        digest = hashlib.sha256()
        for example in self.examples:
            image = image_hash(example.image) if example.image else None
            labels = [sorted(example.labels or ())]
            labels += [sorted(example.unknown_labels)] if example.unknown_labels else []
            digest.update(json.dumps([example.id, example.text, image, *labels]).encode())
        return digest.hexdigest()


def _labels(example: Example) -> dict[str, tuple[str, ...] | None]:
    return {"labels": example.labels, "unknown_labels": example.unknown_labels}
