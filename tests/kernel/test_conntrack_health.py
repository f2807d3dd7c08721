"""The health of the real connection table: the same as conntrack(8) tells."""

import re
import struct
from collections.abc import Iterator

import pytest

from monitor.model.errors import TemporaryError
from monitor.sources.conntrack.health import COUNTERS, HealthReader, numbers, read_health
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Host]:
    """Return a host that tracks connections."""
    with Lab("node") as lab:
        lab["node"].nft("table inet watch { chain out { type filter hook output priority 0; ct state new accept; }; }")
        yield lab["node"]


def test_entries_and_limit(node: Host) -> None:
    """As many entries as conntrack(8) counts, and the limit of the sysctl."""
    node.run("ping", "-c", "1", "127.0.0.1")
    with node.entered():
        health = read_health()
    assert health.entries == int(node.run("conntrack", "-C").stdout) > 0
    assert health.limit == int(node.run("sysctl", "-n", "net.netfilter.nf_conntrack_max").stdout)


def test_totals_are_sums_over_processors(node: Host) -> None:
    """Each counter that conntrack(8) prints for a processor is in the sum under the same name; insertions move it."""
    node.run("ping", "-c", "1", "127.0.0.1")
    with node.entered():
        health = read_health()
    sums: dict[str, int] = {}
    for name, value in re.findall(r"(\w+)=(\d+)", node.run("conntrack", "-S").stdout):
        sums[name] = sums.get(name, 0) + int(value)
    shared = set(COUNTERS.values()) & set(sums)
    assert {"insert_failed", "drop", "early_drop", "search_restart"} <= shared
    assert {name: health.totals[name] for name in shared} == {name: sums[name] for name in shared}


def test_answers_that_do_not_fit_end_quietly() -> None:
    """Attributes of other lengths are passed over, a length beyond the end is the end."""
    body = bytes(20) + struct.pack("=HH", 8, 1) + b"\0\0\0\5" + struct.pack("=HHI", 6, 7, 0)
    assert list(numbers(body)) == [(1, 5)]
    assert list(numbers(body + struct.pack("=HH", 99, 2))) == [(1, 5)]
    assert list(numbers(b"")) == []


def test_a_reader_follows_the_table(node: Host) -> None:
    """Over one socket: what is the same is the same object, and what changes is seen."""
    reader = HealthReader()
    try:
        with node.entered():
            before = reader.read()
        assert reader.read() is before
        node.run("ping", "-c", "1", "127.0.0.1")
        assert reader.read().entries == before.entries + 1
        assert reader._socket
        reader._socket.close()
        with pytest.raises(TemporaryError):
            reader.read()
        with node.entered():
            assert reader.read().entries == before.entries + 1
    finally:
        reader.close()
