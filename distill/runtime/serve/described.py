"""How the service is described: its Bundle in a table, and the parts of OpenAPI. Knows words, answers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnxruntime

from distill import __version__
from distill.data.sources import Fault
from distill.runtime.bundle import Bundle
from distill.runtime.serve.intake import FORM, JSON, Post
from distill.runtime.serve.limits import Limits

# An image of one white pixel: an example that can be sent as it stands.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
POST = {"id": "7", "text": "WHO DID THIS", "image": PIXEL}
ANSWER = {"id": "7", "labels": ["Doubt"], "probabilities": {"Doubt": 0.6124, "Smears": 0.2031}}
REASONS = {
    400: ("The body is no JSON, or no multipart form.", "post: Invalid JSON: EOF while parsing a value"),
    408: ("The body did not come in time.", "the body was not in after 30 s"),
    413: ("The body is too large.", "the body is over the limit of 10,000,000 bytes; shrink the image"),
    415: ("Neither JSON nor a multipart form.", "the content type must be application/json or multipart/form-data"),
    422: ("A field is wrong, or the image cannot be used.", "image: not an image in a supported format"),
    500: ("The model fails on this post.", "the model fails on this post"),
    503: ("Too much is in hand, or the service is not ready.", "64 posts are in hand already; ask again later"),
    504: ("No answer in time.", "no answer within 30 s; ask again later"),
}


@dataclass(frozen=True)
class Label:
    """One label, and the probability from which on it is decided for."""

    name: str
    threshold: float


@dataclass(frozen=True)
class About:
    """The Bundle that answers, the versions that run it, and the limits."""

    labels: list[Label]
    kind: str
    precision: str
    target: str
    sha256: str
    size_bytes: int
    image_size: int
    max_tokens: int
    distill: str
    onnxruntime: str
    limits: Limits


@dataclass(frozen=True)
class State:
    """How it is."""

    status: str


def about(bundle: Bundle, limits: Limits) -> About:
    """No path among it, and nothing of the machine."""
    pairs = zip(bundle.labels.names, bundle.thresholds.values, strict=True)
    return About(
        labels=[Label(name, float(value)) for name, value in pairs],
        kind=bundle.kind,
        precision=bundle.precision,
        target=bundle.target,
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes(),
        image_size=bundle.preprocess.image.size,
        max_tokens=bundle.preprocess.text.max_tokens,
        distill=__version__,
        onnxruntime=onnxruntime.__version__,
        limits=limits,
    )


def request_body() -> dict[str, Any]:
    """The body of /v1/predict in OpenAPI: one schema, in JSON and as a form."""
    schema = Post.model_json_schema()
    form = {key: dict(value) for key, value in schema["properties"].items()}
    form["id"]["description"] = "Comes back with the answer; the image's file name where it is not given."
    form["text"] = {"type": "string", "maxLength": schema["properties"]["text"]["anyOf"][0]["maxLength"]}
    form["image"] = {"type": "string", "format": "binary", "description": "An image's file."}
    return {
        "required": True,
        "content": {
            JSON: {"schema": schema, "example": POST},
            FORM: {
                "schema": {"title": "Form", "type": "object", "properties": form, "additionalProperties": False},
                "encoding": {"image": {"contentType": "application/octet-stream"}},
            },
        },
    }


def responses() -> dict[int | str, dict[str, Any]]:
    """Of /v1/predict in OpenAPI: the answer, and every refusal."""
    found: dict[int | str, dict[str, Any]] = {200: {"content": {JSON: {"example": ANSWER}}}}
    for status, (what, reason) in REASONS.items():
        example = {"id": "", "error": reason}
        found[status] = {"model": Fault, "description": what, "content": {JSON: {"example": example}}}
    found[503]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
    return found
