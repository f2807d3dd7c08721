"""What `conntrack -E -o xml,timestamp,id` prints, as flows.

No XML parser: the program's output has a fixed form, and nothing else is read. Elements are found one by one, so memory
does not grow with the file; references to entities, of which the program writes none, are no element's text.
"""

import re
import socket
import zlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.model.flows import Flow, FlowClosed, FlowListed, FlowOpened
from monitor.model.protocols import PROTOCOL_DCCP, STATUS_ASSURED, STATUS_SEEN_REPLY
from monitor.sources.conntrack.format import update_kind

UNTIMED = "without a time (record with `conntrack -E -o xml,timestamp,id`)"
_BLOCK_BYTES = 256 * 1024
_MAX_FLOW_BYTES = 8192
_START = re.compile(rb'<flow(?: type="(\w{1,16})")?>').match
_END = b"</flow>"
_META, _META_END = b'<meta direction="', b"</meta>"
_DIRECTION = re.compile(rb'(original|reply|independent)">').match
_LAYER4 = re.compile(rb'<layer4 protonum="(\d{1,3})"').search
_VALUE = re.compile(rb"<(\w{1,16})>([0-9A-Za-z_.:]{1,64})</\1>").findall
_EMPTY = re.compile(rb"<(unreplied|assured)\s*/>").findall
_STATES = {
    name: number
    for number, name in enumerate(
        ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE")
    )
}
"""conntrack(8) names those of SCTP and DCCP like TCP's."""
_KINDS: dict[bytes, type[Flow] | None] = {
    b"new": FlowOpened,
    b"update": None,
    b"destroy": FlowClosed,
    b"": FlowListed,
}


def is_output(head: bytes) -> bool:
    """Whether a file starts as the output of conntrack(8) in XML."""
    return b"<conntrack>" in head[:200] or _START(head[head.find(b"<flow") :]) is not None


def read_flows(content: Content, report: FileReport) -> Iterator[Flow]:
    """Yield the flows of all elements that have a time."""
    for kind, body in _elements(content, report):
        report.records += 1
        try:
            values = _values(body)
            time_s = _time_s(values, is_end=kind == b"destroy")
            if time_s is None:
                report.leave_out(UNTIMED)
            elif (flow := _flow(kind, values, time_s)) is not None:
                yield flow
            else:
                report.leave_out("other updates")
        except (KeyError, ValueError, OverflowError, OSError):
            report.leave_out("malformed")


def _elements(content: Content, report: FileReport) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and what is inside of each flow."""
    rest = b""
    while data := content.read(_BLOCK_BYTES):
        data = rest + data
        position = 0
        while (end := data.find(_END, position)) >= 0:
            start = data.rfind(b"<flow", max(position, end - _MAX_FLOW_BYTES), end)
            if start >= 0 and (match := _START(data, start, end)):
                yield match[1] or b"", data[match.end() : end]
            else:
                report.leave_out("malformed")
            position = end + len(_END)
        rest = data[max(position, len(data) - _MAX_FLOW_BYTES) :]
    if b"<flow" in rest:
        report.note("it ends in the middle of a connection: what came before counts")


def _values(body: bytes) -> dict[str, str]:
    """Return the texts of a flow's elements by direction and name; the protocol as `original.protocol`."""
    values: dict[str, str] = {}
    parts = body.split(_META)
    beside = [parts[0]]  # the time is beside the three directions
    for part in parts[1:]:
        inner, _, rest = part.partition(_META_END)
        beside.append(rest)
        match = _DIRECTION(inner)
        if match is None:
            continue
        head, inner = match[1].decode(), inner[match.end() :]
        for name, text in _VALUE(inner):
            values[f"{head}.{name.decode()}"] = text.decode()
        for name in _EMPTY(inner):
            values[f"{head}.{name.decode()}"] = ""
        if layer := _LAYER4(inner):
            values[f"{head}.protocol"] = layer[1].decode()
    for name, text in _VALUE(b"".join(beside)):
        values[f"flow.{name.decode()}"] = text.decode()
    return values


def _time_s(values: dict[str, str], *, is_end: bool) -> float | None:
    """Return when the event was: when conntrack(8) printed it, to the second, otherwise as the kernel noted it."""
    when = [values.get(f"flow.{name}") for name in ("year", "month", "day", "hour", "min", "sec")]
    if None not in when:
        return datetime(*(int(text) for text in when if text)).timestamp()  # type: ignore[arg-type]
    name = "stop" if is_end else "start"
    noted = values.get(f"flow.{name}") or values.get(f"independent.{name}")
    return int(noted) / 1e9 if noted and int(noted) else None


def _flow(kind: bytes, values: dict[str, str], time_s: float) -> Flow | None:
    """Return the flow; None for an update that shows neither handshake nor reset; ValueError, KeyError: malformed."""
    protocol = int(values["original.protocol"])
    status = 0 if "independent.unreplied" in values else STATUS_SEEN_REPLY
    status |= STATUS_ASSURED if "independent.assured" in values else 0
    state = values.get("independent.state")
    number = None if state is None else _STATES[state]
    make: Any = _KINDS[kind] or update_kind(protocol, status, number)
    if make is None:
        return None
    ports = [
        None if protocol == PROTOCOL_DCCP else _number(values, f"{direction}.{name}")
        for direction in ("original", "reply")
        for name in ("sport", "dport")
    ]
    if any(port is not None and port > 0xFFFF for port in ports):
        raise ValueError("port")
    source, destination = _address(values["original.src"]), _address(values["original.dst"])
    real, translated = _address(values["reply.src"]), _address(values["reply.dst"])
    tuple_bytes = b"".join((source, destination, bytes((protocol,)), repr(ports).encode()))
    identity = _number(values, "independent.id")
    return make(  # type: ignore[no-any-return]
        time_s=time_s,
        namespace=None,
        source=source,
        destination=destination,
        protocol=protocol,
        source_port=ports[0],
        destination_port=ports[1],
        real_destination=real,
        translated_source=translated,
        real_destination_port=ports[2],
        translated_source_port=ports[3],
        id=zlib.crc32(tuple_bytes) if identity is None else identity,
        status=status,
        state=number,
        mark=_number(values, "independent.mark") or 0,
        zone=_number(values, "independent.zone") or _number(values, "original.zone") or 0,
        reply_zone=_number(values, "reply.zone"),
        original_packets=_number(values, "original.packets"),
        original_bytes=_number(values, "original.bytes"),
        reply_packets=_number(values, "reply.packets"),
        reply_bytes=_number(values, "reply.bytes"),
    )


def _number(values: dict[str, str], name: str) -> int | None:
    text = values.get(name)
    return None if text is None else int(text, 0)


def _address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
