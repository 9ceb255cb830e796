"""The routes. Knows FastAPI; what they do stands in service.py."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from distill import __version__
from distill.data.sources import Fault
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.serve.described import About, State, about, request_body, responses
from distill.runtime.serve.intake import JSON
from distill.runtime.serve.limits import Limits
from distill.runtime.serve.refusal import Refusal, RefusedError
from distill.runtime.serve.service import READY, Service

SUMMARY = "Labels and probabilities for images with text."


def create_app(predictor: Predictor, limits: Limits) -> FastAPI:
    """An ASGI application that answers with this Predictor."""
    service = Service(predictor, limits)
    bundle = about(predictor.bundle, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    # No pages of documentation: theirs load scripts from elsewhere. /openapi.json is what they would show.
    app = FastAPI(
        title="distill", summary=SUMMARY, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_exception_handler(RefusedError, _refuse)
    app.add_exception_handler(HTTPException, _no_such_thing)
    app.add_exception_handler(Exception, _fault)

    body = {"requestBody": request_body()}

    @app.post("/v1/predict", responses=responses(), openapi_extra=body)
    async def predict(request: Request) -> Prediction:
        """Judge one post: a text, an image, or both."""
        line = json_line(await service.answer(request))
        return Response(line, media_type=JSON)  # type: ignore[return-value]  # the bytes that `distill predict` writes

    @app.get("/v1/bundle")
    async def about_bundle() -> About:
        """The labels with their thresholds, the versions, and the limits."""
        return bundle

    @app.get("/healthz")
    async def healthz() -> State:
        """Whether the process lives."""
        return State("alive")

    @app.get("/readyz", responses={503: {"model": State, "description": "Not ready, and why."}})
    async def readyz() -> State:
        """Whether the Bundle answers here as where it was made."""
        status = 200 if service.state == READY else 503
        return JSONResponse({"status": service.state}, status)  # type: ignore[return-value]

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times, in Prometheus's form."""
        return Response(service.gauges.text(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return Refusal(error)


async def _no_such_thing(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(json_line(Fault("", str(error.detail))), error.status_code, error.headers, JSON)


async def _fault(_: Request, error: Exception) -> Response:
    line = json_line(Fault("", "an error of the service; its log says which"))
    return Response(line, 500, {"Connection": "close"}, JSON)  # uvicorn closes it after an error that it logs
