"""What the table `inet nodewarden` contains besides its chains: names and definitions of sets and counters; pure.

The twelve ban sets hold what is dropped, the two allow sets what never is. Twelve more hold bans of some ports only.
The four leak sets are filled by the rules.
"""

import msgspec

from monitor.model.addresses import Address, Network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PORT_ELEMENTS, MAX_PREFIXES, WORDS
from monitor.model.ports import PREFIX_LENGTHS

TABLE = "nodewarden"
SCHEMA = "nodewarden schema 7"
"""The comment of the table. Increment the number with every change of chains or sets: other schemas are replaced."""

LEAK_HOOKS = ("input", "forward")
_KEY_BYTES = {"4": 4, "6": 16}
_LEAK_SIZE = 1024
_LEAK_TIMEOUT_MS = 600_000


class Element(msgspec.Struct, frozen=True, gc=False):
    """One ban in the kernel's set.

    `timeout_s` is the remaining time in seconds; None means no timeout. `packets` and `bytes` count drops since the
    element was added.
    """

    network: Network
    strength: Strength
    timeout_s: float | None
    packets: int
    bytes: int


class SetSpec(msgspec.Struct, frozen=True, gc=False):
    """The definition of a set: `key_bytes` is 4 or 16, or 1 for a family of packets.

    `size` is the maximum number of elements (0: no limit).
    """

    key_bytes: int
    interval: bool = False
    size: int = 0
    has_timeouts: bool = False
    default_timeout_ms: int = 0
    dynamic: bool = False
    """Rules add to it."""
    counts: bool = False
    """Each element counts the packets that a rule found it for."""
    has_ports: bool = False
    """The key is an address (`key_bytes` less eight), a protocol and a port, each of the two in four bytes."""


def set_name(network: Network, strength: Strength) -> str:
    """Return the name of the set for this network: `ban4`, `shun6_nets` and so on."""
    family = "4" if len(network.address) == 4 else "6"
    return f"{WORDS[strength]}{family}{'' if network.is_host else '_nets'}"


def allow_set_name(network: Network) -> str:
    """Return the name of the allow set for the family of this network."""
    return "allow4" if len(network.address) == 4 else "allow6"


def leak_set_name(address: Address, hook: str) -> str:
    """Return the name of the set of banned addresses of this family that reached `hook` in the last ten minutes."""
    return f"leaks{4 if len(address) == 4 else 6}_{hook}"


def set_specs(max_bans: int) -> dict[str, SetSpec]:
    """Return the definitions of the twelve ban sets; `max_bans` limits each set of single addresses."""
    return {
        f"{word}{family}{suffix}": SetSpec(
            key_bytes,
            interval=bool(suffix),
            size=MAX_PREFIXES if suffix else max_bans,
            has_timeouts=True,
            counts=True,
        )
        for word in WORDS.values()
        for family, key_bytes in _KEY_BYTES.items()
        for suffix in ("", "_nets")
    }


class PortSet(msgspec.Struct, frozen=True):
    """A set of bans of some ports: of prefixes of one length, so that a rule finds them by the bits of an address."""

    name: str
    strength: Strength
    family: str
    prefix_length: int

    @property
    def counter(self) -> str:
        """The name of the counter of its rule: one for each strength and family."""
        return f"port_{WORDS[self.strength]}{self.family}"


PORT_LENGTHS = {"4": PREFIX_LENGTHS[32], "6": PREFIX_LENGTHS[128]}
"""By family, the lengths of prefixes that have a set, addresses first."""
PORT_SETS = {
    one.name: one
    for strength in (Strength.PROVEN, Strength.SPOOFABLE)
    for family, lengths in PORT_LENGTHS.items()
    for length in lengths
    for one in (
        PortSet(
            f"port_{WORDS[strength]}{family}{'' if length in (32, 128) else f'_{length}'}", strength, family, length
        ),
    )
}
"""By name. Hash sets: each element stands for itself, so bans that overlap have nothing to do with each other."""
PORT_COUNTERS = tuple(dict.fromkeys(one.counter for one in PORT_SETS.values()))
_PORT_BYTES = 8


def port_set_name(network: Network, strength: Strength) -> str | None:
    """Return the name of the set for bans of ports of this network; None where there is none."""
    family = "4" if len(network.address) == 4 else "6"
    name = f"port_{WORDS[strength]}{family}{'' if network.is_host else f'_{network.prefix_length}'}"
    return name if name in PORT_SETS else None


def port_set_specs() -> dict[str, SetSpec]:
    """Return the definitions of the sets of bans of some ports."""
    return {
        name: SetSpec(
            _KEY_BYTES[one.family] + _PORT_BYTES,
            size=MAX_PORT_ELEMENTS,
            has_timeouts=True,
            counts=True,
            has_ports=True,
        )
        for name, one in PORT_SETS.items()
    }


def all_set_specs(max_bans: int) -> dict[str, SetSpec]:
    """Return the definitions of all sets of the table, in the order in which they are made."""
    allow = {f"allow{family}": SetSpec(key_bytes, interval=True) for family, key_bytes in _KEY_BYTES.items()}
    leaks = {
        f"leaks{family}_{hook}": SetSpec(
            key_bytes, size=_LEAK_SIZE, has_timeouts=True, default_timeout_ms=_LEAK_TIMEOUT_MS, dynamic=True
        )
        for hook in LEAK_HOOKS
        for family, key_bytes in _KEY_BYTES.items()
    }
    return set_specs(max_bans) | port_set_specs() | allow | leaks


BAN_SETS: dict[str, Strength] = {
    name: next(strength for strength, word in WORDS.items() if name.startswith(word)) for name in set_specs(1)
}
"""The names of the twelve ban sets, which are also the names of the twelve counters, with their strength."""

FORMER_SETS = {
    name.replace("egress", "block"): name for name, strength in BAN_SETS.items() if strength is Strength.DESTINATION
}
"""The names of sets and counters in schema 3 that have changed, with their current names."""

COUNTERS = (*BAN_SETS, *PORT_COUNTERS, *(f"leak_{hook}" for hook in LEAK_HOOKS))
"""The counters of the table: what the rules of each ban set dropped, and what leaked."""
