"""Serves the catalogue's metrics over HTTP, from a thread of its own."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from monitor.metrics.catalogue import BAN_LATENCY, BY_NAME, METRICS, Kind
from monitor.model.errors import PermanentError

Sample: TypeAlias = tuple[str, tuple[str, ...], float]
"""Name, label values in the catalogue's order, value in base units."""

_IP_FREEBIND = 15  # linux/in.h; for IPv6, too
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
