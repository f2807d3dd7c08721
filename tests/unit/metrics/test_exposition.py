"""The page of metrics, compared with what the reference client library writes and reads."""

import math
import subprocess
import sys
import time
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as ReferenceHistogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as ReferenceFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitor.metrics.exposition import Family, Histogram, accepts_gzip, number, write
from monitor.metrics.metric import Kind, Metric
from monitor.metrics.process import PROCESS_METRICS, ProcessSamples

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
_VALUES = st.floats() | st.integers(0, 2**53)
_POINTS = st.lists(st.tuples(_TEXTS, _TEXTS, _VALUES), max_size=4, unique_by=lambda point: point[:2])
_LABELS = ("to", "by")
_BUCKETS = (0.001, 0.25, 1.0, 2500000.0)


class _Reference(Collector):
    """Families of the client library with the same samples."""

    def __init__(self, help_text: str, points: list[tuple[str, str, float]]) -> None:
        self.families: list[CounterMetricFamily | GaugeMetricFamily] = [
            CounterMetricFamily("lines_total", help_text, labels=_LABELS),
            GaugeMetricFamily("size_bytes", help_text, labels=_LABELS),
        ]
        for family in self.families:
            for *texts, value in points:
                family.add_metric(texts, value)

    def collect(self) -> Iterable[ReferenceFamily]:
        """Return the families."""
        return self.families


@given(_TEXTS, _POINTS)
@example('a "b" \\ \n', [('"', "\\\n", math.nan), ("", "a", -math.inf), ("{", "}", 1e16), ("x", "y", 12345678.5)])
def test_both_notations_are_those_of_the_client_library(help_text: str, points: list[tuple[str, str, float]]) -> None:
    """Counters and gauges with hostile texts and all kinds of numbers are written to the byte as the library does."""
    ours = [
        Family.of(Metric("lines_total", Kind.COUNTER, help_text, _LABELS)),
        Family.of(Metric("size_bytes", Kind.GAUGE, help_text, _LABELS)),
    ]
    for family in ours:
        for to, by, value in points:
            family.add({"to": to, "by": by}, value)
    registry = _Reference(help_text, points)
    assert write(ours, is_openmetrics=False) == generate_latest(registry)
    assert write(ours, is_openmetrics=True) == generate_openmetrics(registry)  # type: ignore[no-untyped-call]


@given(st.lists(st.floats(0, 1e7) | st.sampled_from(_BUCKETS), max_size=20))
def test_histograms_are_those_of_the_client_library(values: list[float]) -> None:
    """The same values in the same buckets, bounds included, give the same lines."""
    registry = CollectorRegistry()
    reference = ReferenceHistogram("wait_seconds", "How long.", buckets=_BUCKETS, registry=registry)
    ours = Histogram(Metric("wait_seconds", Kind.HISTOGRAM, "How long.", buckets=_BUCKETS))
    for value in values:
        reference.observe(value)
        ours.observe(value)
    lines = [line for line in generate_openmetrics(registry).decode().splitlines() if "_created" not in line]  # type: ignore[no-untyped-call]
    assert write([ours.family()], is_openmetrics=True).decode().splitlines() == lines


@given(_VALUES)
@example(1e6)
@example(123456789.0)
@example(-1e9)
def test_numbers_are_those_of_the_client_library(value: float) -> None:
    """Bounds of buckets are compared as text by Prometheus."""
    assert number(value) == floatToGoString(value)  # type: ignore[no-untyped-call]


def test_the_process_metrics_are_those_of_the_client_library() -> None:
    """The same families with the same help, and the same start of the process."""
    families = [Family.of(metric) for metric in PROCESS_METRICS]
    theirs = list(ProcessCollector(registry=None).collect())
    assert [(family.name, family.kind, family.help) for family in families] == [
        (family.name, family.type, family.documentation) for family in theirs
    ]
    ours = {name: value for name, _, value in ProcessSamples().read()}
    known = {sample.name: sample.value for family in theirs for sample in family.samples}
    assert ours.keys() == known.keys()
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert ours[name] == known[name]
    assert ours["process_open_fds"] == known["process_open_fds"] - 1  # that is with the one that the library reads by


def test_the_start_follows_the_clock() -> None:
    """The time of the boot is read again once the wall clock was set, and not before."""
    moved_s = 0.0
    process = ProcessSamples(lambda: time.time() + moved_s)

    def start_s() -> float:
        return next(value for name, _, value in process.read() if name == "process_start_time_seconds")

    right_s = start_s()
    process._booted_s += 100.0
    assert start_s() == right_s + 100.0
    moved_s = 3600.0
    assert start_s() == right_s


def test_the_exporter_brings_no_web_framework() -> None:
    """The daemon answers scrapes without the client library and without the HTTP and e-mail packages below it."""
    code = "import sys, monitor.daemon.life.service; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = {"prometheus_client", "http.server", "http.client", "wsgiref", "urllib.request", "email", "socketserver"}
    assert "monitor.metrics.exporter" in loaded
    assert unwanted.intersection(loaded) == set()


def test_half_a_character_costs_no_page() -> None:
    """A text that UTF-8 cannot encode is shown as a question mark, and all other samples are there."""
    family = Family.of(Metric("size_bytes", Kind.GAUGE, "Size.", ("of",)))
    family.add({"of": "a\udcff"}, 1)
    family.add({"of": "b"}, 2)
    page = write([family], is_openmetrics=True)
    assert page.splitlines()[2:] == [b'size_bytes{of="a?"} 1.0', b'size_bytes{of="b"} 2.0', b"# EOF"]


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        *(("gzip", True), ("deflate, GZIP ; q=0.5", True), ("gzip;q=0.001", True), ("br, gzip;q=1.0", True)),
        *(("", False), ("gzip;q=0", False), ("gzip; q=0.000, identity", False), ("xgzip", False), ("gzipped", False)),
    ],
)
def test_what_a_client_refuses_is_not_sent(header: str, is_accepted: bool) -> None:
    """Weight 0 refuses a coding, any other one accepts it (RFC 9110, section 12.4.2)."""
    assert accepts_gzip(header) is is_accepted
