"""Ports of ours that a ban is limited to, as bytes: for each the protocol number and the port, sorted.

As bytes they are part of what is banned (`Network.ports`), cost a ban without ports nothing, and are compared fast.
"""

from collections.abc import Iterable

from monitor.model.addresses import Network
from monitor.model.protocols import PROTOCOL_NAMES, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP

PROTOCOLS = {PROTOCOL_NAMES[one]: one for one in (PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_SCTP)}
"""Protocols with ports that a ban can name, with their numbers."""
MAX_PORTS = 64
"""The most ports of one ban: each is an element in the kernel."""
PREFIX_LENGTHS = {32: (32, 24), 128: (128, 64, 56, 48)}
"""By bits of an address, the lengths of prefixes that can be banned by port: those that detectors and policy ban."""
_NAMES = {number: name for name, number in PROTOCOLS.items()}
_BYTES = 3


def pack(ports: Iterable[tuple[int, int]]) -> bytes:
    """Return pairs of protocol number and port as bytes."""
    return b"".join(bytes((protocol,)) + port.to_bytes(2) for protocol, port in sorted(set(ports)))


def unpack(packed: bytes) -> list[tuple[int, int]]:
    """Return what was packed; ValueError if it is not in the form that `pack` gives it."""
    parts = [packed[at : at + _BYTES] for at in range(0, len(packed), _BYTES)]
    found = [(part[0], int.from_bytes(part[1:])) for part in parts]
    if pack(found) != packed or not all(protocol in _NAMES and port for protocol, port in found):
        raise ValueError(f"no packed ports: {packed.hex()}")
    return found


def count(packed: bytes) -> int:
    """Return how many ports there are."""
    return len(packed) // _BYTES


def show(packed: bytes) -> list[str]:
    """Write ports: `tcp/22`."""
    return [f"{_NAMES[protocol]}/{port}" for protocol, port in unpack(packed)]


def at(network: Network, ports: bytes) -> Network:
    """Return a network narrowed to these ports."""
    return Network(network.address, network.prefix_length, ports) if ports or network.ports else network


def can_be_limited(network: Network) -> bool:
    """Whether bans of this network can be limited to ports."""
    return network.prefix_length in PREFIX_LENGTHS[network.bits]


def covers(one: bytes, other: bytes) -> bool:
    """Whether a ban of `one` bans the ports `other`; no ports are all of them."""
    return not one or (bool(other) and set(unpack(other)) <= set(unpack(one)))
