"""ctnetlink messages: entries read from where the kernel writes them, and deletes that can only mean one entry."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.enforcers.conntrack.messages import Direction, decode_entry, delete_entry, list_from
from monitor.enforcers.netlink import attribute, attributes

ADDRESSES = st.one_of(
    st.tuples(*[st.binary(min_size=4, max_size=4)] * 2), st.tuples(*[st.binary(min_size=16, max_size=16)] * 2)
)
PROTOCOL = attribute(2, attribute(1, b"\x06") + attribute(2, b"\x01\xbb") + attribute(3, b"\x04\x00"), nested=True)


def _entry(source: bytes, other: bytes) -> bytes:
    """Build an entry as the kernel lists it."""
    first = 1 if len(source) == 4 else 3

    def tuple_of(kind: int, near: bytes, far: bytes) -> bytes:
        ip = attribute(1, attribute(first, near) + attribute(first + 1, far), nested=True)
        return attribute(kind, ip + PROTOCOL, nested=True)

    tuples = tuple_of(1, source, other) + tuple_of(2, other, source)
    rest = attribute(3, bytes(4)) + attribute(12, b"\x01\x02\x03\x04") + attribute(18, b"\0\x07")
    return bytes([2 if len(source) == 4 else 10, 0, 0, 0]) + tuples + rest


@settings(deadline=None)
@given(ADDRESSES)
def test_an_entry_is_known_by_either_source(addresses: tuple[bytes, bytes]) -> None:
    """Original source and reply source are both asked about; what is not wanted is no entry."""
    source, other = addresses
    for wanted in addresses:
        entry = decode_entry(_entry(source, other), wanted.__eq__)
        assert entry is not None
        assert entry.source == source
    assert decode_entry(_entry(source, other), lambda _: False) is None


@settings(deadline=None)
@given(ADDRESSES)
def test_a_delete_names_the_whole_tuple_the_zone_and_the_number(addresses: tuple[bytes, bytes]) -> None:
    """Without a tuple a delete would be a flush: it is always there, with addresses and ports."""
    entry = decode_entry(_entry(*addresses), lambda _: True)
    assert entry is not None
    fields = dict(attributes(delete_entry(entry).body, 4))
    assert set(fields) == {1, 12, 18}
    assert (fields[12], fields[18]) == (b"\x01\x02\x03\x04", b"\0\x07")
    assert set(dict(attributes(fields[1]))) == {1, 2}


def test_a_filtered_listing_asks_for_one_source_of_one_direction() -> None:
    """The tuple holds just the address, the flags say which direction it is compared in."""
    for direction, flags in ((Direction.ORIGINAL, [1, 0]), (Direction.REPLY, [0, 1])):
        fields = dict(attributes(list_from(bytes([192, 0, 2, 1]), direction).body, 4))
        assert set(fields) == {int(direction), 25}
        assert [struct.unpack("=I", payload)[0] for _, payload in attributes(fields[25])] == flags


@settings(deadline=None)
@given(st.binary(max_size=120), st.integers(0, 120))
def test_arbitrary_and_cut_bytes_are_no_entry_or_one(data: bytes, length: int) -> None:
    """Whatever arrives, nothing is raised."""
    decode_entry(data, lambda _: True)
    decode_entry(_entry(bytes(4), bytes(4))[:length], lambda _: True)
    decode_entry(_entry(bytes(16), bytes(16))[:length] + data, lambda _: True)
