"""The fast reading of who is banned until when."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.enforcers.netlink import attribute, decode_elements
from monitor.enforcers.nftables.expiry import decode_ends
from monitor.model.errors import MalformedRecord


def element(address: bytes, remaining_ms: int | None, packets: int | None) -> bytes:
    """Return a list element as the kernel writes it: key, counter, timeout, expiration."""
    parts = attribute(1, attribute(1, address), nested=True)
    if packets is not None:
        counts = attribute(1, struct.pack(">Q", 7)) + attribute(2, struct.pack(">Q", packets))
        parts += attribute(7, attribute(1, b"counter\0") + attribute(2, counts, nested=True), nested=True)
    if remaining_ms is not None:
        parts += attribute(4, struct.pack(">Q", 99)) + attribute(5, struct.pack(">Q", remaining_ms))
    return attribute(1, parts, nested=True)


elements = st.lists(
    st.tuples(
        st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)),
        st.one_of(st.none(), st.integers(0, 2**63)),
        st.one_of(st.none(), st.integers(0, 2**63)),
    ),
    max_size=20,
    unique_by=lambda one: one[0],
)


@given(elements)
def test_agrees_with_the_careful_decoder(some: list[tuple[bytes, int | None, int | None]]) -> None:
    """Whatever mix of elements comes, keys and ends are those of the attribute walk."""
    body = bytes(4) + attribute(3, b"".join(element(*one) for one in some), nested=True)
    found: dict[bytes, int | None] = {}
    decode_ends(body, found)
    assert found == {raw.key: raw.remaining_ms for raw in decode_elements(body)} == {a: ms for a, ms, _ in some}


@given(elements, st.integers(0, 400), st.binary(max_size=8))
def test_damaged_bodies_raise_nothing_else(
    some: list[tuple[bytes, int | None, int | None]], at: int, garbage: bytes
) -> None:
    """Cut and overwritten bodies are decoded or malformed."""
    body = bytes(4) + attribute(3, b"".join(element(*one) for one in some), nested=True)
    at %= len(body)
    try:
        decode_ends(body[:at] + garbage + body[at + len(garbage) :], {})
    except MalformedRecord as error:
        assert error.cause == "netlink"


@pytest.mark.parametrize("body", [b"", bytes(4), bytes(4) + attribute(2, b"ban4\0")])
def test_a_body_without_elements_has_none(body: bytes) -> None:
    """Nothing comes of nothing."""
    found: dict[bytes, int | None] = {}
    decode_ends(body, found)
    assert found == {}
