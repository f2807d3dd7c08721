"""A DNS server on loopback, that answers as it is made to: with records, with an error, with rubbish, or not at all."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monitor.cli.enrichment.dns_message import PTR, A

SILENT = b""
Answering = Callable[[bytes, bytes, int], bytes]
"""Takes the question as a packet, its name in wire format, and its kind; returns the packet to send."""


def wire(*labels: bytes) -> bytes:
    """Write a name."""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(name: bytes, kind: int, data: bytes) -> bytes:
    """Write a record."""
    return name + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def reply(question: bytes, *records: bytes, code: int = 0, flags: int = 0x8180) -> bytes:
    """Answer a question with records."""
    return question[:2] + struct.pack("!HHHHH", flags | code, 1, len(records), 0, 0) + question[12:] + b"".join(records)


def named(names: dict[bytes, bytes], addresses: dict[bytes, bytes]) -> Answering:
    """Answer with the reverse name of a name, and with the address of a name; everything else does not exist."""

    def answer(question: bytes, name: bytes, kind: int) -> bytes:
        if kind == PTR and name in names:
            return reply(question, record(name, PTR, names[name]))
        if name in addresses:
            return reply(question, *([record(name, kind, addresses[name])] if kind == A else []))
        return reply(question, code=3)

    return answer


@contextmanager
def dns_server(answering: Answering) -> Iterator[tuple[str, int]]:
    """Serve; yields address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_serve, args=(sock, answering))
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


def _serve(sock: socket.socket, answering: Answering) -> None:
    while True:
        question, client = sock.recvfrom(4096)
        if not question:
            return
        packet = answering(question, question[12:-4], int.from_bytes(question[-4:-2]))
        if packet:
            sock.sendto(packet, client)
