"""What is read of each published form: its files, a row of them, and what distill makes of it."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import published

from distill.data.dataset import Example, read_splits

ALIKE = 2  # files of one suffix in a folder that are shown; more are counted
TABLES = (".json", ".jsonl", ".csv", ".txt")
PAGES = {  # a page's name in docs/formats, and its forms in published.FORMS
    "imagefolder": ("imagefolder, JSON Lines", "imagefolder, one file"),
    "class-folders": ("class folders", "class folders in splits"),
    "parquet-shards": ("Parquet shards",),
    "label-studio": ("Label Studio", "Label Studio MIN"),
    "coco": ("COCO",),
    "harmeme": ("HarMeme",),
    "hateful-memes": ("Hateful Memes",),
    "mami": ("MAMI",),
    "memotion": ("Memotion 7k", "Memotion 2"),
    "mmhs150k": ("MMHS150K",),
    "semeval-2021": ("SemEval-2021 Task 6",),
    "semeval-2024": ("SemEval-2024 Task 4, 2a", "SemEval-2024 Task 4, 2b"),
}


def shown(page: str) -> str:
    """The forms of a page: for each, a small made-up dataset is written and read."""
    forms = [next(form for form in published.FORMS if form.name == name) for name in PAGES[page]]
    return "\n" + "\n".join(_shown_form(form.name if len(forms) > 1 else "", form.write) for form in forms) + "\n"


def _shown_form(title: str, write: Callable[[Path], Path]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "data"
        given, said = write(root), StringIO()
        with redirect_stderr(said):
            splits = read_splits(given)
        parts = [f"### {title}\n"] if title else []
        parts.append(_block("Files", "text", _tree(root)))
        if rows := _rows_file(root):
            parts.append(_block(f"`{rows.relative_to(root)}`, cut to one row", *_first_row(rows)))
        lines = said.getvalue().replace(f"{root.parent}/", "")
        notes = f"; distill notes:\n\n```text\n{lines}```\n" if lines else ".\n"
        parts.append(f"Give `--data {given.relative_to(root.parent)}`{notes}")
        parts.append(_block("That row becomes" if rows else "A row of it", "json", _example(splits.train[0], root)))
        parts.append(f"Labels: {', '.join(f'`{label}`' for label in splits.labels.names)}.\n")
    return "\n".join(parts)


def _block(title: str, language: str, text: str) -> str:
    return f"{title}:\n\n```{language}\n{text.rstrip()}\n```\n"


def _tree(root: Path, indent: str = "") -> str:
    """The folders and files below a folder, with the first few of those that are alike."""
    lines: list[str] = []
    alike = Counter(path.suffix for path in root.iterdir() if path.is_file())
    listed: Counter[str] = Counter()
    for path in sorted(root.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir():
            lines.append(f"{indent}{path.name}/\n{_tree(path, indent + '  ')}")
            continue
        listed[path.suffix] += 1
        if listed[path.suffix] <= ALIKE or alike[path.suffix] <= 2 * ALIKE:
            lines.append(f"{indent}{path.name}\n")
        elif listed[path.suffix] == alike[path.suffix]:
            lines.append(f"{indent}… {alike[path.suffix] - ALIKE} more\n")
    return "".join(lines)


def _rows_file(root: Path) -> Path | None:
    """The file with the rows of train, if it is a text."""
    files = [path for path in sorted(root.rglob("*")) if path.suffix in TABLES and path.stat().st_size]
    texts = [path for path in files if path.suffix == ".csv" or path.read_text(encoding="utf-8")[0] in "{["]
    named = [
        path for path in texts if "train" in str(path.relative_to(root)).lower() and "captions" not in path.stem
    ]
    return next(iter([*named, *texts]), None)


def _first_row(path: Path) -> tuple[str, str]:
    """The language of a file of rows, and its text with the first row alone."""
    with path.open(encoding="utf-8", newline="") as handle:
        if path.suffix == ".csv":
            reader = csv.reader(handle, delimiter="\t" if "\t" in handle.readline() else ",")
            handle.seek(0)
            next(reader)
            next(reader)
            lines = reader.line_num
            handle.seek(0)
            return "text", "".join(handle.readline() for _ in range(lines)).replace("\r", "")
        tree = json.loads(handle.readline() if path.suffix == ".jsonl" else handle.read())
    return "json", json.dumps(_cut(tree), ensure_ascii=False, indent=2)


def _cut(tree: Any) -> Any:
    """JSON with one entry of each list of tables, and of each table of many tables."""
    if isinstance(tree, list):
        tables = [entry for entry in tree if isinstance(entry, dict)]
        return [_cut(entry) for entry in tables[:1] or tree]
    if isinstance(tree, dict):
        many = len(tree) > ALIKE and all(isinstance(value, dict) for value in tree.values())
        return {key: _cut(value) for key, value in list(tree.items())[: 1 if many else None]}
    return tree


def _example(example: Example, root: Path) -> str:
    image = str(example.image).replace(f"{root.parent}/", "") if isinstance(example.image, Path) else "(bytes)"
    row = {"id": example.id, "text": example.text, "image": image, "labels": list(example.labels or ())}
    return json.dumps(row, ensure_ascii=False, indent=2)
