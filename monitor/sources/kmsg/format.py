"""Decoder of kernel log records and of the packet lines in them: pure, strict, in linear time.

Record: `PRIORITY,SEQUENCE,TIMESTAMP_US,FLAGS[,...];MESSAGE` and continuation lines (kernel:
Documentation/ABI/testing/dev-kmsg). Packet line: what net/netfilter/nf_log_syslog.c prints for `LOG` and `log`.

A line must match the kernel's own grammar from `IN=` to its end. That is a defence: other kernel messages can quote
text that local users choose (mount options, device names), but not without something around it.
"""

import re
import socket
from itertools import product

import msgspec

from monitor.model.errors import MalformedRecord
from monitor.model.events import PacketLogged, QuotedPacket
from monitor.model.protocols import (
    PROTOCOL_AH,
    PROTOCOL_ESP,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    PROTOCOL_UDPLITE,
    TCP_FLAG_NAMES,
)

CAUSES = ("header", "truncated", "incomplete", "not_ip", "field")
"""Every cause a MalformedRecord of this module can carry: the record's header is no header; the line ends early; the
kernel wrote no whole transport header (the packet was cut short, or is ESP over IPv6); the packet is not IP; anything
else that the kernel would not write."""


class KmsgRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of /dev/kmsg; `message` is its first line, in which the kernel escaped non-printable bytes."""

    facility: int
    level: int
    sequence: int
    timestamp_us: int
    message: str


def parse_record(raw: bytes) -> KmsgRecord:
    """Split one record as read from /dev/kmsg; MalformedRecord('header') if it is none."""
    head, separator, message = raw.partition(b";")
    try:
        priority, sequence, timestamp_us, _ = head.split(b",", 3)
        if not separator or len(head) > 100:  # 100: int() of a longer digit string would cost quadratic time
            raise MalformedRecord("header")
        number = int(priority)
        return KmsgRecord(
            number >> 3,
            number & 7,
            int(sequence),
            int(timestamp_us),
            message.partition(b"\n")[0].decode("ascii", "backslashreplace"),
        )
    except ValueError:
        raise MalformedRecord("header") from None


_OPTIONS = r"(?:OPT \([0-9A-F]*\) )?"
_LINK = (
    r"(?:MAC=([0-9a-f:]*)(?: TUNNEL=[0-9.]+->[0-9.]+)? "
    r"|MACSRC=([0-9a-f:]{17}) MACDST=([0-9a-f:]{17}) (?:VPROTO=[0-9a-f]{4} VID=(\d{1,4}) )?MACPROTO=([0-9a-f]{4}) )?"
)
_IP = (
    r"SRC=([0-9a-f.:]{7,39}) DST=([0-9a-f.:]{7,39}) LEN=\d{1,10} (?:"
    r"TOS=0x[0-9A-F]{2} PREC=0x[0-9A-F]{2} TTL=\d{1,3} ID=\d{1,5} (?:CE )?(?:DF )?(?:MF )?(?:FRAG:\d{1,5} )?"
    + _OPTIONS
    + r"|TC=\d{1,3} HOPLIMIT=\d{1,3} FLOWLBL=\d{1,7} "
    r"(?:OPT \( |\) |FRAG:\d{1,5} |INCOMPLETE |ID:[0-9a-f]{8} |AH SPI=0x[0-9a-f]{1,8} )*)PROTO="
)
_TCP = (
    r"TCP SPT=(\d{1,5}) DPT=(\d{1,5}) (?:SEQ=\d{1,10} ACK=\d{1,10} )?WINDOW=\d{1,5} RES=0x[0-9a-f]{2} "
    r"((?:[A-Z]{2,3} )*)URGP=\d{1,5} " + _OPTIONS
)
_UDP = r"(UDP|UDPLITE) SPT=(\d{1,5}) DPT=(\d{1,5}) LEN=\d{1,5} "
_TRAILER = r"(?:UID=\d{1,10} GID=\d{1,10} )?(?:MARK=0x([0-9a-f]{1,8}) )?"

_packet = re.compile(
    r"IN=(\S*) OUT=(\S*) (?:PHYSIN=\S+ )?(?:PHYSOUT=\S+ )?" + _LINK + _IP + f"(?:(?:{_TCP}|{_UDP}){_TRAILER}|(.*))",
    re.ASCII,
).fullmatch
_quoted = re.compile(_IP + f"(?:{_TCP}|{_UDP}|(.*))", re.ASCII).fullmatch
_other = re.compile(
    r"(TCP|UDP|UDPLITE|ICMP|ICMPv6|AH|ESP|\d{1,3}) (INCOMPLETE \[\d{1,10} bytes\] )?"
    r"(?:TYPE=(\d{1,3}) CODE=(\d{1,3}) (?:INCOMPLETE \[\d{1,10} bytes\] )?(?:ID=\d{1,5} SEQ=\d{1,5} )?"
    r"(?:PARAMETER=\d{1,3} |POINTER=[0-9a-f]{8} )?(?:GATEWAY=[0-9.]{7,15} )?(?:\[(.*)\] )?(?:MTU=\d{1,10} )?)?"
    r"(?:SPI=0x[0-9a-f]{1,8} )?" + _TRAILER,
    re.ASCII,
).fullmatch

_NUMBERS = {
    "TCP": PROTOCOL_TCP,
    "UDP": PROTOCOL_UDP,
    "UDPLITE": PROTOCOL_UDPLITE,
    "ICMP": PROTOCOL_ICMP,
    "ICMPv6": PROTOCOL_ICMPV6,
    "AH": PROTOCOL_AH,
    "ESP": PROTOCOL_ESP,
}
_FLAG_NAMES = TCP_FLAG_NAMES[::-1]  # in the kernel's order, high bit first
_FLAGS = {
    "".join(f"{name} " for name, is_set in zip(_FLAG_NAMES, bits, strict=True) if is_set): int(
        "".join("01"[is_set] for is_set in bits), 2
    )
    for bits in product((False, True), repeat=len(_FLAG_NAMES))
}
_MAX_STARTS = 4


def is_packet_line(message: str) -> bool:
    """Whether the kernel's packet logger may have written this message: worth decoding."""
    return "IN=" in message and " OUT=" in message


def decode_packet(message: str, time_s: float) -> PacketLogged:
    """Decode one packet line into an event of this time; MalformedRecord with one of CAUSES if it is not one."""
    text = message if message.endswith(" ") else message + " "
    start = text.find("IN=")
    match = _packet(text, start) if start >= 0 else None
    attempts = 1
    while match is None and start >= 0 and attempts < _MAX_STARTS:  # the firewall's prefix may itself hold "IN="
        start = text.find("IN=", start + 1)
        match = _packet(text, start) if start >= 0 else None
        attempts += 1
    if match is None:
        raise MalformedRecord(_cause(message))
    (
        interface_in,
        interface_out,
        mac,
        mac_source,
        mac_destination,
        vlan_id,
        mac_protocol,
        source,
        destination,
        tcp_source,
        tcp_destination,
        flags,
        udp_name,
        udp_source,
        udp_destination,
        mark,
        rest,
    ) = match.groups()
    if mac_source is not None:
        mac = f"{mac_destination}:{mac_source}:{mac_protocol[:2]}:{mac_protocol[2:]}"
    try:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        head = (
            time_s,
            text[:start],
            interface_in,
            interface_out,
            socket.inet_pton(family, source),
            socket.inet_pton(family, destination),
        )
        if tcp_source is not None:
            ports = (PROTOCOL_TCP, _port(tcp_source), _port(tcp_destination), _FLAGS[flags])
        elif udp_source is not None:
            ports = (_NUMBERS[udp_name], _port(udp_source), _port(udp_destination), 0)
        else:
            event = _decode_other(head, rest, mac or "", vlan_id)
            if event is None:
                raise MalformedRecord(_cause(message))
            return event
    except (OSError, KeyError, ValueError):
        raise MalformedRecord("field") from None
    return PacketLogged(
        *head, *ports, mac or "", None, None, int(mark, 16) if mark else 0, int(vlan_id) if vlan_id else None
    )


def _decode_other(
    head: tuple[float, str, str, str, bytes, bytes], rest: str, mac: str, vlan_id: str | None
) -> PacketLogged | None:
    """Decode what follows `PROTO=` where it is neither a whole TCP nor a whole UDP header; None if it is nothing."""
    match = _other(rest)
    if match is None:
        return None
    name, incomplete, icmp_type, icmp_code, quoted, mark = match.groups()
    if incomplete:
        raise MalformedRecord("incomplete")
    return PacketLogged(
        *head,
        _protocol(name),
        mac=mac,
        icmp_type=_octet(icmp_type),
        icmp_code=_octet(icmp_code),
        mark=int(mark, 16) if mark else 0,
        vlan_id=int(vlan_id) if vlan_id else None,
        quoted=_decode_quoted(quoted) if quoted else None,
    )


def _decode_quoted(text: str) -> QuotedPacket | None:
    """Decode the packet inside an ICMP error's brackets; None where the kernel saw too little of it."""
    match = _quoted(text)
    if match is None:
        if text.endswith("TRUNCATED"):
            return None
        raise MalformedRecord("field", "quoted packet")
    source, destination, tcp_source, tcp_destination, _, udp_name, udp_source, udp_destination, rest = match.groups()
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(family, source), socket.inet_pton(family, destination)
    if tcp_source is not None:
        return QuotedPacket(*addresses, PROTOCOL_TCP, _port(tcp_source), _port(tcp_destination))
    if udp_source is not None:
        return QuotedPacket(*addresses, _NUMBERS[udp_name], _port(udp_source), _port(udp_destination))
    return QuotedPacket(*addresses, _protocol(rest.partition(" ")[0]))


def _port(text: str) -> int:
    number = int(text)
    if number > 0xFFFF:
        raise MalformedRecord("field", "port")
    return number


def _octet(text: str | None) -> int | None:
    if text is None:
        return None
    number = int(text)
    if number > 0xFF:
        raise MalformedRecord("field", "octet")
    return number


def _protocol(name: str) -> int:
    number = _NUMBERS.get(name)
    if number is None:
        number = _octet(name)
    if number is None:
        raise MalformedRecord("field", "protocol")
    return number


def _cause(text: str) -> str:
    """Say why a line that no pattern takes was refused."""
    if " INCOMPLETE [" in text or "TRUNCATED" in text or (" FLOWLBL=" in text and _ends_before_protocol(text)):
        return "incomplete"
    if " ARP HTYPE=" in text:
        return "not_ip"
    return "field" if text.endswith(" ") else "truncated"


def _ends_before_protocol(text: str) -> bool:
    return " PROTO=" not in text and text.endswith((" ", ")"))
