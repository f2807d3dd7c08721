"""Exemplars: counters of decisions and alerts name whom they counted last, where Prometheus asks for it."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from monitor.bans.decision import Decision, Verdict
from monitor.daemon.catalogue import METRICS
from monitor.daemon.pipeline.decision_metrics import ALERTS, DECISIONS, DecisionMetrics
from monitor.metrics.exporter import Exporter
from monitor.metrics.http_message import HttpRequest
from monitor.metrics.metric import MAX_EXEMPLAR_CHARS, Sample, exemplar
from monitor.model.addresses import parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, FloodAlert, Party, Strength
from monitor.model.bans import Mode
from tests.support.daemon import wait_for
from tests.unit.metrics.test_metrics import free_port

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PLAIN = "text/plain;version=0.0.4"
EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")
OURS = Party(parse_address("10.244.1.7"), "tcp/22")
ALERT = Alert(
    "port_scan",
    9.0,
    parse_address("192.0.2.7"),
    parse_network("192.0.2.7"),
    True,
    Strength.SPOOFABLE,
    EVIDENCE,
    ours=OURS,
)
DECISION = Decision(Verdict.BAN, ALERT.network, "port_scan", alert=ALERT)
_SERIES = {
    (ALERTS, ("port_scan", "enforce", "spoofable")): 3.0,
    (DECISIONS, ("port_scan", "ban")): 2.0,
    (DECISIONS, ("port_scan", "observe")): 0.0,
}


def counted(now_s: float = 1000.0) -> DecisionMetrics:
    """Return metrics that counted an alert and a ban of 192.0.2.7."""
    metrics = DecisionMetrics(pod_of={OURS.address: "shop/web-7d"}.get, clock=lambda: now_s)
    metrics.alerted(ALERT, Mode.ENFORCE)
    metrics.settled([DECISION], now_s)
    return metrics


def exporter(metrics: DecisionMetrics) -> Exporter:
    """Return an exporter of a few series."""
    samples: list[Sample] = [(name, labels, value) for (name, labels), value in _SERIES.items()]
    return Exporter(METRICS, lambda: samples, examples=metrics.exemplars)


def text(metrics: DecisionMetrics, accept: str) -> str:
    """Return what a scrape gets."""
    (answer,) = exporter(metrics).respond([HttpRequest("GET", "/metrics", {"accept": accept})])
    return answer.body.decode()


def parsed(metrics: DecisionMetrics) -> list[Family]:
    """Return what a scrape in OpenMetrics holds."""
    return list(text_string_to_metric_families(text(metrics, OPENMETRICS)))  # type: ignore[no-untyped-call]


def test_openmetrics_has_who_was_counted_last() -> None:
    """Network, service and pod, with the time; series that counted nothing have none."""
    found = {
        (sample.name, *sample.labels.values()): sample.exemplar
        for family in parsed(counted())
        for sample in family.samples
        if sample.exemplar
    }
    who = {"network": "192.0.2.7", "service": "tcp/22", "pod": "shop/web-7d"}
    assert {key: one.labels for key, one in found.items()} == {
        (ALERTS, "port_scan", "enforce", "spoofable"): who,
        (DECISIONS, "port_scan", "ban"): who,
    }
    assert {float(one.timestamp or 0) for one in found.values()} == {1000.0}


def test_plain_text_is_as_without_exemplars() -> None:
    """A scrape that does not ask for OpenMetrics gets the very same samples."""

    def ours(scraped: str) -> list[str]:
        return [line for line in scraped.splitlines() if "nodewarden_" in line]

    with_them, without = (ours(text(metrics, PLAIN)) for metrics in (counted(), DecisionMetrics()))
    assert with_them == without
    assert not any("192.0.2.7" in line for line in with_them)


def test_a_flood_has_what_is_attacked() -> None:
    """Its sources are forged, so no network is named."""
    metrics = counted()
    metrics.flooded(FloodAlert("half_open", 9.0, "tcp/22 of 10.244.1.7", EVIDENCE, OURS), Mode.ENFORCE)
    shown = metrics.exemplars()[ALERTS, ("half_open", Mode.ENFORCE, Strength.SPOOFABLE)]
    assert shown.labels == {"service": "tcp/22", "pod": "shop/web-7d"}


def test_there_is_one_for_each_series() -> None:
    """However many sources there are: memory is bounded by detectors and verdicts, and the latest counts."""
    metrics = counted()
    for number in range(1000):
        network = parse_network(f"198.51.{number // 256}.{number % 256}")
        metrics.settled([msgspec.structs.replace(DECISION, network=network)], 1001.0)
    shown = metrics.exemplars()
    assert len(shown) == 2
    assert shown[DECISIONS, ("port_scan", Verdict.BAN)].labels["network"] == "198.51.3.231"


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=400))
@example("2001:db8:1234:5678:9abc:def0:1234:5678/128", "tcp/65535", "n" * 63 + "/" + "p" * 253)
def test_an_exemplar_is_never_too_long(network: str, service: str, pod: str) -> None:
    """Names and texts together have at most 128 characters; the network comes first and is whole if it can be."""
    labels = exemplar(0.0, network=network, service=service, pod=pod).labels
    assert sum(len(name) + len(value) for name, value in labels.items()) <= MAX_EXEMPLAR_CHARS
    assert all(labels.values())
    if 0 < len(network) <= 100 and network.isalnum():
        assert labels["network"] == network


@given(st.text(max_size=300))
@example('x"} 1 1\nnodewarden_bans 7\\')
def test_hostile_names_stay_within_their_exemplar(pod: str) -> None:
    """What a pod is called cannot add a sample or a label."""
    metrics = DecisionMetrics(pod_of=lambda _: pod, clock=lambda: 1000.0)
    metrics.alerted(ALERT, Mode.ENFORCE)
    families = parsed(metrics)
    shown = [sample.exemplar for family in families for sample in family.samples if sample.exemplar]
    assert len(shown) == 1
    assert set(shown[0].labels) <= {"network", "service", "pod"}
    assert len([sample for family in families for sample in family.samples if sample.name.startswith(ALERTS)]) == 1


class _Prometheus:
    """Debian's Prometheus, which scrapes one target."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, what: str, **parameters: str | float) -> Any:
        """Return the data of an answer; an empty list while there is no server."""
        try:
            with urllib.request.urlopen(f"{self._url}{what}?{urllib.parse.urlencode(parameters)}", timeout=5) as reply:
                return json.load(reply)["data"]
        except OSError:
            return []


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[_Prometheus]:
    """Run one that scrapes the exporter, with exemplars."""
    target, port = free_port(), free_port()
    server = exporter(counted(now_s=time.time())).serve("127.0.0.1", target)
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{"job_name": "nodewarden", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = (
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            yield _Prometheus(port)
        finally:
            running.kill()
            server.close()


def test_prometheus_gives_the_addresses_back(prometheus: _Prometheus) -> None:
    """By the query of a panel; the series are those that there are without exemplars."""
    query = f'sum by (detector) (rate({DECISIONS}{{verdict="ban"}}[1m]))'
    span = {"start": time.time() - 600, "end": time.time() + 600}

    def found() -> list[dict[str, Any]]:
        return list(prometheus.ask("query_exemplars", query=query, **span))

    wait_for(lambda: bool(found()), "exemplars", timeout_s=30)
    (series,) = found()
    assert series["seriesLabels"].items() >= {"__name__": DECISIONS, "detector": "port_scan", "verdict": "ban"}.items()
    assert [one["labels"] for one in series["exemplars"]] == [
        {"network": "192.0.2.7", "service": "tcp/22", "pod": "shop/web-7d"}
    ]
    stored = prometheus.ask("series", **{"match[]": f'{{__name__=~"{ALERTS}|{DECISIONS}"}}'}, **span)
    assert {(one["__name__"], *(one[name] for name in _labels(one["__name__"]))) for one in stored} == {
        (name, *labels) for name, labels in _SERIES
    }
    assert len(stored) == len(_SERIES)


def _labels(name: str) -> tuple[str, ...]:
    return next(metric.labels for metric in METRICS if metric.name == name)
