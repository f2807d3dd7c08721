"""The decoder of kernel log records and packet lines."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from monitor.model.events import QuotedPacket
from monitor.model.protocols import TCP_ACK, TCP_FIN, TCP_PSH, TCP_SYN, TCP_URG
from monitor.sources.kmsg.format import CAUSES, decode_packet, is_packet_line, parse_record

IP4 = "SRC=192.0.2.7 DST=198.51.100.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=12345 DF "
IP6 = (
    "SRC=2001:0db8:0000:0000:0000:0000:0000:0007 DST=2001:0db8:0000:0000:0000:0000:0000:0002 "
    "LEN=60 TC=0 HOPLIMIT=63 FLOWLBL=54321 "
)
MAC = "MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00 "
TCP = "PROTO=TCP SPT=51234 DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0 "
SYN4 = f"IN=eth0 OUT= {MAC}{IP4}{TCP}"


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "[UFW BLOCK] ",
        "FINAL_REJECT: ",
        "calico-packet: ",
        "DROP by policy default/web ",
        "iptables denied: ",
        "IN= ",
        "the IN= OUT= rule ",
    ],
)
def test_any_prefix_is_kept(prefix: str) -> None:
    """What stands before the kernel's first field is the firewall's prefix, even if it looks like a field."""
    event = decode_packet(prefix + SYN4, 5.0)
    assert event.prefix == prefix
    assert (event.source, event.destination_port, event.tcp_flags) == (parse_address("192.0.2.7"), 22, TCP_SYN)


def test_tcp_over_ipv4() -> None:
    """Every field of a plain TCP line is where it belongs."""
    event = decode_packet("x " + SYN4, 5.0)
    assert (event.time_s, event.interface_in, event.interface_out) == (5.0, "eth0", "")
    assert event.mac == "02:42:ac:11:00:02:02:42:ac:11:00:03:08:00"
    assert (event.destination, event.protocol, event.source_port) == (parse_address("198.51.100.2"), 6, 51234)


def test_forwarded_udp_over_ipv6_with_mark() -> None:
    """A FORWARD line has both interfaces; the mark is hexadecimal."""
    event = decode_packet(f"IN=eth0 OUT=cni0 {IP6}PROTO=UDP SPT=53 DPT=4444 LEN=40 MARK=0x1f ", 0.0)
    assert (event.interface_in, event.interface_out) == ("eth0", "cni0")
    assert (event.source, event.protocol, event.mark) == (parse_address("2001:db8::7"), 17, 0x1F)


def test_all_flags_of_the_rule() -> None:
    """`log flags all` adds decoded MACs, VLAN, sequence numbers, options and the user; the ports stay right."""
    line = (
        f"p IN=eth0.7 OUT= MACSRC=02:42:ac:11:00:03 MACDST=01:42:ac:11:00:02 VPROTO=8100 VID=7 MACPROTO=0800 {IP4}"
        "PROTO=TCP SPT=1 DPT=65535 SEQ=4294967295 ACK=0 WINDOW=0 RES=0x00 URG PSH FIN URGP=9 OPT (020405B4) "
        "UID=1000 GID=1000 MARK=0x1 "
    )
    event = decode_packet(line, 0.0)
    assert event.mac == "01:42:ac:11:00:02:02:42:ac:11:00:03:08:00"
    assert (event.vlan_id, event.tcp_flags, event.destination_port) == (7, TCP_URG | TCP_PSH | TCP_FIN, 65535)


def test_icmp_error_with_the_packet_it_quotes() -> None:
    """The quoted packet is decoded apart: its addresses are never the source of the event."""
    line = (
        "IN=eth0 OUT= MAC= SRC=203.0.113.9 DST=198.51.100.2 LEN=84 TOS=0x00 PREC=0xC0 TTL=64 ID=7 PROTO=ICMP TYPE=3 "
        "CODE=4 [SRC=198.51.100.2 DST=192.0.2.7 LEN=1500 TOS=0x00 PREC=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=443 "
        "DPT=50000 WINDOW=501 RES=0x00 ACK URGP=0 ] MTU=1400 "
    )
    event = decode_packet(line, 0.0)
    assert (event.source, event.icmp_type, event.icmp_code) == (parse_address("203.0.113.9"), 3, 4)
    assert event.destination_port is None
    assert event.quoted == QuotedPacket(parse_address("198.51.100.2"), parse_address("192.0.2.7"), 6, 443, 50000)


@pytest.mark.parametrize(
    ("tail", "protocol"),
    [
        ("PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=1 ", 1),
        ("PROTO=2 ", 2),
        ("PROTO=TCP ", 6),
        ("PROTO=132 MARK=0x2 ", 132),
        ("PROTO=ESP SPI=0xdeadbeef ", 50),
        ("PROTO=UDPLITE SPT=1 DPT=2 LEN=9 ", 136),
    ],
)
def test_other_protocols(tail: str, protocol: int) -> None:
    """Ping, IGMP, fragments, SCTP, ESP and UDP-Lite decode; what has no ports says so."""
    event = decode_packet(f"IN=eth0 OUT= MAC= {IP4}FRAG:64 {tail}".replace("FRAG:64 PROTO=UDPL", "PROTO=UDPL"), 0.0)
    assert event.protocol == protocol
    assert (event.destination_port is None) == (protocol != 136)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (SYN4[:40], "truncated"),
        (SYN4[:120], "truncated"),
        (SYN4[:-18], "truncated"),
        (SYN4.replace("PROTO=TCP SPT=51234 DPT=22", "PROTO=TCP SPT=51234 DPT="), "field"),
        (SYN4.replace("192.0.2.7", "192.0.2.777"), "field"),
        (SYN4.replace("DPT=22", "DPT=65536"), "field"),
        (SYN4.replace("SYN ", "SYN FIN "), None),
        (SYN4.replace("SYN ", "FIN SYN "), "field"),
        (SYN4.replace("SYN ", "XYZ "), "field"),
        (f"IN=eth0 OUT= MAC= {IP4}PROTO=TCP INCOMPLETE [8 bytes] ", "incomplete"),
        ("IN=eth0 OUT= MAC= TRUNCATED", "incomplete"),
        ("IN=eth0 OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=1 ", "not_ip"),
        (SYN4 + "'", "truncated"),
        (SYN4 + "SRC=9.9.9.9 ", "field"),
    ],
)
def test_what_the_kernel_would_not_write_is_refused(line: str, cause: str | None) -> None:
    """Truncated, incomplete, non-IP and impossible lines are malformed, each by its cause."""
    if cause is None:
        decode_packet(line, 0.0)
        return
    with pytest.raises(MalformedRecord) as caught:
        decode_packet(line, 0.0)
    assert caught.value.cause == cause


def test_text_quoted_in_another_kernel_message_is_no_packet() -> None:
    """A user who mounts with a forged line as its option makes the kernel quote it, and that is refused."""
    forged = f"tmpfs: Unknown parameter '{SYN4}'"
    assert is_packet_line(forged)
    with pytest.raises(MalformedRecord):
        decode_packet(forged, 0.0)


def test_a_hostile_interface_name_is_only_a_name() -> None:
    """Interfaces can be named SRC=1.1.1.1; the source is still the one the kernel wrote."""
    event = decode_packet(SYN4.replace("IN=eth0", "IN=SRC=1.1.1.1"), 0.0)
    assert (event.interface_in, event.source) == ("SRC=1.1.1.1", parse_address("192.0.2.7"))


def test_record_header() -> None:
    """Priority splits into facility and level; later header fields and continuation lines are passed over."""
    record = parse_record(b"12,339,5140900,-,caller=T1;hello \\xc3\n SUBSYSTEM=net\n")
    assert (record.facility, record.level, record.sequence, record.timestamp_us) == (1, 4, 339, 5140900)
    assert record.message == "hello \\xc3"


@pytest.mark.parametrize("raw", [b"", b";", b"4,1;x", b"a,b,c,-;x", b"4,1,2,-", b"9" * 5000 + b",1,1,-;x"])
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    """A header that is none is malformed, whatever its length."""
    with pytest.raises(MalformedRecord, match="header"):
        parse_record(raw)


LINES = [
    "drop: " + SYN4,
    f"IN=eth0 OUT=eth1 {IP6}PROTO=UDP SPT=53 DPT=4444 LEN=40 MARK=0x1f ",
    f"IN=eth0 OUT= MAC= {IP4}PROTO=ICMP TYPE=3 CODE=3 [{IP4}PROTO=UDP SPT=1 DPT=2 LEN=8 ] ",
    f"IN=eth0 OUT= MAC= {IP6}PROTO=ICMPv6 TYPE=1 CODE=4 [{IP6}{TCP}] ",
]
mutated = st.builds(
    lambda line, at, cut, insert: line[: at % len(line)] + insert + line[at % len(line) + cut :],
    st.sampled_from(LINES),
    st.integers(0, 400),
    st.integers(0, 12),
    st.text(max_size=12) | st.sampled_from(["IN=", " OUT=", "SRC=8.8.8.8 ", "[", "] ", "PROTO=", "9" * 30, "\0", "\n"]),
)


@settings(max_examples=2000)
@given(mutated)
@example("IN=" * 300 + " OUT= ")
def test_mutated_lines_decode_or_are_malformed(line: str) -> None:
    """No mutation raises anything but MalformedRecord, and no address is reported that the line does not hold."""
    try:
        event = decode_packet(line, 1.0)
    except MalformedRecord as error:
        assert error.cause in CAUSES
        return
    sources = re.findall(r"SRC=([0-9a-f.:]+)", line)
    assert event.source in {parse_address(text) for text in sources if _is_address(text)}
    assert event.destination_port is None or 0 <= event.destination_port <= 0xFFFF
    assert not event.tcp_flags & TCP_ACK or "ACK " in line


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_malformed(raw: bytes) -> None:
    """Whatever /dev/kmsg may hand out, the header parser raises nothing but MalformedRecord."""
    try:
        parse_record(raw)
    except MalformedRecord as error:
        assert error.cause == "header"
