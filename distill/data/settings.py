"""Which settings a run, a Bundle or a recipe's file has, and what differs between two."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import RecipeError, RunError
from distill.core.settings.recipe import Recipe
from distill.core.settings.schema import flatten
from distill.core.storage.files import read_json
from distill.data.run_folder import BEST, START_FILE, is_run, read_run

BUNDLE_SETTINGS, MANIFEST = "recipe.json", "manifest.json"


@dataclass(frozen=True)
class Change:
    """A key whose value differs."""

    key: str
    old: Any
    new: Any


def is_source(path: Path) -> bool:
    """Whether this names settings, and not a key: it exists, or looks like a path."""
    return path.exists() or path.suffix == ".toml" or len(path.parts) > 1


def read_settings(path: Path | None) -> dict[str, Any]:
    """The settings as nested tables: the defaults, those of a file with the defaults, or what a run was trained
    with. Raises RecipeError and RunError."""
    if path is None or path.is_file() or path.suffix == ".toml":
        return asdict(Recipe.load(path))
    if is_run(path):
        return _of_training(read_run(path), path)
    if (path / START_FILE).is_file() and "config" in (started := _object(path / START_FILE)):
        return _of_training(started, path)
    if (path / BEST).is_file():
        return asdict(Recipe.load(path / BEST))
    if (path / MANIFEST).is_file() and (path / BUNDLE_SETTINGS).is_file():
        kind = _object(path / MANIFEST).get("kind")
        return _of_training({"kind": kind, "config": _object(path / BUNDLE_SETTINGS)}, path)
    raise RunError(f"{path}: no run, no Bundle and no recipe (.toml); distill recipe prints the defaults")


def differences(old: dict[str, Any], new: dict[str, Any], names: tuple[str, str]) -> list[Change]:
    """The keys that both have and whose values differ. Raises RecipeError where they have none in common."""
    before, after = flatten(old), flatten(new)
    common = [key for key in before if key in after]
    if not common:
        raise RecipeError(f"{names[0]} and {names[1]} have no key in common: one is a teacher, the other a student")
    pairs = ((key, _plain(before[key]), _plain(after[key])) for key in common)
    return [Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _of_training(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    kind, config = tree.get("kind"), tree.get("config")
    if not isinstance(kind, str) or not isinstance(config, dict):
        raise RunError(f"{path}: damaged, it does not say what it was trained with; train again")
    return {kind: config}


def _object(path: Path) -> dict[str, Any]:
    tree = read_json(path, RunError)
    if not isinstance(tree, dict):
        raise RunError(f"{path}: not an object; train or export again")
    return tree


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
