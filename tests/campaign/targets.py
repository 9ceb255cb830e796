"""What the fuzzer feeds: for each target its seeds, how they are mutated, and the call that must succeed or raise a
DistillError. Seeds are made by the product's own writers and by the libraries that define the formats."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from campaign import target_bundle, target_image, target_onnx
from campaign.mutate import Mutator, json_lines_mutator, json_mutator, lines_mutator, mutate_bytes, toml_values
from campaign.outcome import Wrong
from campaign.subject import ROOT, Subject
from distill.core.settings.recipe import Recipe
from distill.data.dataset import examples_to_json, read_examples, read_splits
from distill.data.labels import LabelSet
from distill.data.sources import FailedRow, Source

MB = 1 << 20
MAX_SEED, MAX_INTEGER, MAX_FLOAT = (1 << 32) - 1, 10**8, 1e9  # of a recipe that is accepted
LONGEST_ERROR = 2000  # characters


@dataclass(frozen=True)
class Target:
    """`seeds` from a subject; `open` gives, for a subject and a folder for files, the call that takes one input.

    An input may take `cpu_s` of a core and `memory_bytes` more than the process had.
    """

    name: str
    seeds: Callable[[Subject], list[bytes]]
    open: Callable[[Subject, Path], Callable[[bytes], object]]
    mutate: Mutator
    cpu_s: float = 4.0
    memory_bytes: int = 400 * MB


def check_message(text: str) -> None:
    """Raise Wrong for an error that is not one line of bounded length."""
    if "\n" in text or "\r" in text:
        raise Wrong("an error of more than one line", repr(text[:200]))
    if len(text) > LONGEST_ERROR:
        raise Wrong(f"an error of more than {LONGEST_ERROR:,} characters", f"{len(text):,}: {text[:90]!r}")


def _row_seeds(subject: Subject) -> list[dict[str, Any]]:
    text = examples_to_json(read_splits(subject.data).train[:3], subject.data)
    rows: list[dict[str, Any]] = json.loads(text)
    return [*rows, {"id": 4, "text": "é 政治 🔥\n", "image": None, "labels": "praise|fear"}]


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(("id", "text", "image", "labels"))
    writer.writerows((row["id"], row["text"], row["image"], "|".join(row["labels"])) for row in rows)
    return buffer.getvalue().encode()


def _as_parquet(rows: list[dict[str, Any]], subject: Subject) -> list[bytes]:
    named = [{"id": str(row["id"]), "text": row["text"], "image": row["image"]} for row in rows]
    image = next((subject.data / "images").iterdir()).read_bytes()
    held = [{"id": 1, "text": None, "image": {"bytes": image, "path": "a.jpg"}}]
    result = []
    for table in (named, held):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), buffer, compression="none")
        result.append(buffer.getvalue())
    return result


def _open_rows(name: str) -> Callable[[Subject, Path], Callable[[bytes], object]]:
    def opened(subject: Subject, folder: Path) -> Callable[[bytes], object]:
        path = folder / name

        def run(content: bytes) -> None:
            path.write_bytes(content)
            source = Source.open(path)
            for item in source.items():
                if isinstance(item, FailedRow):
                    check_message(item.error)
            source.count()
            if path.suffix != ".parquet":
                read_examples(path)

        return run

    return opened


def _open_recipe(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    path = folder / "recipe.toml"

    def run(content: bytes) -> None:
        path.write_bytes(content)
        _check_numbers(Recipe.load(path), "recipe")

    return run


def _open_settings(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    def run(content: bytes) -> None:
        _check_numbers(Recipe.load(None, content.decode("utf-8", "replace").split("\n")), "recipe")

    return run


def _check_numbers(value: Any, where: str) -> None:
    """Raise Wrong for a number that no training survives, in a recipe that was accepted."""
    if is_dataclass(value):
        for field in fields(value):
            _check_numbers(getattr(value, field.name), f"{where}.{field.name}")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if where.endswith("columns.cut"):
            return  # it is only compared with the numbers of the data, which may be any
        most = MAX_FLOAT if isinstance(value, float) else MAX_SEED if where.endswith("seed") else MAX_INTEGER
        if not abs(value) <= most:
            raise Wrong("a number was accepted beyond all reason", f"{where}={value:.3g}")


def _recipe_seeds(subject: Subject) -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.toml"))]


def _setting_seeds(subject: Subject) -> list[bytes]:
    seeds: list[bytes] = []

    def collect(value: Any, where: str) -> None:
        if is_dataclass(value):
            for field in fields(value):
                collect(getattr(value, field.name), f"{where}.{field.name}".lstrip("."))
        else:
            seeds.append(f"{where}={json.dumps(value)}".encode())

    collect(Recipe.load(), "")
    return seeds


def _open_labels(subject: Subject, folder: Path) -> Callable[[bytes], object]:
    path = folder / "labels.txt"

    def run(content: bytes) -> None:
        path.write_bytes(content)
        LabelSet.read(path)

    return run


def _rows_targets() -> list[Target]:
    rows = _row_seeds
    return [
        Target("rows.json", lambda s: [json.dumps(rows(s)).encode()], _open_rows("rows.json"), json_mutator()),
        Target(
            "rows.jsonl",
            lambda s: [b"\n".join(json.dumps(row).encode() for row in rows(s))],
            _open_rows("rows.jsonl"),
            json_lines_mutator,
        ),
        Target("rows.csv", lambda s: [_as_csv(rows(s))], _open_rows("rows.csv"), mutate_bytes),
        Target("rows.parquet", lambda s: _as_parquet(rows(s), s), _open_rows("rows.parquet"), mutate_bytes),
        Target("labels", lambda s: [(s.data / "labels.txt").read_bytes()], _open_labels, mutate_bytes),
    ]


def _all() -> Mapping[str, Target]:
    toml = toml_values()
    recipes = [
        Target("recipe", _recipe_seeds, _open_recipe, lines_mutator(toml)),
        Target("--set", _setting_seeds, _open_settings, lines_mutator(toml)),
    ]
    bundles = [
        Target(f"bundle.{name}", target_bundle.seeds(name), target_bundle.opened(name), json_mutator())
        for name in ("manifest", "thresholds", "preprocess", "golden")
    ]
    others = [
        Target(
            "tokenizer",
            target_bundle.tokenizer_seeds,
            target_bundle.open_tokenizer,
            json_mutator(target_bundle.COMPONENTS),
        ),
        Target("onnx", target_onnx.seeds, target_onnx.opened, mutate_bytes),
        Target("image", target_image.seeds, target_image.opened, target_image.mutate, memory_bytes=1200 * MB),
    ]
    return {target.name: target for target in (*_rows_targets(), *recipes, *bundles, *others)}


TARGETS = _all()
