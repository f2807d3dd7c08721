"""Serves the metrics of a catalogue over HTTP, from a thread of its own."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from monitor.metrics.metric import Kind, Metric, Sample
from monitor.model.errors import PermanentError

_IP_FREEBIND = 15  # linux/in.h; for IPv6, too
_FAMILIES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Exporter(Collector):
    """Asks for all samples when it is scraped; only histograms are kept here."""

    def __init__(self, catalogue: Sequence[Metric], read: Callable[[], Iterable[Sample]]) -> None:
        """Serve the metrics of `catalogue`; `read` is called from the server's thread at each scrape."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._catalogue = {metric.name: metric for metric in catalogue}
        self._read = read
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.histograms = {
            metric.name: Histogram(metric.name, metric.help, buckets=metric.buckets, registry=self.registry)
            for metric in catalogue
            if metric.kind is Kind.HISTOGRAM
        }

    def describe(self) -> Iterable[Family]:
        """Return nothing: registering must not call `read`."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield every family of the catalogue; a sample that is not in it is a KeyError."""
        families = {
            metric.name: _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for metric in self._catalogue.values()
            if metric.kind in _FAMILIES
        }
        for name, labels, value in self._read():
            if len(labels) != len(self._catalogue[name].labels):
                raise ValueError(f"{name} has the labels {self._catalogue[name].labels}, got {labels}")
            families[name].add_metric(labels, value)
        yield from families.values()

    def serve(self, host: str, port: int) -> None:
        """Serve until the process ends; PermanentError says how to get out of the way of whoever has the port."""
        try:
            server = make_server(host, port, make_wsgi_app(self.registry), _server(host), _Silent)
        except OSError as error:
            raise PermanentError(
                f"cannot serve metrics on {host} port {port}: {error.strerror}; "
                "set metrics.listen to a free address, or metrics.enabled: false"
            ) from error
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Silent(WSGIRequestHandler):
    """Writes nothing about requests."""

    def log_message(self, *_: object) -> None:
        """Leave it."""


def _server(host: str) -> type[ThreadingWSGIServer]:
    """Return a server that has an address before the interface has it: the daemon is there before the network is."""

    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            super().server_bind()

    return Server
