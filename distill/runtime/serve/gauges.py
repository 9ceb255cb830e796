"""What a service counts and times, in Prometheus's form. Knows no HTTP and no models."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from distill.runtime.bundle import Bundle

STAGES = ("body", "read", "wait", "model", "all")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Gauges:
    """One registry of its own: several services may live in one process."""

    def __init__(self, bundle: Bundle, in_hand: Callable[[], float], waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, processor time, open files; on Linux
        about = {
            "kind": bundle.kind,
            "precision": bundle.precision,
            "target": bundle.target,
            "sha256": bundle.sha256,
        }
        self._gauge("distill_bundle_info", "The Bundle that answers.", list(about)).labels(**about).set(1)
        self._gauge("distill_posts_in_hand", "Accepted and not answered yet.").set_function(in_hand)
        self._gauge("distill_queue_length", "Ready, and in no batch yet.").set_function(waiting)
        self._requests = Counter(
            "distill_predict_requests", "Requests to /v1/predict, by status.", ["status"], registry=self.registry
        )
        self._seconds = Histogram(
            "distill_predict_seconds",
            "Receiving the body, reading image and text, waiting for a batch, its run; and all of a request.",
            ["stage"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._sizes = Histogram(
            "distill_batch_size", "Posts that were run together.", buckets=SIZES, registry=self.registry
        )
        for stage in STAGES:
            self._seconds.labels(stage)

    def _gauge(self, name: str, what: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, what, labels or [], registry=self.registry)

    def answered(self, status: int, seconds: float) -> None:
        """One request, from its headers to its answer."""
        self._requests.labels(str(status)).inc()
        self.took("all", seconds)

    def took(self, stage: str, seconds: float) -> None:
        """One stage of one request, or of one batch."""
        self._seconds.labels(stage).observe(seconds)

    def ran(self, size: int) -> None:
        """One batch."""
        self._sizes.observe(size)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)
