"""What Prometheus reads, by the names that TensorFlow Serving has for it, so that its dashboards go on."""

from typing import Any

PATH = "/monitoring/prometheus/metrics"
BUCKETS = [10 * 1.8**i for i in range(33)]  # microseconds. Reference: servables/tensorflow/util.cc there


class Metrics:
    """Counters of one server."""

    def __init__(self):
        import prometheus_client

        prometheus_client.disable_created_metrics()
        self._registry: Any = prometheus_client.CollectorRegistry()
        kept: dict[str, Any] = {"registry": self._registry}
        self._requests = prometheus_client.Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            **kept,
        )
        self._latency = prometheus_client.Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time spent in servicing the request, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=BUCKETS,
            **kept,
        )
        prometheus_client.ProcessCollector(**kept)

    def count(self, model: str, status: str, api: str, entrypoint: str, seconds: float) -> None:
        """A request that has its answer. model: "" for one that is not served, whatever a client calls it."""
        self._requests.labels(model, status).inc()
        if status == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def page(self) -> bytes:
        import prometheus_client

        # Of counters the client adds a suffix that TensorFlow Serving has not.
        return prometheus_client.generate_latest(self._registry).replace(b"request_count_total", b"request_count")
