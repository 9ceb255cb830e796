"""Describes the service: the Bundle that it serves, and its requests and responses in OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnxruntime

from distill import __version__
from distill.data.items import FailedRow
from distill.runtime.bundle import Bundle
from distill.runtime.serve.request import FORM, JSON, Limits, PredictRequest

# A PNG of one white pixel, so that the example can be sent as it is.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
REQUEST_EXAMPLE = {"id": "7", "text": "WHO DID THIS", "image": PIXEL}
RESPONSE_EXAMPLE = {"id": "7", "labels": ["Doubt"], "probabilities": {"Doubt": 0.6124, "Smears": 0.2031}}
ERRORS = {  # by status: a description and an example
    400: (
        "The body is not JSON, or not a multipart form.",
        "the body: not readable as JSON: Expecting value: line 1 column 1 (char 0)",
    ),
    408: ("The body did not come in time.", "the body was not complete after 30 s"),
    413: ("The body is too large.", "the body is over the limit of 10,000,000 bytes; shrink the image"),
    415: ("Neither JSON nor a multipart form.", "the content type must be application/json or multipart/form-data"),
    422: ("A field is wrong, or the image cannot be used.", "image: not an image in a supported format"),
    500: ("The model fails on this request.", "the model fails on this request"),
    503: (
        "Too many requests, or the service is not ready.",
        "64 requests are in progress already; try again later",
    ),
    504: ("No prediction in time.", "no prediction within 30 s; try again later"),
}


@dataclass(frozen=True)
class LabelInfo:
    """One label, and the probability from which on it is predicted; none for a label of a group, which is predicted
    where it is the most probable of the group."""

    name: str
    threshold: float | None


@dataclass(frozen=True)
class BundleInfo:
    """The Bundle that is served, the versions of what runs it, and the limits. Of each of the groups of labels
    exactly one is predicted. `modalities`, "both", "text" or "image", is what the model reads of a post."""

    labels: list[LabelInfo]
    groups: dict[str, list[str]]
    kind: str
    precision: str
    target: str
    modalities: str
    sha256: str
    size_bytes: int
    image_size: int
    max_tokens: int
    distill: str
    onnxruntime: str
    limits: Limits


@dataclass(frozen=True)
class Status:
    """The state of the service, in words."""

    status: str


def bundle_info(bundle: Bundle, limits: Limits) -> BundleInfo:
    """What GET /v1/bundle returns: no path, and nothing about the machine."""
    pairs = zip(bundle.labels.names, bundle.thresholds.values, strict=True)
    return BundleInfo(
        labels=[LabelInfo(name, value) for name, value in pairs],
        groups=bundle.labels.groups_to_json(),
        kind=bundle.kind,
        precision=bundle.precision,
        target=bundle.target,
        modalities=bundle.modalities,
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes(),
        image_size=bundle.preprocess.image.size,
        max_tokens=bundle.preprocess.text.max_tokens,
        distill=__version__,
        onnxruntime=onnxruntime.__version__,
        limits=limits,
    )


def request_body() -> dict[str, Any]:
    """The body of /v1/predict in OpenAPI: one schema, as JSON and as a form."""
    schema = PredictRequest.model_json_schema()
    form = {key: dict(value) for key, value in schema["properties"].items()}
    form["id"]["description"] = "Comes back with the prediction; the image's file name where it is missing."
    form["text"] = {"type": "string", "maxLength": schema["properties"]["text"]["anyOf"][0]["maxLength"]}
    form["image"] = {"type": "string", "format": "binary", "description": "An image file."}
    return {
        "required": True,
        "content": {
            JSON: {"schema": schema, "example": REQUEST_EXAMPLE},
            FORM: {
                "schema": {"title": "Form", "type": "object", "properties": form, "additionalProperties": False},
                "encoding": {"image": {"contentType": "application/octet-stream"}},
            },
        },
    }


def responses() -> dict[int | str, dict[str, Any]]:
    """The responses of /v1/predict in OpenAPI: the prediction, and every error."""
    by_status: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {"example": RESPONSE_EXAMPLE}}}}
    for status, (description, error) in ERRORS.items():
        example = {"id": "", "error": error}
        by_status[status] = {
            "model": FailedRow,
            "description": description,
            "content": {JSON: {"example": example}},
        }
    by_status[503]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return by_status
