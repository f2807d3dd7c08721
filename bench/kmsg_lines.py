"""Kernel log lines for measurements: real records of the corpus, and generated ones in the kernel's format."""

import random
import socket
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import TypeAlias

from monitor.model.errors import MalformedRecord
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from monitor.sources.kmsg.format import decode_packet, is_packet_line, parse_record

CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
Kind: TypeAlias = tuple[int, int]
"""Length of the addresses in bytes, and protocol number."""
KINDS: tuple[Kind, ...] = ((4, PROTOCOL_TCP), (4, PROTOCOL_UDP), (16, PROTOCOL_TCP), (16, PROTOCOL_UDP))

_MAC = "MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00"
_DESTINATION = {4: bytes([198, 51, 100, 2]), 16: socket.inet_pton(socket.AF_INET6, "2001:db8::2")}


def corpus_records(directory: Path = CORPUS) -> list[bytes]:
    """Return the records of all `*.kmsg` files below a directory, as read from /dev/kmsg; empty if there are none."""
    files = sorted(directory.rglob("*.kmsg"))
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True) if line.strip()]


def mixed_records(count: int) -> list[bytes]:
    """Return `count` decodable records, alternating IPv4 and IPv6, TCP and UDP; missing kinds are generated."""
    by_kind: dict[Kind, list[bytes]] = {kind: [] for kind in KINDS}
    for record in corpus_records():
        kind = _kind(record)
        if kind in by_kind:
            by_kind[kind].append(record)
    random_source = random.Random(1)
    turns = [cycle(by_kind[kind] or generated_records(random_source, kind, 200)) for kind in KINDS]
    return list(islice((next(turn) for turn in cycle(turns)), count))


def numbered(records: Iterable[bytes]) -> list[bytes]:
    """Return the records with rising sequence numbers, as /dev/kmsg hands them out."""
    return [
        b"%b,%d,%b" % (priority, number, rest)
        for number, (priority, _, rest) in enumerate(record.split(b",", 2) for record in records)
    ]


def generated_records(random_source: random.Random, kind: Kind, count: int) -> list[bytes]:
    """Return records of one kind from random sources to random ports."""
    size, protocol = kind
    return [
        packet_record(number, random_source.randbytes(size), random_source.randrange(1, 65536), protocol=protocol)
        for number in range(count)
    ]


def packet_record(
    sequence: int,
    source: bytes,
    port: int,
    *,
    protocol: int = PROTOCOL_TCP,
    destination: bytes | None = None,
    step_us: int = 50,
) -> bytes:
    """Return the record of a logged TCP SYN or UDP packet as read from /dev/kmsg, one each `step_us` since the boot."""
    addresses = f"SRC={_text(source)} DST={_text(destination or _DESTINATION[len(source)])}"
    if len(source) == 4:
        header = f"{addresses} LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID={sequence & 0xFFFF} DF"
    else:
        header = f"{addresses} LEN=60 TC=0 HOPLIMIT=63 FLOWLBL={sequence & 0xFFFFF}"
    if protocol == PROTOCOL_TCP:
        transport = f"TCP SPT=51234 DPT={port} WINDOW=64240 RES=0x00 SYN URGP=0"
    else:
        transport = f"UDP SPT=51234 DPT={port} LEN=40"
    return f"4,{sequence},{sequence * step_us},-;[BLOCK] IN=eth0 OUT= {_MAC} {header} PROTO={transport} \n".encode()


def _text(address: bytes) -> str:
    """Return an address in the format of the kernel's %pI4 and %pI6: IPv6 with every digit."""
    return ".".join(map(str, address)) if len(address) == 4 else address.hex(":", 2)


def _kind(record: bytes) -> Kind | None:
    """Return the kind of a record; None if it has no ports or is not a packet."""
    try:
        message = parse_record(record).message
        event = decode_packet(message, 0.0) if is_packet_line(message) else None
    except MalformedRecord:
        return None
    return None if event is None or event.destination_port is None else (len(event.source), event.protocol)
