"""The routes of the service, as an ASGI application."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from distill import __version__
from distill.data.items import FailedRow
from distill.runtime.predictions import json_line
from distill.runtime.predictor import Prediction, Predictor
from distill.runtime.serve.guard import Guard
from distill.runtime.serve.openapi import BundleInfo, Status, bundle_info, request_body, responses
from distill.runtime.serve.request import JSON, ErrorResponse, Limits, RequestError
from distill.runtime.serve.service import READY, Service

SUMMARY = "Labels and probabilities for images with text."


def create_app(predictor: Predictor, limits: Limits, hosts: Sequence[str] = ()) -> FastAPI:
    """The application that serves this Predictor, to requests for this machine or for one of `hosts`."""
    service = Service(predictor, limits)
    info = bundle_info(predictor.bundle, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    # No pages of documentation: they load scripts from other servers. /openapi.json is what they would show.
    app = FastAPI(
        title="distill", summary=SUMMARY, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.add_middleware(Guard, hosts=hosts)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _internal_error)

    body = {"requestBody": request_body()}

    @app.post("/v1/predict", responses=responses(), openapi_extra=body)
    async def predict(request: Request) -> Prediction:
        """Predict the labels of one post: a text, an image, or both."""
        line = json_line(await service.predict(request))
        return Response(line, media_type=JSON)  # type: ignore[return-value]  # the bytes that `distill predict` writes

    @app.get("/v1/bundle")
    async def bundle() -> BundleInfo:
        """The labels with their thresholds, the versions, and the limits."""
        return info

    @app.get("/healthz")
    async def healthz() -> Status:
        """Whether the process is alive."""
        return Status("alive")

    @app.get("/readyz", responses={503: {"model": Status, "description": "Not ready, and why."}})
    async def readyz() -> Status:
        """Whether the Bundle's golden answers were reproduced on this machine, and requests are read now."""
        state = await service.readiness()
        return JSONResponse({"status": state}, 200 if state == READY else 503)  # type: ignore[return-value]

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times, in Prometheus's text format."""
        return Response(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return ErrorResponse(error)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(json_line(FailedRow("", str(error.detail))), error.status_code, error.headers, JSON)


async def _internal_error(_: Request, error: Exception) -> Response:
    line = json_line(FailedRow("", "internal error; the service's log says more"))
    return Response(line, 500, {"Connection": "close"}, JSON)  # uvicorn closes it after an error that it logs
