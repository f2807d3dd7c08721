"""Serves the metrics of a catalogue over HTTP, from a thread of its own."""

import logging
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from monitor.metrics.exposition import END, OPENMETRICS_TYPE, TEXT_TYPE, Histogram, accepts_gzip
from monitor.metrics.http_connection import Drop
from monitor.metrics.http_message import HttpAnswer, HttpRequest
from monitor.metrics.http_server import HttpServer
from monitor.metrics.kept_page import KeptPage
from monitor.metrics.metric import Exemplar, Kind, Metric, Sample, Series
from monitor.metrics.pages import Page, health, live, page_of, stuck
from monitor.metrics.process import PROCESS_METRICS, ProcessSamples
from monitor.model.errors import PermanentError
from monitor.model.problems import Problem

if TYPE_CHECKING:
    from monitor.metrics.web_gate import WebGate

_log = logging.getLogger(__name__)
_IP_FREEBIND = 15  # linux/in.h; for IPv6, too
_OPENMETRICS = "application/openmetrics-text"
_GZIP = 31  # wbits of zlib.compress: a gzip header and trailer
_BACKLOG = 128
"""Connections that the kernel completes ahead of us."""


class Exporter:
    """Asks for all samples when it is scraped; histograms and the last page are kept here."""

    def __init__(
        self,
        catalogue: Sequence[Metric],
        read: Callable[[], Iterable[Sample]],
        problems: Callable[[], Sequence[Problem]] = tuple,
        monitored: Callable[[str], None] = lambda _: None,
        examples: Callable[[], Mapping[Series, Exemplar]] = dict,
    ) -> None:
        """Serve the metrics of `catalogue`.

        All are called from the server's thread: `read` at each scrape, `examples` at each in OpenMetrics, `problems`
        for each page about health (TimeoutError: the daemon does not respond), `monitored` with the address of each
        client that got metrics, or asked for the health. `examples` are exemplars of counters.
        """
        self._kept = KeptPage([*(one for one in catalogue if one.kind is not Kind.HISTOGRAM), *PROCESS_METRICS])
        self._process = ProcessSamples()
        self._read = read
        self._problems = problems
        self._monitored = monitored
        self._examples = examples
        self.dropped: dict[str, int] = dict.fromkeys(Drop, 0)
        """Connections that were closed without an answer, by cause."""
        self._gate: WebGate | None = None
        self.histograms = {metric.name: Histogram(metric) for metric in catalogue if metric.kind is Kind.HISTOGRAM}

    def trouble(self) -> str:
        """Return why an older web configuration is in force; empty if the one on disk is."""
        return self._gate.trouble if self._gate else ""

    def page(self, *, is_openmetrics: bool) -> bytes:
        """Return every family in one of the notations, with the samples that were read last."""
        examples = self._examples() if is_openmetrics else {}
        texts = self._kept.texts(examples, is_openmetrics=is_openmetrics)
        texts += [one.text(is_openmetrics=is_openmetrics) for one in self.histograms.values()]
        if is_openmetrics:
            texts.append(END)
        return b"".join(texts)

    def read(self) -> None:
        """Read all samples; one that is not in the catalogue is a KeyError, one of other labels a ValueError."""
        self._kept.take([*self._read(), *self._process.read()])

    def respond(self, requests: Sequence[HttpRequest]) -> list[HttpAnswer]:
        """Answer requests; the samples are collected once for all, and written once for each notation asked for."""
        pages = [page_of(request) for request in requests]
        if Page.METRICS in pages:
            self.read()
        snapshot = _Snapshot(self.page)
        about_health = self._about_health() if Page.HEALTH in pages or Page.LIVE in pages else {}
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
        self._gate = gate = _make_gate(web_config) if web_config else None
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


class _Snapshot:
    """The page of one moment in each notation that was asked for."""

    def __init__(self, page: Callable[..., bytes]) -> None:
        self._page = page
        self._answers: dict[tuple[bool, bool], HttpAnswer] = {}

    def answer(self, headers: Mapping[str, str]) -> HttpAnswer:
        """Return the samples in the notation that a client asks for: Prometheus text or OpenMetrics, zipped or not."""
        is_openmetrics = _OPENMETRICS in headers.get("accept", "")
        codings = headers.get("accept-encoding")
        key = is_openmetrics, codings is not None and accepts_gzip(codings)
        if key not in self._answers:
            body = self._page(is_openmetrics=is_openmetrics)
            answer_headers = [("Content-Type", OPENMETRICS_TYPE if is_openmetrics else TEXT_TYPE)]
            if key[1]:
                body = zlib.compress(body, 1, _GZIP)
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


def _make_gate(web_config: str) -> "WebGate":
    from monitor.metrics.web_gate import WebGate  # OpenSSL takes 6 MB, which most do without

    return WebGate(Path(web_config))
