"""A request's body to a Post. Knows JSON, multipart forms and sizes; does not look into the image."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File, create_form_parser
from starlette.requests import ClientDisconnect, Request

from distill.preprocess.text import has_text
from distill.runtime.serve.limits import MAX_ID, MAX_TEXT
from distill.runtime.serve.refusal import GONE, RefusedError

JSON, FORM = "application/json", "multipart/form-data"
IN_MEMORY = {"MAX_MEMORY_FILE_SIZE": float("inf")}  # the body is bounded, and nothing is written to a disk
CHUNK = 1 << 20


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64 in one line ({error}); `base64 -w0 FILE` makes it") from error


BASE64 = {"type": "string", "contentEncoding": "base64", "description": "An image's file, in base64."}


class Post(BaseModel):
    """A post to judge: a text, an image, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    id: str = Field("", max_length=MAX_ID, description="Comes back with the answer.")
    text: str | None = Field(None, max_length=MAX_TEXT, description="The text on the image, or a text alone.")
    image: Annotated[bytes, BeforeValidator(_from_base64), WithJsonSchema(BASE64)] | None = None

    @model_validator(mode="after")
    def _is_something(self) -> Post:
        if self.image is None and not has_text(self.text or ""):
            raise ValueError("it has neither a text nor an image; give one of them, or both")
        return self


async def read(request: Request, limit: int, hold: Callable[[int], None]) -> bytes:
    """The body, of at most `limit` bytes, however it is sent; `hold` is told of each piece before it is kept.
    Raises RefusedError."""
    too_large = RefusedError(413, f"the body is over the limit of {limit:,} bytes; shrink the image", unread=True)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise too_large
            hold(len(piece))
            pieces.append(piece)
    except ClientDisconnect as error:
        raise RefusedError(GONE, "the client left before all was sent") from error
    return b"".join(pieces)


def kind_of(content_type: str) -> str:
    """JSON or FORM. Raises RefusedError."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, FORM):
        raise RefusedError(415, f"the content type must be {JSON} or {FORM}", unread=True)
    return kind


def parse(content_type: str, body: bytes) -> Post:
    """Raises RefusedError: 400 for what is no JSON or form, 422 for one that is no Post."""
    try:
        if kind_of(content_type) == JSON:
            return Post.model_validate_json(body)
        return Post.model_validate(_fields(content_type, body))
    except ValidationError as error:
        raise _told(error) from error


def _fields(content_type: str, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def put(name: bytes | None, value: Any) -> None:
        key = (name or b"").decode("utf-8", "replace")
        if key in found:
            raise RefusedError(422, "a field of the form stands twice in it")
        if value or key != "image":  # a browser sends an empty one for an image that was not chosen
            found[key] = value

    def on_field(field: FormField) -> None:
        put(field.field_name, (field.value or b"").decode("utf-8", "replace"))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        name = PurePath((file.file_name or b"").decode("utf-8", "replace")).name
        put(file.field_name, content)
        names.append(name[:MAX_ID])

    names: list[str] = []
    try:
        parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, on_field, on_file, IN_MEMORY)
        for start in range(0, len(body), CHUNK):
            parser.write(body[start : start + CHUNK])
        parser.finalize()
    except FormParserError as error:
        raise RefusedError(
            400, "the body is not a multipart form: it is cut off, or has no or another boundary"
        ) from error
    if names:
        found.setdefault("id", names[0])
    return found


def _told(error: ValidationError) -> RefusedError:
    """In one line, without what was sent."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    said = [
        (".".join(map(str, fault["loc"]))[:100], fault["msg"].removeprefix("Value error, ")) for fault in faults[:3]
    ]
    lines = [f"{place or 'post'}: {what}" for place, what in said]
    return RefusedError(400 if faults[0]["type"] == "json_invalid" else 422, "; ".join(lines))
