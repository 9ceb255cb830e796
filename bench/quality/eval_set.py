"""What a benchmark asks: the examples of a split with their truth, and the constant baseline to beat."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from distill.core.errors import BenchError
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json, write_json
from distill.data.dataset import Example, Splits, encode_targets
from distill.data.image_facts import image_hash
from distill.data.labels import LabelSet
from distill.scoring.answers import Rows
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import ConstantBaseline, Targets, constant_baseline

EVAL_SET = "eval_set.json"


@dataclass(frozen=True)
class EvalSet:
    """The examples of one split of which labels are known, with the constant baseline chosen on train and the rate
    of each label there, (L,) in [0, 1]. `own` has the same examples by the folders of runs that read them from
    other columns."""

    split: str
    examples: tuple[Example, ...]
    labels: LabelSet
    constant: ConstantBaseline
    train_rates: tuple[float, ...]
    own: Mapping[Path, tuple[Example, ...]] = field(default_factory=dict)

    def as_read_by(self, folder: Path) -> EvalSet:
        """The same for a run or Bundle, from its own columns."""
        return replace(self, examples=self.own.get(folder, self.examples), own={})

    def with_own(self, folder: Path, splits: Splits) -> EvalSet:
        """With the examples of a dataset as a run reads it. Raises BenchError if they are other rows, or have other
        labels."""
        theirs = EvalSet.from_splits(splits, self.split).examples
        if [(e.id, e.labels, e.unknown_labels) for e in theirs] != [
            (e.id, e.labels, e.unknown_labels) for e in self.examples
        ]:
            raise BenchError(
                f"{folder}: reads other rows or labels from the columns that it was trained on; name the "
                "columns of both, such as --label-columns NAME"
            )
        return self if theirs == self.examples else replace(self, own={**self.own, folder: theirs})

    def with_images(self, folder: Path) -> EvalSet:
        """The same with the images of these names in the folder, such as the original ones. Raises BenchError, also
        where two images that differ have one name."""
        path_of: dict[Path, Path] = {}

        def replaced(example: Example) -> Example:
            if example.image is None:
                return example
            if not isinstance(example.image, Path):
                raise BenchError(f"--originals {folder}: the image of {example.id} is no file that has a name")
            image = folder / example.image.name
            if path_of.setdefault(image, example.image).resolve() != example.image.resolve():
                both = f"{path_of[image]} and of {example.image}"
                raise BenchError(
                    f"--originals {folder}: {image.name} is the name of {both}; give each image a name of its own"
                )
            if not image.is_file():
                raise BenchError(
                    f"--originals {folder}: has no {image.name}, the image of {example.id} on {self.split}"
                )
            return replace(example, image=image)

        own = {run: tuple(map(replaced, examples)) for run, examples in self.own.items()}
        return replace(self, examples=tuple(map(replaced, self.examples)), own=own)

    @property
    def targets(self) -> Targets:
        """Of the examples, float32 (N, L)."""
        return encode_targets(self.examples, self.labels)

    @property
    def rows(self) -> Rows:
        """The examples without texts and images."""
        return Rows(self.split, self.labels, self.targets)

    @classmethod
    def from_splits(cls, splits: Splits, split: str | None) -> EvalSet:
        """The examples of that split, or of the default one, which is said. Raises BenchError when none has a
        label, as in a test split whose truth is kept secret."""
        if split is None:
            from distill.core.output.terminal import note  # a device that measures a packed benchmark may lack it

            split = splits.measured()
            why = "" if split == "test" else ", as test has no labels" if splits.test else ", as there is no test"
            note(f"measuring on {split}{why}; choose with --split")
        examples = tuple(example for example in splits.examples(split) if example.labels is not None)
        if not any(example.labels for example in examples):
            raise BenchError(
                f"no example of {split} has a label, so nothing can be measured; choose another --split"
            )
        train, here = (encode_targets(part, splits.labels) for part in (splits.train, examples))
        constant = constant_baseline(splits.labels.names, train, here, splits.labels.group_columns)
        return cls(split, examples, splits.labels, constant, tuple(label_rates(train).tolist()))

    def save(self, folder: Path) -> None:
        """Write it into a new folder, images and all, for `load` on another machine. Raises BenchError where a run
        reads it from other columns."""
        if self.own:
            raise BenchError(
                f"{next(iter(self.own))}: was trained on other columns, and one file holds one set of examples; "
                "name the columns of both, such as --text-column NAME"
            )
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
