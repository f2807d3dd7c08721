"""The catalogue and the exporter."""

import re
import socket
import urllib.request
from pathlib import Path

import pytest

from monitor.daemon.catalogue import BAN_LATENCY, METRICS, Kind
from monitor.daemon.catalogue.reference import reference_markdown
from monitor.metrics.exporter import Exporter
from monitor.metrics.metric import Sample
from monitor.model.errors import PermanentError


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def scrape(samples: list[Sample]) -> str:
    """Serve these samples over HTTP and read them back."""
    port = free_port()
    exporter = Exporter(METRICS, lambda: samples)
    exporter.histograms[BAN_LATENCY.name].observe(0.002)
    exporter.serve("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return str(reply.read().decode())


def test_names_follow_the_conventions() -> None:
    """Counters end in _total, nothing else does; every metric has our prefix, help and closed labels."""
    for metric in METRICS:
        assert re.fullmatch(r"nodewarden_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")
        assert not set(metric.labels) & {"address", "ip", "network", "source_address"}
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_samples_are_served_as_they_are() -> None:
    """Samples of the catalogue appear with their labels; the histogram and the process's own metrics stand beside."""
    text = scrape(
        [("nodewarden_bans", ("sshd", "enforce", "proven"), 7), ("nodewarden_decisions_total", ("port_scan", "ban"), 3)]
    )
    assert 'nodewarden_bans{detector="sshd",mode="enforce",strength="proven"} 7.0' in text
    assert 'nodewarden_decisions_total{detector="port_scan",verdict="ban"} 3.0' in text
    assert 'nodewarden_ban_latency_seconds_bucket{le="0.0025"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text


@pytest.mark.parametrize("sample", [("nodewarden_unheard_of", (), 1.0), ("nodewarden_bans", ("enforce",), 1.0)])
def test_what_is_not_in_the_catalogue_is_an_error(sample: Sample) -> None:
    """A metric that the catalogue lacks, or with other labels, cannot slip out."""
    with pytest.raises((KeyError, ValueError)):
        Exporter(METRICS, lambda: [sample]).read()


def test_a_taken_port_says_what_to_do() -> None:
    """The error names address, port and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PermanentError, match=rf"127\.0\.0\.1 port {port}.*metrics\.listen"):
            Exporter(METRICS, list).serve("127.0.0.1", port)


def test_the_reference_is_up_to_date() -> None:
    """docs/metrics.md is what `make docs` writes."""
    path = Path(__file__).parents[3] / "docs/metrics.md"
    assert path.read_text() == reference_markdown(), "run `make docs`"
