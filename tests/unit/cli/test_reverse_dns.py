"""What addresses claim to be called: real questions to a real server on loopback, which may answer anything."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.cli.enrichment import dns_message, reverse_dns
from monitor.cli.enrichment.reverse_dns import Claim, ReverseNames, servers_of
from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from tests.support.dns_server import SILENT, dns_server, named, record, reply, wire

_ADDRESS = parse_address("192.0.2.1")
_REVERSE = dns_message.reverse_name(_ADDRESS)
_NAME = wire(b"mail", b"example", b"org")


def test_names_of_both_families_are_those_of_the_standards() -> None:
    """RFC 1035 section 3.5, RFC 3596 section 2.5."""
    assert dns_message.as_text(_REVERSE) == "1.2.0.192.in-addr.arpa"
    nibbles = "1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa"
    assert dns_message.as_text(dns_message.reverse_name(parse_address("2001:db8::1"))) == nibbles


def test_a_claim_is_confirmed_by_the_name_itself() -> None:
    """The holder of the address chooses the name; that of the name says whether it is so."""
    other = parse_address("192.0.2.2")
    nameless = parse_address("192.0.2.3")
    names = {_REVERSE: _NAME, dns_message.reverse_name(other): _NAME}
    with dns_server(named(names, {_NAME: _ADDRESS})) as server:
        found = ReverseNames([server]).claims([_ADDRESS, other, nameless, _ADDRESS])
    assert found == {
        _ADDRESS: Claim("mail.example.org", True),
        other: Claim("mail.example.org", False),
        nameless: Claim(""),
    }


def test_aliases_are_followed() -> None:
    """Parts of a network smaller than 256 addresses are delegated by them (RFC 2317)."""
    alias = wire(b"1", b"0-15", b"2", b"0", b"192", b"in-addr", b"arpa")
    packet = dns_message.query(7, _REVERSE, dns_message.PTR)
    answer = reply(packet, record(_REVERSE, dns_message.CNAME, alias), record(alias, dns_message.PTR, _NAME))
    assert dns_message.answer(answer, 7, _REVERSE, dns_message.PTR).found == [_NAME]


def test_hostile_names_are_shown_in_ascii() -> None:
    """A label may hold any bytes: control characters, dots, marks of direction."""
    hostile = wire(b"\x1b[2J\n", b"a.b", "\u202e".encode(), b"\xff" * 60)
    with dns_server(named({_REVERSE: hostile}, {})) as server:
        name = ReverseNames([server]).claims([_ADDRESS])[_ADDRESS].name
    assert name is not None
    assert name.startswith("\\027\\0912J\\010.a\\046b.\\226\\128\\174.\\255\\255")
    assert name.replace("…", "").isascii()
    assert len(name) == 256


def test_a_silent_server_costs_the_time_and_no_more() -> None:
    """All addresses share it; those that come later are not asked for."""
    with dns_server(lambda *_: SILENT) as server:
        names = ReverseNames([server], time_s=0.2)
        start_s = time.monotonic()
        assert names.claims([_ADDRESS, parse_address("192.0.2.2")])[_ADDRESS] == Claim()
        assert names.claims([parse_address("192.0.2.3")]) == {}
        assert time.monotonic() - start_s < 60
    assert (names.unanswered, names.not_asked) == (2, 1)


def test_no_more_addresses_are_asked_for_than_allowed() -> None:
    """A list may have a hundred thousand."""
    with dns_server(named({}, {})) as server:
        names = ReverseNames([server], most=2)
        found = names.claims(parse_address(f"192.0.2.{last}") for last in range(5))
    assert (len(found), names.not_asked) == (2, 3)


@pytest.mark.parametrize("code", [2, 5])
def test_a_server_that_refuses_is_no_name_that_does_not_exist(code: int) -> None:
    """The next server is asked; if none says, nothing is known."""
    with dns_server(lambda question, *_: reply(question, code=code)) as refusing, dns_server(named({}, {})) as second:
        assert ReverseNames([refusing]).claims([_ADDRESS])[_ADDRESS] == Claim()
        assert ReverseNames([refusing, second]).claims([_ADDRESS])[_ADDRESS] == Claim("")


def test_a_closed_port_is_passed_over() -> None:
    """The kernel reports it at once."""
    with dns_server(named({}, {})) as gone:
        pass
    with dns_server(named({_REVERSE: _NAME}, {})) as server:
        assert ReverseNames([gone, server]).claims([_ADDRESS])[_ADDRESS].name == "mail.example.org"


def test_a_forged_answer_is_passed_over() -> None:
    """Another number, another question, no answer at all: what else arrives does not count."""
    question = dns_message.query(7, _REVERSE, dns_message.PTR)
    right = reply(question, record(_REVERSE, dns_message.PTR, _NAME))
    for packet in (
        b"",
        b"\0\0" + right[2:],
        question,
        right[:-3],
        reply(dns_message.query(7, _NAME, dns_message.PTR)),
        reply(dns_message.query(7, _REVERSE, dns_message.A)),
        reply(question, record(_REVERSE, dns_message.PTR, b"\xc0\xff")),
        reply(question, record(_REVERSE, dns_message.PTR, b"\x80abc")),
        reply(question, record((b"\x3f" + b"a" * 63) * 4 + b"\0", dns_message.PTR, _NAME)),
    ):
        with pytest.raises(MalformedRecord):
            dns_message.answer(packet, 7, _REVERSE, dns_message.PTR)
    assert dns_message.answer(right, 7, _REVERSE, dns_message.PTR).found == [_NAME]


@given(st.binary(max_size=300))
def test_any_packet_is_an_answer_or_malformed(rest: bytes) -> None:
    """Names that point at themselves, records longer than the packet, numbers that promise more than there is."""
    question = dns_message.query(7, _REVERSE, dns_message.PTR)
    for packet in (rest, reply(question, rest), reply(question, record(_REVERSE, dns_message.PTR, rest))):
        try:
            found = dns_message.answer(packet, 7, _REVERSE, dns_message.PTR).found
        except MalformedRecord:
            continue
        assert all(len(name) <= 256 for name in found)
        assert all(dns_message.as_text(name).rstrip("…").isascii() for name in found)


def test_servers_are_those_of_the_system(tmp_path: Path) -> None:
    """At most three, as the system's resolver uses; the local one if there is no file."""
    file = tmp_path / "resolv.conf"
    file.write_text("".join(f"nameserver 192.0.2.{last}\n" for last in range(5)) + "nameserver x\n")
    assert servers_of(file) == [("192.0.2.0", 53), ("192.0.2.1", 53), ("192.0.2.2", 53)]
    assert servers_of(tmp_path / "missing") == [("127.0.0.1", 53)]
    assert reverse_dns.TIME_S <= 2
