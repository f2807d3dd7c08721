"""Reads formats/expected.yaml as events, without the decoder that it is compared with."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from monitor.model.events import PacketLogged, QuotedPacket
from monitor.sources.kmsg.format import decode_packet, parse_record
from tests.support.corpus.scenario import CORPUS

_PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "tcp": 6,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "no_next_header": 59,
    "sctp": 132,
    "udplite": 136,
}
_FLAG_BITS = {
    "FIN": 0x001,
    "SYN": 0x002,
    "RST": 0x004,
    "PSH": 0x008,
    "ACK": 0x010,
    "URG": 0x020,
    "ECE": 0x040,
    "CWR": 0x080,
    "AE": 0x100,
}


@functools.cache
def expected_formats() -> dict[str, list[PacketLogged | str]]:
    """Return by name the content of each line: an event (at time 0), or the cause of its refusal."""
    document = yaml.safe_load((CORPUS / "formats" / "expected.yaml").read_text(encoding="utf-8"))
    return {
        name: [_expected(form["prefix"], line) for line in form["lines"]]
        for name, form in document.items()
        if not name.startswith(".")
    }


def decoded(lines: Sequence[bytes]) -> list[PacketLogged | str]:
    """Return the result of the decoder for each line, in the same form."""
    return [_decoded(line) for line in lines]


def _decoded(line: bytes) -> PacketLogged | str:
    try:
        return decode_packet(parse_record(line).message, 0.0)
    except MalformedRecord as error:
        return error.cause


def _expected(prefix: str, line: Mapping[str, Any]) -> PacketLogged | str:
    if "refused" in line:
        return str(line["refused"])
    rest = dict(line)
    quoted = rest.pop("quoted", None)
    flags = rest.pop("tcp_flags", "").split()
    return PacketLogged(
        time_s=0.0,
        prefix=prefix,
        interface_in=rest.pop("interface_in", ""),
        interface_out=rest.pop("interface_out", ""),
        tcp_flags=sum(_FLAG_BITS[flag] for flag in flags),
        quoted=QuotedPacket(**_resolved(quoted)) if quoted else None,
        **_resolved(rest),
    )


def _resolved(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **fields,
        "source": parse_address(fields["source"]),
        "destination": parse_address(fields["destination"]),
        "protocol": _PROTOCOLS[fields["protocol"]],
    }
