"""COCO (Lin et al. 2014): images, annotations and categories in one JSON object. An image has the labels of all
categories that are annotated on it; its captions are its text, from this file or the captions_ file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.inputs import MAX_JSON, read_input
from distill.core.untrusted import is_file, parse_json, short_repr

KINDS = ("instances", "person_keypoints", "stuff", "panoptic")


def fits(tree: Any) -> bool:
    """Whether a JSON file is of this form."""
    return isinstance(tree, dict) and all(isinstance(tree.get(key), list) for key in ("images", "annotations"))


def rows(tree: dict[str, Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    """Its images in distill's columns. Raises DataError for parts that are not COCO's."""
    names = _names(tree)
    captions = _captions(tree["annotations"]) or _captions(_beside(path))
    labels: dict[Any, dict[str, None]] = {}
    for annotation in tree["annotations"]:
        if "category_id" not in annotation:
            continue
        number = annotation["category_id"]
        if number not in names:
            raise DataError(f"{path}: an annotation is of category {short_repr(number)}, which is not listed")
        labels.setdefault(annotation.get("image_id"), {})[names[number]] = None
    for image in tree["images"]:
        if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
            yield DataError(f"an image needs 'id' and 'file_name'; got {short_repr(image)}")
            continue
        text = "\n".join(captions.get(image["id"], ()))
        known = list(labels.get(image["id"], ())) if names else None
        # Ids of images begin anew in each file of some exports, such as Roboflow's; names do not.
        yield {"id": str(image["file_name"]), "text": text, "image": image["file_name"], "labels": known}


def image_folders(path: Path) -> tuple[str, ...]:
    """Where its images may be: instances_train2017.json has them in train2017."""
    return (path.stem.rpartition("_")[2], path.stem)


def _names(tree: dict[str, Any]) -> dict[Any, str]:
    """The names of the categories. In an export that sets one above all others, no annotation is of that one."""
    try:
        return {category["id"]: str(category["name"]) for category in tree.get("categories", ())}
    except (TypeError, KeyError) as error:
        raise DataError(f"categories must hold objects with 'id' and 'name': {error}") from error


def _captions(annotations: list[Any]) -> dict[Any, list[str]]:
    captions: dict[Any, list[str]] = {}
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise DataError(f"an annotation must be an object; got {short_repr(annotation)}")
        if isinstance(annotation.get("caption"), str):
            captions.setdefault(annotation.get("image_id"), []).append(annotation["caption"].strip())
    return captions


def _beside(path: Path) -> list[Any]:
    """The annotations of the captions that belong to a file of instances, none where there is no such file."""
    kind, _, rest = path.name.partition("_")
    file = path.with_name(f"captions_{path.name.removeprefix('person_keypoints_') if kind == 'person' else rest}")
    if not rest or file == path or not is_file(file):
        return []
    tree = parse_json(read_input(file, MAX_JSON, DataError), str(file), DataError)
    return list(tree["annotations"]) if fits(tree) else []
