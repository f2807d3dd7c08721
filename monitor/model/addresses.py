"""IP addresses and networks as packed bytes.

An address is its network-order bytes: 4 for IPv4, 16 for IPv6. That is what the kernel wants in a set element, it
hashes fast, and its length tells the family. IPv4-mapped IPv6 (::ffff:0:0/96, RFC 4291 section 2.5.5.2) is folded to
IPv4 on the way in, so one host never has two names.
"""

import socket
from collections.abc import Collection
from typing import TypeAlias

import msgspec

Address: TypeAlias = bytes

_MAPPED = bytes(10) + b"\xff\xff"


def fold_mapped(address: Address) -> Address:
    """Return the IPv4 address behind an IPv4-mapped IPv6 one; any other unchanged."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def parse_address(text: str) -> Address:
    """Read one address in its usual notation; a zone (`%eth0`), a prefix or a name is a ValueError."""
    try:
        if ":" in text:
            return fold_mapped(socket.inet_pton(socket.AF_INET6, text))
        return socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IP address (expected for example 192.0.2.1 or 2001:db8::1)") from None


def format_address(address: Address) -> str:
    """Write an address in its canonical notation (RFC 5952 for IPv6)."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


class Network(msgspec.Struct, frozen=True, order=True, gc=False):
    """A prefix; a single address is a network of full length. Host bits are zero.

    `ports` narrows what is banned of it to some of our ports (`monitor.model.ports`); empty: all of it. Everything but
    a ban is about whole networks.
    """

    address: Address
    prefix_length: int
    ports: bytes = b""

    @property
    def bits(self) -> int:
        """Length of an address of this family, in bits."""
        return len(self.address) * 8

    @property
    def is_host(self) -> bool:
        """Whether this is a single address."""
        return self.prefix_length == len(self.address) * 8

    @property
    def whole(self) -> "Network":
        """The network itself, whatever ports of ours are meant."""
        return Network(self.address, self.prefix_length) if self.ports else self

    def contains(self, address: Address) -> bool:
        """Whether `address` is of this family and inside."""
        if len(address) != len(self.address):
            return False
        shift = self.bits - self.prefix_length
        return int.from_bytes(address) >> shift == int.from_bytes(self.address) >> shift

    def overlaps(self, other: "Network") -> bool:
        """Whether one of the two lies inside the other."""
        wider, narrower = (self, other) if self.prefix_length <= other.prefix_length else (other, self)
        return wider.contains(narrower.address)

    def last(self) -> Address:
        """Return the highest address inside."""
        size = len(self.address)
        host_bits = (1 << (self.bits - self.prefix_length)) - 1
        return (int.from_bytes(self.address) | host_bits).to_bytes(size)

    def __str__(self) -> str:
        """Write `192.0.2.1` for a host, `192.0.2.0/24` for a prefix."""
        text = format_address(self.address)
        return text if self.is_host else f"{text}/{self.prefix_length}"


def host(address: Address) -> Network:
    """Return the network that holds just this address."""
    return Network(address, len(address) * 8)


def parse_network(text: str) -> Network:
    """Read `ADDRESS` or `ADDRESS/LENGTH`; set host bits are a ValueError that names the network meant."""
    head, slash, tail = text.partition("/")
    if not slash:
        return host(parse_address(head))
    address = parse_address(head)
    bits = len(address) * 8
    if not (tail.isascii() and tail.isdigit()):
        raise ValueError(f"{text!r} is not a network (expected for example 192.0.2.0/24 or 2001:db8::/32)")
    prefix_length = int(tail) - (96 if ":" in head and bits == 32 else 0)
    if not 0 <= prefix_length <= bits:
        raise ValueError(f"{text!r} is not a network: the prefix length must lie between 0 and {bits}")
    masked = network_of(address, prefix_length)
    if masked.address != address:
        raise ValueError(f"{text!r} has host bits set; did you mean {masked}?")
    return masked


def network_of(address: Address, prefix_length: int) -> Network:
    """Return the network of this length around an address: host bits are cleared."""
    size = len(address)
    shift = size * 8 - prefix_length
    return Network((int.from_bytes(address) >> shift << shift).to_bytes(size), prefix_length)


def network_between(first: Address, last: Address) -> Network | None:
    """Return the network from one address to another, both included; None if no network is exactly that."""
    low = int.from_bytes(first)
    size = int.from_bytes(last) - low + 1
    if len(first) != len(last) or size <= 0 or size & (size - 1) or low % size:
        return None
    return Network(first, len(first) * 8 - size.bit_length() + 1)


def collapse(networks: Collection[Network]) -> list[Network]:
    """Return the fewest disjoint networks that cover exactly these, sorted: IPv4 first, then by address."""
    result: list[Network] = []
    for size in (4, 16):
        bits = 8 * size
        some = {(int.from_bytes(one.address), bits - one.prefix_length) for one in networks if len(one.address) == size}
        found: list[tuple[int, int]] = []
        end = 0
        for number, shift in sorted(some, key=lambda one: (one[0], -one[1])):
            if number < end:
                continue
            found.append((number, shift))
            end = number + (1 << shift)
            low, host_bits = number, shift
            while len(found) > 1 and found[-2] == (low ^ (1 << host_bits), host_bits):  # the halves of one network
                del found[-1]
                low, host_bits = found[-1][0], host_bits + 1
                found[-1] = low, host_bits
        result += [Network(number.to_bytes(size), bits - shift) for number, shift in found]
    return result


def origin_key(source: Address, prefix_bytes: int) -> bytes:
    """Return the source itself, or of IPv6 its leading bytes: more than four of them, so that the two never collide."""
    return source if len(source) == 4 else source[:prefix_bytes]
