"""The encoder against a decoder written apart from it, and the decoder against arbitrary bytes."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.enforcers import netlink
from monitor.enforcers.nftables import listing
from monitor.model.addresses import Network, network_of, parse_network
from monitor.model.errors import MalformedRecord

NETWORKS4 = st.builds(network_of, st.binary(min_size=4, max_size=4), st.integers(0, 32))
NETWORKS = st.one_of(
    NETWORKS4,
    st.builds(network_of, st.binary(min_size=16, max_size=16), st.integers(0, 128)),
)


def _tree(data: bytes) -> list[tuple[int, object]]:
    """Read attributes by the book: nested ones, by their flag, become lists."""
    result: list[tuple[int, object]] = []
    while data:
        size, kind = struct.unpack("=HH", data[:4])
        payload = data[4:size]
        result.append((kind & 0x3FFF, _tree(payload) if kind & 0x8000 else payload))
        data = data[(size + 3) // 4 * 4 :]
    return result


def test_one_address_with_a_timeout_is_encoded_as_the_header_says() -> None:
    """A hash set's element message holds table, set, timeout in big-endian milliseconds and key."""
    encoder = netlink.ElementEncoder("nodewarden", "ban4")
    element = netlink.encode_element(parse_network("192.0.2.1"), interval=False, timeout_ms=300_000)
    batch = netlink.encode_batch([encoder.request(netlink.NEW_ELEMENTS, element)], 41)
    begin, message, end = netlink.decode_replies(batch)
    assert (begin.type, begin.sequence, begin.body) == (0x10, 41, b"\0\0\0\x0a")
    assert (end.type, end.sequence) == (0x11, 43)
    assert (message.type, message.flags, message.sequence) == (0x0A0C, 0x1 | 0x400 | 0x4, 42)
    assert message.body[:4] == b"\x01\0\0\0"
    assert _tree(message.body[4:]) == [
        (1, b"nodewarden\0"),
        (2, b"ban4\0"),
        (3, [(1, [(4, (300_000).to_bytes(8)), (1, [(1, bytes([192, 0, 2, 1]))])])]),
    ]


def test_a_prefix_is_a_start_and_the_first_address_after_it() -> None:
    """Interval sets get two elements, the second flagged as an end and without a timeout."""
    encoded = netlink.encode_element(parse_network("2001:db8::/32"), interval=True, timeout_ms=1)
    start, end = _tree(encoded)
    assert start == (1, [(4, (1).to_bytes(8)), (1, [(1, bytes.fromhex("20010db8") + bytes(12))])])
    assert end == (1, [(3, (1).to_bytes(4)), (1, [(1, bytes.fromhex("20010db9") + bytes(12))])])


@pytest.mark.parametrize("text", ["0.0.0.0/0", "240.0.0.0/4", "255.255.255.255", "::/0", "ff00::/8"])
def test_a_prefix_that_reaches_the_top_has_no_end(text: str) -> None:
    """No address follows the last one, so such intervals stay open."""
    network = parse_network(text)
    assert netlink.interval_end(network) is None
    assert len(_tree(netlink.encode_element(network, interval=True))) == 1


@settings(deadline=None)  # a busy machine is no fault
@given(NETWORKS)
def test_an_interval_ends_right_after_the_last_address(network: Network) -> None:
    """The end, where there is one, is the last address plus one; without one the last address is all ones."""
    end = netlink.interval_end(network)
    if end is None:
        assert set(network.last()) == {0xFF}
    else:
        assert int.from_bytes(end) == int.from_bytes(network.last()) + 1


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(NETWORKS, max_size=8), st.integers(0, 2**64 - 1))
def test_what_is_encoded_is_read_back(networks: list[Network], timeout_ms: int) -> None:
    """Our decoder and the independent one agree on what the encoder wrote."""
    for network in networks:
        element = netlink.encode_element(network, interval=True, timeout_ms=timeout_ms)
        request = netlink.ElementEncoder("t", "s").request(netlink.NEW_ELEMENTS, element)
        raw = netlink.decode_elements(request.body)
        assert raw[0].key == network.address
        assert raw[0].remaining_ms == timeout_ms
        assert [n for n, _ in listing.pair_intervals(raw)] == [network]
        assert _tree(request.body[4:])[2] == (3, _tree(element))


@settings(deadline=None)  # a busy machine is no fault
@given(st.lists(NETWORKS4, max_size=50))
def test_packing_loses_no_element_and_keeps_the_limit(networks: list[Network]) -> None:
    """Many elements go into few messages, none above the byte limit and in the order given."""
    encoded = [netlink.encode_element(network, interval=True) for network in networks]
    requests = list(netlink.ElementEncoder("t", "s").requests(netlink.NEW_ELEMENTS, encoded, limit_bytes=200))
    keys = [e.key for request in requests for e in netlink.decode_elements(request.body) if not e.is_end]
    assert keys == [network.address for network in networks]
    assert all(netlink.encoded_bytes(request) <= 200 + 16 + 4 + 16 + 4 for request in requests)


def test_an_attribute_that_cannot_say_its_length_is_refused() -> None:
    """A length that does not fit 16 bits is an error, not a silent wrap."""
    with pytest.raises(ValueError, match="16-bit"):
        netlink.attribute(1, bytes(65532))


def test_a_short_error_is_malformed() -> None:
    """An NLMSG_ERROR without its number is told apart from an acknowledgement."""
    assert netlink.decode_error(struct.pack("=i", -17)) == 17
    with pytest.raises(MalformedRecord):
        netlink.decode_error(b"\0\0")


def _datagram(data: bytes) -> None:
    for reply in netlink.decode_replies(data):
        netlink.decode_elements(reply.body)


DECODERS: list[Callable[[bytes], object]] = [
    _datagram,
    netlink.decode_elements,
    netlink.decode_counter,
    netlink.decode_set,
    netlink.decode_table_userdata,
    netlink.decode_error,
]


def _attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


TREES = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(st.builds(_attribute, st.integers(0, 12), inner), max_size=4).map(b"".join),
    max_leaves=12,
)


@pytest.mark.parametrize("decode", DECODERS)
@settings(deadline=None)  # a busy machine is no fault
@given(data=st.one_of(st.binary(max_size=200), TREES.map(lambda tree: b"\x01\0\0\0" + tree)))
def test_decoders_raise_nothing_but_malformed_record(decode: Callable[[bytes], object], data: bytes) -> None:
    """Whatever bytes arrive, a decoder answers or raises MalformedRecord."""
    try:
        decode(data)
    except MalformedRecord as error:
        assert error.cause == "netlink"


def test_intervals_that_are_no_prefixes_are_left_out() -> None:
    """A range that a person put there by hand is not a ban of ours, and neither is a stray end."""

    def raw(text: str, *, is_end: bool = False) -> netlink.RawElement:
        return netlink.RawElement(parse_network(text).address, is_end, None, 0, 0)

    halves = [
        raw("0.0.0.0", is_end=True),
        raw("10.0.0.1"),
        raw("10.0.0.3", is_end=True),
        raw("10.1.0.0"),
        raw("10.2.0.0", is_end=True),
        raw("10.2.0.0"),
        raw("10.3.0.0", is_end=True),
        raw("128.0.0.0"),
    ]
    found = [str(network) for network, _ in listing.pair_intervals(reversed(halves))]
    assert found == ["10.1.0.0/16", "10.2.0.0/16", "128.0.0.0/1"]
