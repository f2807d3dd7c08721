"""Encodes nf_tables requests and decodes the kernel's replies; opens no descriptor.

Numbers and names are those of linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h. Message
headers and attribute headers are in host order, the payloads of nf_tables attributes in network order.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.model.addresses import Address, Network
from monitor.model.errors import MalformedRecord

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP, NLM_F_CREATE = 0x1, 0x4, 0x10, 0x300, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES
GET_TABLE, DEL_TABLE, GET_SET = (NFTABLES | n for n in (1, 2, 10))
NEW_ELEMENTS, GET_ELEMENTS, DEL_ELEMENTS = (NFTABLES | n for n in (12, 13, 14))
GET_OBJECT = NFTABLES | 19

NFPROTO_INET = 1
_NLA_F_NESTED, _NLA_TYPE_MASK = 0x8000, 0x3FFF
OBJECT_COUNTER = 1  # NFT_OBJECT_COUNTER
_SET_INTERVAL = 0x4
_INTERVAL_END = 0x1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_BE32 = struct.Struct(">I")
_BE64 = struct.Struct(">Q")
_END_FLAG = _ATTRIBUTE.pack(8, 3) + _BE32.pack(_INTERVAL_END)  # NFTA_SET_ELEM_FLAGS
_MAX_ATTRIBUTE_BYTES = 0xFFFF


class NetlinkRequest(msgspec.Struct, frozen=True, gc=False):
    """One message without its sequence number: `type` with subsystem, NLM_F_* `flags`, body after the header."""

    type: int
    flags: int
    body: bytes


class NetlinkReply(msgspec.Struct, frozen=True, gc=False):
    """One message from the kernel; `body` is the part after the netlink header."""

    type: int
    flags: int
    sequence: int
    body: bytes


class RawElement(msgspec.Struct, frozen=True, gc=False):
    """The start or end of an interval, or a single address; times in milliseconds, None without a timeout."""

    key: Address
    is_end: bool
    remaining_ms: int | None
    packets: int
    bytes: int


class RawSet(msgspec.Struct, frozen=True, gc=False):
    """The definition of a set as the kernel reports it."""

    key_bytes: int
    interval: bool
    size: int
    has_userdata: bool
    """User space attached something that the kernel does not interpret."""
    count: int | None = None
    """How many elements there are, an interval being one; None from kernels before 6.16, which do not say it."""


def attribute(kind: int, payload: bytes, *, nested: bool = False) -> bytes:
    """Encode one attribute, padded to four bytes; ValueError if it exceeds the 64 KiB limit of its length field."""
    size = 4 + len(payload)
    if size > _MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"an attribute of {size} bytes does not fit its 16-bit length")
    return _ATTRIBUTE.pack(size, kind | (_NLA_F_NESTED if nested else 0)) + payload + bytes(-size % 4)


def interval_end(network: Network) -> Address | None:
    """Return the first address after the network; None if the network ends at the last address of its family."""
    after = int.from_bytes(network.last()) + 1
    return None if after >> network.bits else after.to_bytes(len(network.address))


def encode_element(
    network: Network, *, interval: bool, timeout_ms: int | None = None, count: tuple[int, int] = (0, 0)
) -> bytes:
    """Encode a network as elements of a set: one, or for `interval` sets a start and (if there is one) an end.

    `timeout_ms` (NFTA_SET_ELEM_TIMEOUT, milliseconds) None means the default of the set: no timeout. `count` is the
    initial value of the element's counter: packets and bytes.
    """
    start = encode_key(network.address, timeout_ms=timeout_ms, count=count)
    end = interval_end(network) if interval else None
    return start if end is None else start + encode_key(end, is_end=True)


def encode_key(
    address: Address, *, is_end: bool = False, timeout_ms: int | None = None, count: tuple[int, int] = (0, 0)
) -> bytes:
    """Encode one list element (NFTA_LIST_ELEM): a single address, or the start or the end of an interval."""
    timeout = b"" if timeout_ms is None else _ATTRIBUTE.pack(12, 4) + _BE64.pack(timeout_ms)  # NFTA_SET_ELEM_TIMEOUT
    # NFTA_SET_ELEM_KEY holding NFTA_DATA_VALUE
    key = attribute(1, attribute(1, address), nested=True)
    counter = _encode_counter(*count) if count[0] else b""
    return attribute(1, timeout + (_END_FLAG if is_end else b"") + key + counter, nested=True)


def _encode_counter(packets: int, octets: int) -> bytes:
    # NFTA_SET_ELEM_EXPR: NFTA_EXPR_NAME, and NFTA_EXPR_DATA with NFTA_COUNTER_BYTES and NFTA_COUNTER_PACKETS
    values = attribute(1, _BE64.pack(octets)) + attribute(2, _BE64.pack(packets))
    return attribute(7, string_attribute(1, "counter") + attribute(2, values, nested=True), nested=True)


class ElementEncoder:
    """Encodes element messages of one set; the constant part is encoded once."""

    def __init__(self, table: str, name: str) -> None:
        """`table` must be of family inet."""
        self._prefix = nfgen_header(NFPROTO_INET) + string_attribute(1, table) + string_attribute(2, name)

    def request(self, kind: int, elements: bytes, flags: int = 0) -> NetlinkRequest:
        """Build a message of `kind` (NEW_ELEMENTS …) with encoded elements; without any it applies to the whole set."""
        body = self._prefix + attribute(3, elements, nested=True) if elements else self._prefix
        return NetlinkRequest(kind, NLM_F_REQUEST | (NLM_F_CREATE if kind == NEW_ELEMENTS else 0) | flags, body)

    def requests(self, kind: int, elements: Iterable[bytes], limit_bytes: int = 32768) -> Iterator[NetlinkRequest]:
        """Pack many encoded elements into few messages."""
        packed: list[bytes] = []
        size = 0
        for element in elements:
            if packed and size + len(element) > limit_bytes:
                yield self.request(kind, b"".join(packed))
                packed, size = [], 0
            packed.append(element)
            size += len(element)
        if packed:
            yield self.request(kind, b"".join(packed))


def string_attribute(kind: int, text: str) -> bytes:
    """Encode a text, which ends with a zero byte."""
    return attribute(kind, text.encode() + b"\0")


def nfgen_header(family: int, resource: int = 0) -> bytes:
    """Encode the header that follows the netlink header: struct nfgenmsg."""
    return struct.pack(">BBH", family, 0, resource)


def encode(requests: Sequence[NetlinkRequest], sequence: int) -> bytes:
    """Join requests to one datagram, numbered from `sequence`."""
    pack = _HEADER.pack
    parts = []
    for number, request in enumerate(requests, sequence):
        parts.append(pack(16 + len(request.body), request.type, request.flags, number, 0))
        parts.append(request.body)
    return b"".join(parts)


def encode_batch(requests: Sequence[NetlinkRequest], sequence: int) -> bytes:
    """Wrap requests in one transaction: BEGIN has number `sequence`, the requests follow, the last one wants an ACK."""
    last = requests[-1]
    acked = [*requests[:-1], NetlinkRequest(last.type, last.flags | NLM_F_ACK, last.body)]
    mark = nfgen_header(0, 10)
    begin, end = (NetlinkRequest(kind, NLM_F_REQUEST, mark) for kind in (_BATCH_BEGIN, _BATCH_END))
    return encode([begin, *acked, end], sequence)


def encoded_bytes(request: NetlinkRequest) -> int:
    """Return the length of a request in a datagram, in bytes."""
    return 16 + len(request.body)


def decode_replies(datagram: bytes) -> Iterator[NetlinkReply]:
    """Split a datagram from the kernel into messages; MalformedRecord("netlink") if a length is wrong."""
    offset, size = 0, len(datagram)
    while offset < size:
        if size - offset < 16:
            raise MalformedRecord("netlink", f"{size - offset} stray bytes after a message")
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if length < 16 or length > size - offset:
            raise MalformedRecord("netlink", f"message of {length} bytes in {size - offset}")
        yield NetlinkReply(kind, flags, sequence, datagram[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def decode_error(body: bytes) -> int:
    """Return the errno of an NLMSG_ERROR (or NLMSG_DONE) body, 0 for an acknowledgement."""
    if len(body) < 4:
        raise MalformedRecord("netlink", "an error message without an errno")
    (code,) = struct.unpack_from("=i", body)
    return -int(code)


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes: (type without flags, payload); MalformedRecord("netlink") on a wrong length."""
    size = len(data)
    while offset + 4 <= size:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or length > size - offset:
            raise MalformedRecord("netlink", f"attribute of {length} bytes in {size - offset}")
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def decode_elements(body: bytes) -> list[RawElement]:
    """Decode the elements of an NFT_MSG_NEWSETELEM body; MalformedRecord("netlink") if it is not one."""
    return [
        _element(payload)
        for kind, listed in attributes(body, 4)
        if kind == 3  # NFTA_SET_ELEM_LIST_ELEMENTS
        for _, payload in attributes(listed)
    ]


def _element(data: bytes) -> RawElement:
    fields = dict(attributes(data))
    key = dict(attributes(fields[1])).get(1, b"") if 1 in fields else b""
    if len(key) not in (4, 12, 16, 24):  # an address, or one with protocol and port
        raise MalformedRecord("netlink", f"an element with a key of {len(key)} bytes")
    packets, octets = _element_counter(fields)
    remaining = fields.get(5, fields.get(4))  # NFTA_SET_ELEM_EXPIRATION, NFTA_SET_ELEM_TIMEOUT
    return RawElement(
        key=key,
        is_end=bool(_number(_BE32, fields.get(3)) & _INTERVAL_END),
        remaining_ms=None if remaining is None else _number(_BE64, remaining),
        packets=packets,
        bytes=octets,
    )


def _element_counter(fields: dict[int, bytes]) -> tuple[int, int]:
    # NFTA_SET_ELEM_EXPR for one expression, NFTA_SET_ELEM_EXPRESSIONS for several
    expressions = [fields[7]] if 7 in fields else [payload for _, payload in attributes(fields.get(11, b""))]
    for expression in expressions:
        parts = dict(attributes(expression))
        if parts.get(1, b"").rstrip(b"\0") == b"counter":
            return _counter(parts.get(2, b""))
    return 0, 0


def _counter(data: bytes) -> tuple[int, int]:
    values = dict(attributes(data))
    return _number(_BE64, values.get(2)), _number(_BE64, values.get(1))


def _number(form: struct.Struct, payload: bytes | None) -> int:
    if payload is None:
        return 0
    if len(payload) != form.size:
        raise MalformedRecord("netlink", f"a number of {len(payload)} bytes, not {form.size}")
    return int(form.unpack(payload)[0])


def decode_counter(body: bytes) -> tuple[str, int, int]:
    """Decode an NFT_MSG_NEWOBJ body of a counter: (name, packets, bytes)."""
    fields = dict(attributes(body, 4))
    packets, octets = _counter(fields.get(4, b""))
    return fields.get(2, b"").rstrip(b"\0").decode("ascii", "replace"), packets, octets


def decode_set(body: bytes) -> RawSet:
    """Decode an NFT_MSG_NEWSET body."""
    fields = dict(attributes(body, 4))
    description = dict(attributes(fields.get(9, b"")))
    return RawSet(
        key_bytes=_number(_BE32, fields.get(5)),
        interval=bool(_number(_BE32, fields.get(3)) & _SET_INTERVAL),
        size=_number(_BE32, description.get(1)),
        has_userdata=13 in fields,
        count=_number(_BE32, fields[20]) if 20 in fields else None,  # NFTA_SET_COUNT
    )


def decode_table_userdata(body: bytes) -> bytes:
    """Return the user data of an NFT_MSG_NEWTABLE body, in which nft(8) stores the comment of the table."""
    return dict(attributes(body, 4)).get(6, b"")
