"""HTTP as far as a scrape needs it (RFC 9112): the head of a request, and an answer. Pure: no I/O."""

from collections.abc import Mapping, Sequence

import msgspec

from monitor.model.errors import MalformedRecord

MAX_HEAD_BYTES = 8192
"""Of a request line with its headers. Prometheus sends about 300 bytes."""
_END_OF_HEAD = b"\r\n\r\n"
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class HttpRequest(msgspec.Struct, frozen=True):
    """The head of a request; the names of `headers` are in lower case. A body is never read."""

    method: str
    target: str
    headers: Mapping[str, str]


class HttpAnswer(msgspec.Struct, frozen=True):
    """What is sent back; `headers` are those besides Content-Length and Connection."""

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    is_head: bool = False
    """Whether it answers HEAD: then the body is left out, and its length is not."""
    is_monitoring: bool = False
    """Whether whoever gets it monitors this node."""

    def encode(self) -> bytes:
        """Return the answer as it goes over the wire; the connection is closed after each."""
        head = [f"HTTP/1.1 {self.status} {_PHRASES[self.status]}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        head += [f"Content-Length: {len(self.body)}", "Connection: close", "", ""]
        return "\r\n".join(head).encode("latin-1") + (b"" if self.is_head else self.body)


def refusal(status: int, text: str, *headers: tuple[str, str]) -> HttpAnswer:
    """Return an answer that says in a line why there is none."""
    return HttpAnswer(status, (("Content-Type", "text/plain; charset=utf-8"), *headers), f"{text}\n".encode())


def read_head(received: bytes) -> HttpRequest | HttpAnswer | None:
    """Return the request that `received` starts with, the refusal of a malformed one, or None if more must follow."""
    end = received.find(_END_OF_HEAD)
    if end > MAX_HEAD_BYTES or (end < 0 and len(received) > MAX_HEAD_BYTES):
        return refusal(431, f"the request line and headers are longer than {MAX_HEAD_BYTES} bytes")
    if end < 0:
        return None
    try:
        return _parse(received[:end])
    except MalformedRecord as error:
        return refusal(400, str(error))


def _parse(head: bytes) -> HttpRequest:
    first, *lines = head.decode("latin-1").split("\r\n")
    if not all(line.replace("\t", " ").isprintable() for line in (first, *lines)):
        raise MalformedRecord("a control character in a line")
    words = first.split(" ")
    if len(words) != 3 or not all(words) or not words[2].startswith("HTTP/1."):
        raise MalformedRecord("not a request line of HTTP/1.0 or 1.1")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MalformedRecord("a header without name or colon")
        headers[name.lower()] = value.strip()
    return HttpRequest(words[0], words[1], headers)
