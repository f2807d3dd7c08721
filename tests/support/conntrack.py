"""The corpus of conntrack messages, the output of conntrack(8) for them, and constructed messages."""

import ipaddress
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "corpus" / "conntrack"
NAMES = sorted(path.stem for path in CORPUS.glob("*.bin"))
DUMPS = [name for name in NAMES if name.startswith("dump")]
# conntrack(8) uses TCP's names for the states of SCTP and DCCP
_STATES = ["NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE"]
_WITH_HANDSHAKE = {6: (3, 4), 132: (4,)}
_KINDS = {"new": "FlowOpened", "update": "FlowEstablished", "destroy": "FlowClosed", None: "FlowListed"}


def messages(name: str) -> list[bytes]:
    """Return the messages of one recording, each as it was received."""
    raw, offset, found = (CORPUS / f"{name}.bin").read_bytes(), 0, []
    while offset < len(raw):
        (length,) = struct.unpack_from("=I", raw, offset)
        found.append(raw[offset : offset + length])
        offset += length + 3 & ~3
    return found


def all_messages() -> list[bytes]:
    """Return the messages of all recordings."""
    return [message for name in NAMES for message in messages(name)]


def told(name: str) -> list[dict[str, Any]]:
    """Return the output of conntrack(8) for a recording: only opened, established, closed and listed flows."""
    flows = map(_told, ET.parse(CORPUS / f"{name}.xml").getroot())
    return [flow for flow in flows if flow["class"] != "FlowEstablished" or flow.pop("completes")]


def _told(flow: ET.Element) -> dict[str, Any]:
    original, reply, both = (flow.find(f"meta[@direction='{d}']") for d in ("original", "reply", "independent"))
    assert original is not None
    assert reply is not None
    assert both is not None
    protocol = int(original.find("layer4").get("protonum"))  # type: ignore[union-attr,arg-type]
    state = both.findtext("state")
    is_answered = both.find("unreplied") is None
    said = {
        "class": _KINDS[flow.get("type")],
        "protocol": protocol,
        "source": _address(original, "src"),
        "destination": _address(original, "dst"),
        "source_port": _number(original, "layer4/sport", "layer4/srckey"),
        "destination_port": _number(original, "layer4/dport", "layer4/dstkey"),
        "real_destination": _address(reply, "src"),
        "translated_source": _address(reply, "dst"),
        "real_destination_port": _number(reply, "layer4/sport", "layer4/srckey"),
        "translated_source_port": _number(reply, "layer4/dport", "layer4/dstkey"),
        "original_packets": _number(original, "counters/packets"),
        "original_bytes": _number(original, "counters/bytes"),
        "reply_packets": _number(reply, "counters/packets"),
        "reply_bytes": _number(reply, "counters/bytes"),
        "zone": _number(both, "zone") or _number(original, "zone") or 0,
        "reply_zone": _number(reply, "zone"),
        "mark": _number(both, "mark") or 0,
        "id": _number(both, "id"),
        "state": None if state is None else _STATES.index(state),
        "is_answered": is_answered,
        "is_assured": both.find("assured") is not None,
    }
    if protocol == 33:  # conntrack(8) prints zeros for the ports of DCCP, which this kernel does not know
        said.update(source_port=None, destination_port=None, real_destination_port=None, translated_source_port=None)
    if said["class"] == "FlowEstablished":
        said["completes"] = is_answered and said["state"] in _WITH_HANDSHAKE.get(protocol, ())
    return said


def _address(meta: ET.Element, name: str) -> bytes:
    return ipaddress.ip_address(meta.findtext(f"layer3/{name}") or "").packed


def _number(meta: ET.Element, *paths: str) -> int | None:
    return next((int(text, 0) for path in paths if (text := meta.findtext(path)) is not None), None)


def leaves(message: bytes) -> dict[tuple[int, ...], bytes]:
    """Return the payloads of a message by their path of types; attributes are nested if their flag is set."""
    return dict(_leaves(message[20:], ()))


def _leaves(data: bytes, way: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        payload = data[4:length]
        if kind & 0x8000:
            yield from _leaves(payload, (*way, kind & 0x3FFF))
        else:
            yield (*way, kind & 0x3FFF), payload
        data = data[length + 3 & ~3 :]


def attribute(kind: int, payload: bytes) -> bytes:
    """Return an attribute."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nest(kind: int, *attributes: bytes) -> bytes:
    """Return a nested attribute."""
    return attribute(kind | 0x8000, b"".join(attributes))


def message(body: bytes, kind: int = 0x100, flags: int = 0x600) -> bytes:
    """Return a message as from the kernel; a new flow by default."""
    return struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0) + b"\x02\0\0\0" + body


def direction(kind: int, source: bytes, destination: bytes, *more: bytes) -> bytes:
    """Return a tuple: TCP from port 0x1234 to port 80, unless `more` overrides it."""
    types = (1, 2) if len(source) == 4 else (3, 4)
    ports = attribute(1, b"\x06"), attribute(2, b"\x12\x34"), attribute(3, b"\0\x50")
    addresses = nest(1, attribute(types[0], source), attribute(types[1], destination))
    return nest(kind, addresses, *(more or (nest(2, *ports),)))


ORIGINAL = direction(1, b"\xc0\0\2\1", b"\xc0\0\2\2")
REPLY = direction(2, b"\xc0\0\2\2", b"\xc0\0\2\1")
