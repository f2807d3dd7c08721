"""Serves the catalogue's metrics over HTTP, from a thread of its own."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.metrics.catalogue import BAN_LATENCY, BY_NAME, METRICS, Kind
from monitor.model.errors import PermanentError

Sample: TypeAlias = tuple[str, tuple[str, ...], float]
"""Name, label values in the catalogue's order, value in base units."""

_FAMILIES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Exporter(Collector):
    """Asks for all samples when it is scraped; only the latency histogram is kept here."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        """`read` is called from the server's thread at each scrape."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._read = read
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.ban_latency = Histogram(
            BAN_LATENCY.name, BAN_LATENCY.help, buckets=BAN_LATENCY.buckets, registry=self.registry
        )

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not call `read`."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family of the catalogue; a sample that is not in it is a KeyError."""
        families = {
            metric.name: _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for metric in METRICS
            if metric.kind in _FAMILIES
        }
        for name, labels, value in self._read():
            if len(labels) != len(BY_NAME[name].labels):
                raise ValueError(f"{name} has the labels {BY_NAME[name].labels}, got {labels}")
            families[name].add_metric(labels, value)
        yield from families.values()

    def serve(self, host: str, port: int) -> None:
        """Serve until the process ends; PermanentError says how to get out of the way of whoever has the port."""
        try:
            start_http_server(port, host, self.registry)
        except OSError as error:
            raise PermanentError(
                f"cannot serve metrics on {host} port {port}: {error.strerror}; "
                "set metrics.listen to a free address, or metrics.enabled: false"
            ) from error
