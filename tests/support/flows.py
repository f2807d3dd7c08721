"""Shorthand for flows in tests."""

from typing import Any

from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowEstablished, FlowIncomplete, FlowOpened
from monitor.model.protocols import PROTOCOL_TCP, STATUS_SEEN_REPLY, TCP_ESTABLISHED, TCP_SYN_SENT

CLIENT, NODE = "198.51.100.7", "192.0.2.1"


def flow(kind: type[Flow], source: str = CLIENT, port: int | None = 22, *, to: str = NODE, **more: Any) -> Flow:
    """Return a flow, by default TCP from a client to port 22 of the node, without translation, at 1000 s.

    `real_to` and `real_port` are the destination after NAT. An opening TCP flow starts with its first packet.
    """
    protocol = more.setdefault("protocol", PROTOCOL_TCP)
    if protocol == PROTOCOL_TCP and kind is FlowOpened:
        more.setdefault("state", TCP_SYN_SENT)
    elif protocol == PROTOCOL_TCP and kind is FlowEstablished:
        more = {"state": TCP_ESTABLISHED, "status": STATUS_SEEN_REPLY, **more}
    source_port = more.pop("source_port", 40_000)
    return kind(
        time_s=more.pop("time_s", 1000.0),
        namespace=more.pop("namespace", None),
        source=parse_address(source),
        destination=parse_address(to),
        source_port=source_port,
        destination_port=port,
        real_destination=parse_address(more.pop("real_to", to)),
        translated_source=parse_address(source),
        real_destination_port=more.pop("real_port", port),
        translated_source_port=source_port,
        **more,
    )


def handshakes(count: int, source: str = CLIENT, port: int = 22, **more: Any) -> list[Flow]:
    """Return `count` completed connections of one source, each a separate entry."""
    first = more.pop("id", 1)
    return [flow(FlowEstablished, source, port, id=number, **more) for number in range(first, first + count)]


def incomplete(source: str = CLIENT, port: int | None = 22, *, to: str = NODE, **more: Any) -> FlowIncomplete:
    """Return an incomplete attempt, by default a half-open TCP one."""
    fields = {"time_s": 1000.0, "protocol": PROTOCOL_TCP, **more}
    return FlowIncomplete(source=parse_address(source), destination=parse_address(to), destination_port=port, **fields)
