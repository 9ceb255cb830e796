"""One HTTP request: its limits, its body parsed into a PredictRequest, and the error response when it is refused.

An error's JSON is that of a row that `distill predict` cannot read: an id and an error.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, create_form_parser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from distill.core.errors import DataError
from distill.core.untrusted import parse_strict_json
from distill.data.image_names import from_data_url, is_data_url
from distill.data.items import FailedRow
from distill.preprocess.text import has_text
from distill.runtime.predictions import json_line

JSON, FORM = "application/json", "multipart/form-data"
MAX_TEXT = 100_000  # characters: tokenising so many takes a twentieth of a second, and a model reads some hundred
MAX_ID = 200  # characters
MAX_FIELDS = 16  # of which three are known
TOO_MANY_FIELDS = f"more than {MAX_FIELDS} fields; give id, text and image"
LARGEST_BODIES = 16  # as many bodies of the largest size fit in memory together
FORM_CONFIG = {"MAX_MEMORY_FILE_SIZE": float("inf")}  # the body is bounded, and nothing is written to a disk
FORM_CHUNK = 1 << 20  # bytes
CLIENT_CLOSED_REQUEST = 499  # nobody receives it: the status by which proxies log clients that left
RETRY_AFTER_S = 1  # a full queue is worked off in about so long
DRAIN_S = 1.0  # how long to read on from a client that is still sending, so that it sees its error response


@dataclass(frozen=True)
class Limits:
    """What the service accepts.

    `max_queue` requests may be in progress at once, with bodies of up to `max_mb` megabytes and images of up to
    `max_megapixels`; `timeout_s` seconds may pass from the first byte to the response, of which decoding an image
    may take `image_timeout_s`.
    """

    max_queue: int = 64
    max_mb: float = 10.0
    max_megapixels: float = 20.0
    timeout_s: float = 30.0
    image_timeout_s: float = 10.0

    @property
    def max_bytes(self) -> int:
        """The largest body."""
        return int(self.max_mb * 1e6)

    @property
    def max_total_bytes(self) -> int:
        """All bodies in memory together."""
        return LARGEST_BODIES * self.max_bytes

    @property
    def max_pixels(self) -> int:
        """The largest image."""
        return int(self.max_megapixels * 1e6)


class RequestError(Exception):
    """A request is refused, with a status and a reason. `unread`: its body was not read to the end."""

    def __init__(self, status: int, error: str, id_: str = "", unread: bool = False) -> None:
        super().__init__(error)
        self.status, self.failed_row, self.unread = status, FailedRow(id_, error), unread


class ErrorResponse(Response):
    """The response to a RequestError.

    A client that is still sending would not see a response behind which the connection is closed, so what it sends
    is read and dropped for a moment first.
    """

    media_type = JSON

    def __init__(self, error: RequestError) -> None:
        headers = {"Retry-After": str(RETRY_AFTER_S)} if error.status == 503 else {}
        if error.unread:
            headers["Connection"] = "close"
        super().__init__(json_line(error.failed_row), error.status, headers)
        self.unread = error.unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; its end last."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if self.unread:
            with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect):
                await asyncio.wait_for(_drain(Request(scope, receive)), DRAIN_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(request: Request) -> None:
    async for _ in request.stream():
        pass


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if is_data_url(value):
        try:
            return from_data_url(value, "post")
        except DataError as error:
            raise ValueError(str(error).removeprefix("post: ")) from error
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64 in one line ({error}); `base64 -w0 FILE` makes it") from error


BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "An image file, in base64 or as a data: URL.",
}


class PredictRequest(BaseModel):
    """A post to predict for: a text, an image, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    id: str = Field("", max_length=MAX_ID, description="Comes back with the prediction.")
    text: str | None = Field(None, max_length=MAX_TEXT, description="The text on the image, or a text alone.")
    image: Annotated[bytes, BeforeValidator(_from_base64), WithJsonSchema(BASE64)] | None = None

    @model_validator(mode="after")
    def _has_content(self) -> PredictRequest:
        if self.image is None and not has_text(self.text or ""):
            raise ValueError("it has neither a text nor an image; give one of them, or both")
        return self


async def read_body(request: Request, limit: int, reserve: Callable[[int], None]) -> bytes:
    """The body, of at most `limit` bytes, with or without a declared length. `reserve` is called with the size of
    each piece before it is kept, and may refuse it. Raises RequestError."""
    too_large = RequestError(413, f"the body is over the limit of {limit:,} bytes; shrink the image", unread=True)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise too_large
            reserve(len(piece))
            pieces.append(piece)
    except ClientDisconnect as error:
        raise RequestError(CLIENT_CLOSED_REQUEST, "the client left before the whole body was sent") from error
    return b"".join(pieces)


def media_type(content_type: str) -> str:
    """JSON or FORM, from a Content-Type header. Raises RequestError for any other."""
    media = content_type.partition(";")[0].strip().lower()
    if media not in (JSON, FORM):
        raise RequestError(415, f"the content type must be {JSON} or {FORM}", unread=True)
    return media


def parse_request(content_type: str, body: bytes) -> PredictRequest:
    """Raises RequestError: 400 for a body that is not JSON or a form, 422 for one with wrong fields."""
    try:
        if media_type(content_type) == JSON:
            tree = parse_strict_json(body, "the body", DataError)
            if not isinstance(tree, dict):
                raise RequestError(422, "the body must be a JSON object with id, text and image")
            if len(tree) > MAX_FIELDS:  # each unknown one would be an error of its own
                raise RequestError(422, TOO_MANY_FIELDS)
            return PredictRequest.model_validate(tree)
        return PredictRequest.model_validate(_form_fields(content_type, body))
    except DataError as error:
        raise RequestError(400, str(error)) from error
    except ValidationError as error:
        raise _request_error(error) from error


def _form_fields(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form by name; the id is the image's file name where the form has none."""
    fields: dict[str, Any] = {}
    file_names: list[str] = []

    def add(name: bytes | None, value: Any) -> None:
        key = (name or b"").decode("utf-8", "replace")
        if key in fields:
            raise RequestError(422, "the form has a field twice; give each once")
        if len(fields) >= MAX_FIELDS:
            raise RequestError(422, TOO_MANY_FIELDS)
        if value or key != "image":  # a browser sends an empty file for an image that was not chosen
            fields[key] = value

    def on_field(field: FormField) -> None:
        add(field.field_name, (field.value or b"").decode("utf-8", "replace"))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        name = PurePath((file.file_name or b"").decode("utf-8", "replace")).name
        add(file.field_name, content)
        file_names.append(name[:MAX_ID])

    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")}, on_field, on_file, FORM_CONFIG
        )
        for start in range(0, len(body), FORM_CHUNK):
            parser.write(body[start : start + FORM_CHUNK])
        parser.finalize()
    except FormParserError as error:
        raise RequestError(
            400, "the body is not a multipart form: it is cut off, or its boundary is missing or wrong"
        ) from error
    if file_names:
        fields.setdefault("id", file_names[0])
    return fields


def _request_error(error: ValidationError) -> RequestError:
    """In one line, without the values that were sent."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for fault in faults[:3]:
        where = ".".join(map(str, fault["loc"]))[:100] or "request"
        lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}")
    return RequestError(422, "; ".join(lines))
