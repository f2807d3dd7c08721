"""Whatever is in a file: never a traceback. Each kind, cut at random places, with changed, repeated and moved bytes."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.daemon.replay.foreign.file_report import UnusableFileError
from monitor.daemon.replay.foreign.kinds import Kind
from tests.support.captures import handshake, pcap, pcapng, syn_scan
from tests.support.conntrack import CORPUS
from tests.unit.foreign.support import read
from tests.unit.foreign.test_logs import ENTRIES, NOTATIONS, PACKET, SINCE_BOOT, exported

_ROUNDS, _ROUNDS_WITH_FILTERS = 60, 10
"""Compiling the filters takes a while each time."""
_TOKENS = (
    b"\0" * 9,
    b"\xff" * 9,
    b"9" * 400,
    b"\n",
    b"<flow>",
    b"</flow>",
    b"[" * 900,
    b'{"',
    b"=",
    b"\x0a\x0d\x0d\x0a",
)
_LINES = "\n".join([*NOTATIONS.values(), *(head.format(uptime="1.5") + PACKET for head in SINCE_BOOT.values())])
_FLOWS = (Kind.PCAP, Kind.CTNETLINK, Kind.CONNTRACK_XML)
SAMPLES: dict[str, tuple[Kind, Callable[[], bytes]]] = {
    "pcap": (Kind.PCAP, lambda: pcap([*syn_scan(5), *handshake()])),
    "pcapng": (Kind.PCAP, lambda: pcapng([*syn_scan(5), *handshake()])),
    "ctnetlink": (Kind.CTNETLINK, (CORPUS / "tcp.bin").read_bytes),
    "XML": (Kind.CONNTRACK_XML, (CORPUS / "tcp_counted.xml").read_bytes),
    "JSON": (Kind.JOURNAL_JSON, lambda: "\n".join(map(json.dumps, ENTRIES)).encode()),
    "export": (Kind.JOURNAL_EXPORT, lambda: exported(ENTRIES)),
    "log": (Kind.LOG, _LINES.encode),
    "kernel log": (Kind.KERNEL_LOG, _LINES.encode),
    "packed": (Kind.LOG, lambda: gzip.compress(_LINES.encode())),
}


def _damaged(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 2, 4, 8, 40)))
    piece = chance.choice(
        (b"", data[start:end] * 2, bytes(chance.randrange(256) for _ in range(end - start)), chance.choice(_TOKENS))
    )
    return data[:start] + piece + data[end:] if chance.random() < 0.7 else data[:start]


@pytest.mark.parametrize("name", SAMPLES)
def test_damage_is_survived(tmp_path: Path, name: str) -> None:
    """By its content or as the kind that the operator names: a sentence at most."""
    kind, make = SAMPLES[name]
    sample, chance, usable = make(), random.Random(name), 0
    for number in range(_ROUNDS if kind in _FLOWS else _ROUNDS_WITH_FILTERS):
        data = sample
        for _ in range(chance.randrange(4)):
            data = _damaged(data, chance) or b"x"
        try:
            found = read(
                tmp_path / f"{number}", data, kind=kind if number % 2 else None, named=["sshd"] if number % 3 else []
            )
        except UnusableFileError as error:
            assert str(error).count("\n") == 0
            continue
        usable += bool(found.events)
        times = [one.time_s for one in found.inputs]
        assert times == sorted(times)
    assert usable or name == "XML"


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_file_taken_for_every_other(tmp_path: Path, kind: Kind) -> None:
    """An operator who names the wrong kind gets no events, or few, and no traceback."""
    for number, (_, make) in enumerate(SAMPLES.values()):
        found = read(tmp_path / f"{number}", make(), kind=kind)
        assert found.report.kind == kind
