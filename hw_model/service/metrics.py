"""What a server tells Prometheus."""

from collections import Counter as Counts
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from hw_model.errors import EnvironmentFault

#: From a cached batch to one of a simulator.
BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self, *, workers: Callable[[], int], replaced: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        self.calls = Counter(
            "edgezoo_cost_calls",
            "Calls by method and status.",
            ["method", "code"],
            registry=registry,
        )
        self.seconds = Histogram(
            "edgezoo_cost_call_seconds",
            "Time from a call's arrival to its end.",
            ["method"],
            registry=registry,
            buckets=BUCKETS_S,
        )
        self.models = Counter(
            "edgezoo_cost_models",
            "Models by outcome: computed, cached, left, or the kind of the error.",
            ["outcome"],
            registry=registry,
        )
        self.under_way = Gauge(
            "edgezoo_cost_calls_under_way", "Calls being answered.", registry=registry
        )
        self.buffered = Gauge(
            "edgezoo_cost_buffered_bytes",
            "Files that arrive in parts, as far as they have.",
            registry=registry,
        )
        alive = Gauge("edgezoo_cost_workers", "Worker processes that run.", registry=registry)
        alive.set_function(workers)
        lost = Gauge(
            "edgezoo_cost_workers_replaced", "Worker processes replaced so far.", registry=registry
        )
        lost.set_function(replaced)

    def count_models(self, outcomes: "Counts[str]") -> None:
        """Adds the outcomes of a batch."""
        for outcome, count in outcomes.items():
            self.models.labels(outcome).inc(count)


def serve_metrics(metrics: Metrics, host: str, port: int) -> Any:
    """Starts the page Prometheus reads; returns its HTTP server.

    Raises:
        EnvironmentFault: the port is taken.
    """
    try:
        server, _ = start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as error:
        raise EnvironmentFault(
            f"Metrics cannot be served on {host}:{port}: {error.strerror}; choose another --metrics-port."
        ) from error
    return server
