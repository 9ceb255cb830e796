"""Counts requests and measures the stages of a prediction, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from distill.runtime.bundle import Bundle

STAGES = ("body", "read", "wait", "model", "all")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServiceMetrics:
    """The metrics of one service, in a registry of its own: several services may live in one process."""

    def __init__(self, bundle: Bundle, in_progress: Callable[[], float], queued: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, processor time, open files; on Linux
        info = {
            "kind": bundle.kind,
            "precision": bundle.precision,
            "target": bundle.target,
            "sha256": bundle.sha256,
        }
        self._gauge("distill_bundle_info", "The Bundle that is served.", list(info)).labels(**info).set(1)
        self._gauge("distill_posts_in_hand", "Accepted and not answered yet.").set_function(in_progress)
        self._gauge("distill_queue_length", "Waiting for a worker.").set_function(queued)
        self._requests = Counter(
            "distill_predict_requests", "Requests to /v1/predict, by status.", ["status"], registry=self.registry
        )
        self._seconds = Histogram(
            "distill_predict_seconds",
            "Receiving the body, reading image and text, waiting for a worker, running; and the whole request.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        for stage in STAGES:
            self._seconds.labels(stage)

    def count_request(self, status: int, seconds: float) -> None:
        """Record one request, from its headers to its response."""
        self._requests.labels(str(status)).inc()
        self.observe_stage("all", seconds)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """Record one of STAGES of one request."""
        self._seconds.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, description: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, description, labels or [], registry=self.registry)
