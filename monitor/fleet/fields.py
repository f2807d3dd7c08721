"""How a ban is named in a node's hash: its set, its network and the ports it is limited to, in one spelling. Pure."""

import re

from monitor.fleet.records import MAX_NET, NODE_NAME, SharedSet
from monitor.model import ports
from monitor.model.addresses import Network, format_address, host, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import OTHER_PEERS

STRENGTHS = {SharedSet.BAN: Strength.PROVEN, SharedSet.SHUN: Strength.SPOOFABLE}
"""By shared set, the strength of the evidence behind its bans."""
SETS = {strength: shared for shared, strength in STRENGTHS.items()}
_STRENGTHS = {shared.encode(): strength for shared, strength in STRENGTHS.items()}
_NODE_NAME = re.compile(NODE_NAME)


def is_node_name(text: str) -> bool:
    """Whether a node may have this name."""
    return len(text) <= 64 and _NODE_NAME.fullmatch(text) is not None and text not in OTHER_PEERS


def show_network(network: Network) -> str:
    """Write a network, with the ports that it is limited to: `192.0.2.7 tcp/22 tcp/80`."""
    return " ".join((str(network), *ports.show(network.ports))) if network.ports else str(network)


def read_network(text: str) -> Network:
    """Read what `show_network` writes; ValueError for anything else, other spellings included."""
    if len(text) > MAX_NET:
        raise ValueError("longer than any network with its ports")
    if " " not in text and "/" not in text:  # as nearly all are
        address = parse_address(text)
        if format_address(address) != text:
            raise ValueError("is spelled otherwise")
        return host(address)
    head, *named = text.split(" ")
    network = parse_network(head)
    if named:
        try:
            pairs = [(ports.PROTOCOLS[name], int(port)) for name, _, port in (one.partition("/") for one in named[:65])]
            packed = ports.pack(pairs)
        except (KeyError, OverflowError):
            raise ValueError("no protocol and port") from None
        if ports.count(packed) > ports.MAX_PORTS or not ports.can_be_limited(network):
            raise ValueError("cannot be limited to these ports")
        network = ports.at(network, packed)
    if show_network(network) != text:
        raise ValueError("is spelled otherwise")
    return network


def field_of(network: Network, strength: Strength) -> bytes:
    """Return the field of a ban; there is none for egress bans, which are not shared."""
    return f"{SETS[strength]} {show_network(network)}".encode()


def read_field(field: bytes) -> tuple[Network, Strength]:
    """Return network and strength of a field; ValueError if it is none."""
    if len(field) > MAX_NET + 8:
        raise ValueError("longer than any field")
    shared, _, text = field.partition(b" ")
    strength = _STRENGTHS.get(shared)
    if strength is None:
        raise ValueError("names no set")
    return read_network(text.decode("ascii")), strength
