"""Serves the metrics of a catalogue over HTTP, from a thread of its own."""

import gzip
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Exemplar as OpenMetricsExemplar
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from monitor.metrics.http_connection import Drop
from monitor.metrics.http_message import HttpAnswer, HttpRequest
from monitor.metrics.http_server import HttpServer
from monitor.metrics.metric import Exemplar, Kind, Metric, Sample, Series
from monitor.metrics.pages import Page, health, live, page_of, stuck
from monitor.metrics.web_gate import WebGate
from monitor.model.errors import PermanentError
from monitor.model.problems import Problem

_log = logging.getLogger(__name__)
_IP_FREEBIND = 15  # linux/in.h; for IPv6, too
_OPENMETRICS = "application/openmetrics-text"
_BACKLOG = 128
"""Connections that the kernel completes ahead of us."""
_FAMILIES = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Exporter(Collector):
    """Asks for all samples when it is scraped; only histograms are kept here."""

    def __init__(
        self,
        catalogue: Sequence[Metric],
        read: Callable[[], Iterable[Sample]],
        problems: Callable[[], Sequence[Problem]] = tuple,
        monitored: Callable[[str], None] = lambda _: None,
        examples: Callable[[], Mapping[Series, Exemplar]] = dict,
    ) -> None:
        """Serve the metrics of `catalogue`.

        All are called from the server's thread: `read` and `examples` at each scrape, `problems` for each page about
        health (TimeoutError: the daemon does not respond), `monitored` with the address of each client that got
        metrics, or asked for the health. `examples` are exemplars of counters; only OpenMetrics has them.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._catalogue = {metric.name: metric for metric in catalogue}
        self._read = read
        self._problems = problems
        self._monitored = monitored
        self._examples = examples
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self.dropped: dict[str, int] = dict.fromkeys(Drop, 0)
        """Connections that were closed without an answer, by cause."""
        self._gate: WebGate | None = None
        self.histograms = {
            metric.name: Histogram(metric.name, metric.help, buckets=metric.buckets, registry=self.registry)
            for metric in catalogue
            if metric.kind is Kind.HISTOGRAM
        }

    def trouble(self) -> str:
        """Return why an older web configuration is in force; empty if the one on disk is."""
        return self._gate.trouble if self._gate else ""

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
        samples, examples = self._read(), self._examples()
        for name, labels, value in samples:
            if len(labels) != len(self._catalogue[name].labels):
                raise ValueError(f"{name} has the labels {self._catalogue[name].labels}, got {labels}")
            family, example = families[name], examples.get((name, labels))
            if isinstance(family, CounterMetricFamily) and example:
                shown = OpenMetricsExemplar(example.labels, 1, round(example.time_s, 3))
                family.add_metric(labels, value, exemplar=shown)
            else:
                family.add_metric(labels, value)
        yield from families.values()

    def respond(self, requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        """Answer requests; the samples are collected once for all, and written once for each notation asked for."""
        pages = [page_of(request) for request in requests]
        snapshot = _Snapshot(self.registry.collect() if Page.METRICS in pages else ())
        about_health = self._about_health() if {Page.HEALTH, Page.LIVE}.intersection(pages) else {}
        answers = []
        for request, page in zip(requests, pages, strict=True):
            match page:
                case HttpAnswer() as answer:
                    pass
                case Page.METRICS:
                    answer = snapshot.answer(request.headers)
                case _:
                    answer = about_health[page]
            answers.append(msgspec.structs.replace(answer, is_head=True) if request.method == "HEAD" else answer)
        return answers

    def _about_health(self) -> dict[Page, HttpAnswer]:
        """Return the answers of the pages about health."""
        try:
            problems = self._problems()
        except TimeoutError:
            return dict.fromkeys((Page.HEALTH, Page.LIVE), stuck())
        is_private = self._gate is not None and self._gate.has_users
        answer = health(problems, shows_texts=not is_private)
        return {Page.HEALTH: msgspec.structs.replace(answer, is_monitoring=not is_private), Page.LIVE: live()}

    def serve(
        self,
        host: str,
        port: int,
        failed: Callable[[Exception], None] = lambda error: _log.error("a scrape failed", exc_info=error),
        reserved_from: int = sys.maxsize,
        web_config: str = "",
    ) -> HttpServer:
        """Serve until the returned server is closed; PermanentError says how to get out of the way of the port's owner.

        `web_config` is a web configuration file of the exporter toolkit, ConfigError if it cannot be used. `failed` is
        called with faults, from the server's thread; file descriptors from `reserved_from` on are left to the rest of
        the daemon.
        """
        self._gate = gate = WebGate(Path(web_config)) if web_config else None
        try:
            server = HttpServer(
                _listen(host, port),
                self.respond,
                self.dropped,
                failed,
                gate=gate,
                monitored=self._monitored,
                reserved_from=reserved_from,
            )
        except OSError as error:
            raise PermanentError(
                f"cannot serve metrics on {host} port {port}: {error.strerror}; "
                "set metrics.listen to a free address, or metrics.enabled: false"
            ) from error
        threading.Thread(target=server.serve, name="metrics", daemon=True).start()
        return server


class _Snapshot(Collector):
    """The samples of one moment, with their texts in each notation that was asked for."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)
        self._answers: dict[tuple[str, bool], HttpAnswer] = {}

    def collect(self) -> Iterable[Family]:
        """Return the families."""
        return self._families

    def answer(self, headers: Mapping[str, str]) -> HttpAnswer:
        """Return the samples in the notation that a client asks for: Prometheus text or OpenMetrics, zipped or not."""
        accepts_openmetrics = _OPENMETRICS in headers.get("accept", "")
        encode, content_type = choose_encoder(_OPENMETRICS if accepts_openmetrics else "")  # never what a client chose
        key = content_type, gzip_accepted(headers.get("accept-encoding", ""))
        if key not in self._answers:
            body, answer_headers = encode(self), [("Content-Type", content_type)]
            if key[1]:
                body = gzip.compress(body, 1)
                answer_headers.append(("Content-Encoding", "gzip"))
            self._answers[key] = HttpAnswer(200, answer_headers, body, is_monitoring=True)
        return self._answers[key]


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that has an address before the interface has it: the daemon is there before the network is."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
