"""Frames of probes and what comes back."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.kernel.frames import number_of_datagram, probe, read_frame
from monitor.audit.kernel.netlink import attributes
from monitor.audit.reach import Protocol

_MAC = bytes.fromhex("020000000002")
_PAIRS = {False: ("192.0.2.1", "198.51.100.2"), True: ("2001:db8::1", "2001:db8::2")}


def _frame(number: int, protocol: Protocol, *, is_v6: bool) -> bytes:
    family = socket.AF_INET6 if is_v6 else socket.AF_INET
    source, target = (socket.inet_pton(family, one) for one in _PAIRS[is_v6])
    return probe(number, _MAC, protocol, source, target, 443)


def _sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("is_v6", [False, True])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_probe_that_leaves_again_is_known_by_its_number(protocol: Protocol, is_v6: bool) -> None:
    """It says to where it goes, and its checksums are right."""
    for number in (0, 1, 77, 20_000 * 60):
        frame = _frame(number, protocol, is_v6=is_v6)
        assert read_frame(frame) == (number, "left", _PAIRS[is_v6][1], 443)
        packet = frame[14:]
        addresses, body = (packet[8:40], packet[40:]) if is_v6 else (packet[12:20], packet[20:])
        kind = 6 if protocol == "tcp" else 17
        assert _sum(addresses + struct.pack("!II", len(body), kind) + body + b"\0" * (len(body) % 2)) == 0xFFFF
        assert is_v6 or _sum(packet[:20]) == 0xFFFF


@pytest.mark.parametrize("is_v6", [False, True])
def test_answers_carry_the_number(is_v6: bool) -> None:
    """A SYN-ACK and a reset acknowledge it, and an ICMP error quotes it."""
    frame = _frame(99, "tcp", is_v6=is_v6)
    at = 54 if is_v6 else 34
    acknowledged = struct.pack("!I", struct.unpack("!I", frame[at + 4 : at + 8])[0] + 1)
    for flags, kind in ((0x12, "answered"), (0x14, "reset"), (0x04, "reset")):
        answer = frame[: at + 8] + acknowledged + bytes([frame[at + 12], flags]) + frame[at + 14 :]
        seen = read_frame(answer)
        assert seen is not None
        assert (seen.number, seen.kind) == (99, kind)
    protocols: tuple[Protocol, ...] = ("tcp", "udp")
    for protocol in protocols:
        quoted = _frame(5, protocol, is_v6=is_v6)[14:]
        error = bytes([1 if is_v6 else 3, 1]) + bytes(6) + quoted
        head = bytearray(frame[:at])
        head[14 + (6 if is_v6 else 9)] = 58 if is_v6 else 1
        seen = read_frame(bytes(head) + error)
        assert seen is not None
        assert (seen.number, seen.kind) == (5, "refused")


@given(st.binary(max_size=200), st.sampled_from([b"\x08\x00", b"\x86\xdd"]))
def test_any_frame_is_read_or_skipped(data: bytes, ether: bytes) -> None:
    """Nothing that comes over an interface ends the audit."""
    read_frame(data)
    read_frame(_MAC + _MAC + ether + data)
    number_of_datagram(data)
    attributes(data)
