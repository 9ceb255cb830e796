"""Writes a dataset in another form: JSON Lines, Parquet or a Hugging Face imagefolder, with its images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from distill.core.errors import DataError
from distill.core.extras import require
from distill.core.output.terminal import track
from distill.core.storage.files import atomic_folder, refuse_existing, refuse_overwriting, write_text
from distill.core.untrusted import is_file, short_repr
from distill.data.checks import raise_if_any
from distill.data.columns import Columns
from distill.data.dataset import (
    SPLIT_NAMES,
    Example,
    ReadBefore,
    collect_labels,
    find_labels,
    read_examples,
    read_splits,
    relative_path,
)
from distill.data.examples import labels_to_json
from distill.data.formats.folders import METADATA, Part
from distill.data.image_names import IMAGE_SUFFIXES
from distill.data.labels import LabelSet
from distill.data.roles import Ask
from distill.preprocess.images import open_image

Form = Literal["jsonl", "parquet", "imagefolder"]
METADATA_FILE = f"{METADATA}.jsonl"  # beside the images of an imagefolder
LABELS = "labels.txt"
BATCH = 256  # rows of a Parquet file that are in memory, with their images


def convert(
    source: Path,
    out: Path,
    form: Form,
    link: bool = False,
    columns: Columns | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Write the dataset `source`, a folder of splits or one file, to the new folder `out`, or in place of
    such a one to `overwrite`, and return the rows of each split.

    Images are copied into `out`; with `link`, JSON Lines name them where they are by paths relative to `out`, and
    an imagefolder holds relative links to them. Parquet files hold them. Labels that are unknown stay so. `columns`
    are those that the user names. Raises DataError and OutputError.
    """
    refuse_overwriting(out, source)
    refuse_existing(out, overwrite, _is_converted, "a converted dataset")
    if link and form == "parquet":
        raise DataError("a Parquet file holds its images: leave out --link")
    parts, labels = _read(source, columns or Columns())
    rows = [(name, example) for name, part in parts.items() for example in part]
    raise_if_any(
        "image missing; fix or remove the row",
        [
            f"{short_repr(e.id)} ({name}): {e.image}"
            for name, e in rows
            if isinstance(e.image, Path) and not is_file(e.image)
        ],
    )
    if form == "imagefolder":
        without = [f"{short_repr(example.id)} ({name})" for name, example in rows if example.image is None]
        raise_if_any("row without an image, which an imagefolder cannot hold; use --to jsonl or parquet", without)
    out = out.resolve()  # paths of images are relative to the folder itself, not to a link
    with atomic_folder(out) as folder:
        for name, part in parts.items():
            WRITERS[form](part, folder, name, link, labels.names if labels else ())
        if labels is not None:
            write_text(folder / LABELS, "\n".join(labels.names) + "\n")
    return {name: len(part) for name, part in parts.items()}


def _read(source: Path, columns: Columns) -> tuple[dict[str, list[Example]], LabelSet | None]:
    """The examples of each split that has any, or of a file under its name, and the labels if there are any."""
    if source.is_dir():
        splits = read_splits(source, columns=columns)
        return {name: part for name in SPLIT_NAMES if (part := getattr(splits, name))}, splits.labels
    labels = find_labels(source.parent)
    read = ReadBefore()
    rows = read_examples(source, Ask(columns, labels=labels), read)
    if labels is None and any(row.labels for row in rows):
        labels = collect_labels(rows, source, read)
    return {Part.of(source).name: rows}, labels


def _is_converted(folder: Path) -> bool:
    """Whether nothing is in the folder but what `convert` writes."""
    parts = [path for path in folder.iterdir() if path.name != LABELS]
    return all(path.is_dir() or path.suffix in (".jsonl", ".parquet") for path in parts) and all(
        (folder / METADATA_FILE).is_file() or folder.with_suffix(".jsonl").is_file()
        for folder in parts
        if folder.is_dir()
    )


@dataclass
class ImageFolder:
    """Puts images into a folder, each once, under their own names where these are free."""

    folder: Path
    link: bool
    names: dict[Path | bytes, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {METADATA_FILE})

    def put(self, example: Example) -> str:
        """The name of an example's image in the folder. Raises ImageError for bytes that are no image."""
        image = example.image
        assert image is not None
        if image not in self.names:
            self.names[image] = self._free_name(image, example)
            target = self.folder / self.names[image]
            self.folder.mkdir(exist_ok=True)
            if isinstance(image, bytes):
                target.write_bytes(image)
            elif self.link:
                target.symlink_to(relative_path(image, self.folder))
            else:
                shutil.copyfile(image, target)
        return self.names[image]

    def _free_name(self, image: Path | bytes, example: Example) -> str:
        """A name with an image's suffix, by which others know that it is one."""
        stem, suffix = (image.stem, image.suffix) if isinstance(image, Path) else (f"image-{len(self.names)}", "")
        if suffix.lower() not in IMAGE_SUFFIXES:
            with open_image(image, short_repr(example.id)) as opened:
                stem, suffix = stem + suffix, f".{str(opened.format).lower()}"
        names = (f"{stem}{f'-{number}' * bool(number)}{suffix}" for number in count())
        name = next(name for name in names if name.lower() not in self.taken)
        self.taken.add(name.lower())  # some file systems know no case
        return name


def write_jsonl(part: Sequence[Example], folder: Path, name: str, link: bool, labels: Sequence[str]) -> None:
    """NAME.jsonl, and NAME/ with the images unless they are named where they are."""
    images = ImageFolder(folder / name, link=False)
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for example in track(part, f"writing {name}", len(part)):
            image = None
            if isinstance(example.image, Path) and link:
                image = relative_path(example.image, folder)
            elif example.image is not None:
                image = f"{name}/{images.put(example)}"
            row: dict[str, Any] = {"id": example.id, "text": example.text, "image": image}
            row["labels"] = labels_to_json(example, labels)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_imagefolder(part: Sequence[Example], folder: Path, name: str, link: bool, labels: Sequence[str]) -> None:
    """NAME/metadata.jsonl and the images beside it."""
    images = ImageFolder(folder / name, link)
    images.folder.mkdir()
    with (images.folder / METADATA_FILE).open("w", encoding="utf-8") as file:
        for example in track(part, f"writing {name}", len(part)):
            row: dict[str, Any] = {"file_name": images.put(example), "id": example.id, "text": example.text}
            row["labels"] = labels_to_json(example, labels)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_parquet(part: Sequence[Example], folder: Path, name: str, link: bool, labels: Sequence[str]) -> None:
    """NAME.parquet as Hugging Face datasets write it: images are a struct of their bytes and file name. Labels are
    a list of names or, where some are unknown, a struct of 1, 0 or null for each."""
    pyarrow, parquet = (require(module, "--to parquet") for module in ("pyarrow", "pyarrow.parquet"))
    names = _label_names(part, labels) if any(example.unknown_labels for example in part) else ()
    text, cells = pyarrow.string(), pyarrow.list_(pyarrow.string())
    if names:
        cells = pyarrow.struct([(label, pyarrow.int8()) for label in names])
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])
    schema = pyarrow.schema([("id", text), ("text", text), ("image", image), ("labels", cells)])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": _features(names)}})})
    with parquet.ParquetWriter(folder / f"{name}.parquet", schema) as writer:
        for start in track(range(0, len(part), BATCH), f"writing {name}", -(-len(part) // BATCH)):
            rows = [_parquet_row(example, names) for example in part[start : start + BATCH]]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _label_names(part: Sequence[Example], labels: Sequence[str]) -> tuple[str, ...]:
    named = (label for example in part for label in example.named_labels())
    return tuple(dict.fromkeys((*labels, *named)))


def _features(names: Sequence[str]) -> dict[str, Any]:
    """What Hugging Face datasets should take the columns for."""
    text = {"dtype": "string", "_type": "Value"}
    labels: Any = {"feature": text, "_type": "Sequence"}
    if names:
        labels = {name: {"dtype": "int8", "_type": "Value"} for name in names}
    return {"id": text, "text": text, "image": {"_type": "Image"}, "labels": labels}


def _parquet_row(example: Example, names: Sequence[str]) -> dict[str, Any]:
    """A row; `names` are the labels of a struct, none for a list."""
    image, labels = example.image, labels_to_json(example, names)
    cell: dict[str, Any] | None = None if image is None else {"bytes": image, "path": None}
    if isinstance(image, Path):
        cell = {"bytes": image.read_bytes(), "path": image.name}
    if names and labels is not None:
        decided = labels if isinstance(labels, dict) else dict.fromkeys(labels, 1)
        labels = {name: decided.get(name, 0) for name in names}
    return {"id": example.id, "text": example.text, "image": cell, "labels": labels}


WRITERS: dict[Form, Callable[[Sequence[Example], Path, str, bool, Sequence[str]], None]] = {
    "jsonl": write_jsonl,
    "parquet": write_parquet,
    "imagefolder": write_imagefolder,
}
