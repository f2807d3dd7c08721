"""Notices of nf_tables: which are looked at, and what arbitrary bytes do."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.enforcers.netlink import ElementEncoder, attribute, decode_elements, encode_key
from monitor.enforcers.nftables.notices import (
    NEW_ELEMENTS,
    NEW_GENERATION,
    ChangeAuthor,
    decode_author,
    decode_set_name,
    notices,
)
from monitor.model.errors import MalformedRecord

OURS, THEIRS = 77, 4242


def _message(kind: int, body: bytes, port: int = THEIRS) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, port) + body


def _element(table: str, family: int = 1) -> bytes:
    body = ElementEncoder(table, "ban4").request(NEW_ELEMENTS, encode_key(bytes([192, 0, 2, 1]))).body
    return bytes([family]) + body[1:]


GENERATION = bytes(4) + attribute(2, (99).to_bytes(4)) + attribute(3, b"nft\0")


def test_what_others_did_to_our_table_is_found_among_other_messages() -> None:
    """Other tables, other families, names that only begin like ours and our own ports are skipped."""
    datagram = b"".join([
        _message(NEW_ELEMENTS, _element("other")),
        _message(NEW_ELEMENTS, _element("nodewarden2")),
        _message(NEW_ELEMENTS, _element("nodewarden", family=2)),
        _message(NEW_ELEMENTS, _element("nodewarden"), port=OURS),
        _message(NEW_ELEMENTS, _element("nodewarden")),
        _message(NEW_GENERATION, GENERATION),
    ])  # fmt: skip
    element, end = notices(datagram, {OURS}, with_ends=False)
    assert decode_set_name(element.body) == "ban4"
    assert [raw.key for raw in decode_elements(element.body)] == [bytes([192, 0, 2, 1])]
    assert (end.type, decode_author(end.body)) == (NEW_GENERATION, ChangeAuthor("nft", 99))
    assert str(decode_author(end.body)) == "nft (pid 99)"


def test_the_end_of_a_transaction_is_looked_for_only_when_one_is_open() -> None:
    """A datagram that does not name our table is skipped whole, unless it can hold the end of what began before."""
    datagram = _message(NEW_GENERATION, GENERATION)
    assert list(notices(datagram, set(), with_ends=False)) == []
    assert len(list(notices(datagram, set(), with_ends=True))) == 1
    assert list(notices(datagram, {THEIRS}, with_ends=True)) == []


def test_a_name_that_a_terminal_would_obey_is_made_harmless() -> None:
    """A process chooses its name: it gets into log, `list` and `why` without control characters."""
    body = bytes(4) + attribute(2, (7).to_bytes(4)) + attribute(3, "n\x1b]0;\na\u202e".encode() + b"\0")
    assert str(decode_author(body)) == "n?]0;?a??? (pid 7)"


def test_a_kernel_that_does_not_say_who_is_no_error() -> None:
    """Kernels before 4.20 name no process."""
    assert decode_author(bytes(4) + attribute(1, bytes(4))) is None


@pytest.mark.parametrize("with_ends", [False, True])
@settings(deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda b: _message(NEW_ELEMENTS, b))))
def test_arbitrary_bytes_raise_nothing_but_malformed_record(data: bytes, *, with_ends: bool) -> None:
    """Whatever arrives, it is read or refused as malformed."""
    try:
        for notice in notices(data + _element("nodewarden"), set(), with_ends=with_ends):
            decode_author(notice.body)
            decode_set_name(notice.body)
    except MalformedRecord as error:
        assert error.cause == "netlink"
