"""What listeners did, read only when TCP did anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.model.flows import ListenTotals
from monitor.sources.conntrack.health import ListenReader


class _Files:
    """Both files, as the kernel writes them."""

    def __init__(self, directory: Path) -> None:
        self.netstat, self.snmp = directory / "netstat", directory / "snmp"
        self.write(segments=1, accepted=0, drops=0)

    def write(self, *, segments: int, accepted: int, drops: int, datagrams: int = 0) -> None:
        """Write these totals."""
        udp = f"Udp: InDatagrams\nUdp: {datagrams}\n"
        tcp = f"Tcp: PassiveOpens InSegs\nTcp: {accepted} {segments}\n"
        self.snmp.write_text(f"Ip: InReceives\nIp: {segments + datagrams}\n{tcp}{udp}")
        self.netstat.write_text(f"TcpExt: ListenDrops\nTcpExt: {drops}\nIpExt: InOctets\nIpExt: 1\n")


@pytest.fixture
def files(tmp_path: Path) -> _Files:
    """Return the files."""
    return _Files(tmp_path)


@pytest.fixture
def reader(files: _Files) -> Iterator[ListenReader]:
    """Return a reader of them."""
    reader = ListenReader(files.netstat, files.snmp)
    yield reader
    reader.close()


def test_listeners_are_read_once_tcp_did_anything(files: _Files, reader: ListenReader) -> None:
    """And at the next poll again: a segment that was counted may still have been on its way."""
    assert reader.read() == ListenTotals(0, 0, 0, 0)
    files.write(segments=2, accepted=1, drops=0)
    assert reader.read() == ListenTotals(0, 0, 0, 1)
    files.write(segments=2, accepted=1, drops=1)  # the segment was counted before, and dropped after that
    assert reader.read() == ListenTotals(0, 1, 0, 1)
    files.write(segments=3, accepted=1, drops=2)
    assert reader.read() == ListenTotals(0, 2, 0, 1)


def test_other_packets_have_nothing_read(files: _Files, reader: ListenReader) -> None:
    """The kernel takes three times as long for the other file."""
    reader.read()
    totals = reader.read()
    files.write(segments=1, accepted=0, drops=7, datagrams=5)  # which no kernel says
    assert reader.read() is totals


@pytest.mark.parametrize("text", ["", "Ip: 1\n", "Ip: a\nTcp: PassiveOpens\n", "x\nTcp: PassiveOpens\nTcp: many\n"])
def test_another_text_says_nothing(files: _Files, reader: ListenReader, text: str) -> None:
    """It is read again, from files that are opened again."""
    files.snmp.write_text(text)
    assert reader.read() is None
    files.write(segments=2, accepted=1, drops=0)
    assert reader.read() == ListenTotals(0, 0, 0, 1)
