"""COCO (Lin et al. 2014): images, annotations and categories in one JSON object. An image has the labels of all
categories that are annotated on it; its captions are its text, from this file or the captions_ file beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, read_input
from distill.core.untrusted import is_file, parse_json, short_repr

KINDS = ("instances", "person_keypoints", "stuff", "panoptic")


def fits(tree: Any) -> bool:
    """Whether a JSON file is of this form."""
    return isinstance(tree, dict) and all(isinstance(tree.get(key), list) for key in ("images", "annotations"))


def rows(tree: dict[str, Any], path: Path) -> Iterator[dict[str, Any] | DataError]:
    """Its images in distill's columns. Raises DataError for parts that are not COCO's."""
    names = _names(tree)
    captions = _captions(tree["annotations"]) or _captions(_beside(path))
    labels: dict[str, dict[str, None]] = {}
    for annotation in tree["annotations"]:
        for number in _categories(annotation):
            if _key(number) not in names:
                raise DataError(f"{path}: an annotation is of category {short_repr(number)}, which is not listed")
            labels.setdefault(_key(annotation.get("image_id")), {})[names[_key(number)]] = None
    _check_images(tree, labels or captions, path)
    for image in tree["images"]:
        if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
            yield DataError(f"an image needs 'id' and 'file_name'; got {short_repr(image)}")
            continue
        text = "\n".join(captions.get(_key(image["id"]), ()))
        known = list(labels.get(_key(image["id"]), ())) if names else None
        # Ids of images begin anew in each file of some exports, such as Roboflow's; names do not.
        yield {"id": str(image["file_name"]), "text": text, "image": image["file_name"], "labels": known}


def describe(tree: dict[str, Any], path: Path) -> str:
    """The annotations whose image is not listed, for the format's name."""
    listed = {_key(image.get("id")) for image in tree["images"] if isinstance(image, dict)}
    images = [each.get("image_id") for each in tree["annotations"] if isinstance(each, dict)]
    absent = [image for image in images if _key(image) not in listed]
    if not absent:
        return ""
    return f" without {len(absent)} annotations of images that are not listed, such as {short_repr(absent[0])}"


def _key(number: Any) -> str:
    """What an id is compared by: some exports write 7 in one place and "7" in another."""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _categories(annotation: dict[str, Any]) -> list[Any]:
    """The categories of an annotation, none of a caption; those of its segments in panoptic files."""
    if "category_id" in annotation:
        return [annotation["category_id"]]
    if "segments_info" in annotation:
        return [segment["category_id"] for segment in annotation["segments_info"]]
    if "caption" in annotation:
        return []
    raise DataError(f"an annotation needs 'category_id' or 'caption'; got {short_repr(annotation)}")


def _check_images(tree: dict[str, Any], annotated: Iterable[str], path: Path) -> None:
    """Raise DataError for an id of two images, and where no annotation is of a listed one."""
    count = Counter(_key(image.get("id")) for image in tree["images"] if isinstance(image, dict))
    if (twice := next((id_ for id_, number in count.items() if number > 1), None)) is not None:
        raise DataError(f"{path}: two images have the id {short_repr(twice)}; give each its own")
    first = next(iter(annotated), None)
    if first is not None and count.keys().isdisjoint(annotated):
        listed = short_repr(next(iter(count), None))
        raise DataError(
            f"{path}: no annotation is of a listed image: 'image_id' is {short_repr(first)} and so on, and the ids "
            f"of images are {listed} and so on; write the same ids in both"
        )


def image_folders(path: Path) -> tuple[str, ...]:
    """Where its images may be: instances_train2017.json has them in train2017."""
    return (path.stem.rpartition("_")[2], path.stem)


def _names(tree: dict[str, Any]) -> dict[str, str]:
    """The names of the categories. In an export that sets one above all others, no annotation is of that one."""
    try:
        return {_key(category["id"]): str(category["name"]) for category in tree.get("categories", ())}
    except (TypeError, KeyError) as error:
        raise DataError(f"categories must hold objects with 'id' and 'name': {error}") from error


def _captions(annotations: list[Any]) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    for annotation in annotations:
        if not isinstance(annotation, dict):
            raise DataError(f"an annotation must be an object; got {short_repr(annotation)}")
        if isinstance(annotation.get("caption"), str):
            captions.setdefault(_key(annotation.get("image_id")), []).append(annotation["caption"].strip())
    return captions


def _beside(path: Path) -> list[Any]:
    """The annotations of the captions that belong to a file of instances, none where there is no such file."""
    kind, _, rest = path.name.partition("_")
    file = path.with_name(f"captions_{path.name.removeprefix('person_keypoints_') if kind == 'person' else rest}")
    if not rest or file == path or not is_file(file):
        return []
    tree = parse_json(read_input(file, MAX_JSON, DataError), str(file), DataError)
    return list(tree["annotations"]) if fits(tree) else []
