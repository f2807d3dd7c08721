"""The transaction that makes the whole table, in the order that the kernel needs; pure.

It may be repeated: what exists stays, with the bans in the sets, and only rules and allow sets are filled again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.enforcers.netlink import (
    DEL_ELEMENTS,
    NEW_ELEMENTS,
    NetlinkRequest,
    RawElement,
    encode_element,
    encode_key,
)
from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.chains import REFUSE, Chain, chains_for
from monitor.enforcers.nftables.commit import ENCODERS, milliseconds
from monitor.enforcers.nftables.ruleset import (
    COUNTERS,
    SCHEMA,
    TABLE,
    Element,
    all_set_specs,
    allow_set_name,
    set_name,
)
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Network
from monitor.model.bans import Action

_NOTHING = Stopped(0, 0)


class Step(msgspec.Struct, frozen=True, gc=False):
    """One message of the transaction, and what it makes, for the message if the kernel refuses it."""

    what: str
    request: NetlinkRequest


def definition(
    *, max_bans: int, action: Action = Action.DROP, counters: Mapping[str, Stopped] | None = None
) -> Iterator[Step]:
    """Yield what creates the table without content; `counters` start with these values if they do not exist yet."""
    yield Step("the table", messages.new_table(TABLE, SCHEMA))
    for name in COUNTERS:
        yield Step(f"counter {name}", messages.new_counter(TABLE, name, (counters or {}).get(name, _NOTHING)))
    for number, (name, spec) in enumerate(all_set_specs(max_bans).items(), 1):
        yield Step(f"set {name}", messages.new_set(TABLE, name, spec, number))
    if action is not Action.REJECT:  # it may be there, and can be deleted once no rule leads to it: see below
        yield Step(f"chain {REFUSE}", messages.new_chain(TABLE, Chain(REFUSE, "", 0, ())))
        yield Step(f"the former rules of chain {REFUSE}", messages.delete_rules(TABLE, REFUSE))
    for chain in chains_for(action):
        yield Step(f"chain {chain.name}", messages.new_chain(TABLE, chain))
        yield Step(f"the former rules of chain {chain.name}", messages.delete_rules(TABLE, chain.name))
        for rule in chain.rules:
            yield Step(f"rule {rule.text!r} of chain {chain.name}", messages.new_rule(TABLE, chain.name, rule))
    if action is not Action.REJECT:
        yield Step(f"the former chain {REFUSE}", messages.delete_chain(TABLE, REFUSE))


def part_names() -> frozenset[str]:
    """Return the names of all parts of the table as `fingerprint` lists them; any other part is foreign."""
    chains = [chain.name for chain in chains_for(Action.REJECT)]
    parts = {"chain": chains, "rules of chain": chains, "set": all_set_specs(1), "object": COUNTERS}
    return frozenset({"table", *(f"{kind} {name}" for kind, names in parts.items() for name in names)})


def allowed(allowlist: Sequence[Network]) -> Iterator[Step]:
    """Yield what replaces the content of both allow sets; `allowlist` must be disjoint (`addresses.collapse`)."""
    for name in ("allow4", "allow6"):
        members = [encode_element(n, interval=True) for n in allowlist if allow_set_name(n) == name]
        yield Step(f"the former content of set {name}", ENCODERS[name].request(DEL_ELEMENTS, b""))
        for request in ENCODERS[name].requests(NEW_ELEMENTS, members):
            yield Step(f"networks of set {name}", request)


def replacement(*, max_bans: int, action: Action = Action.DROP, counters: Mapping[str, Stopped]) -> Iterator[Step]:
    """Yield what deletes the table and creates it again."""
    yield Step("the former table", messages.delete_table(TABLE))
    yield from definition(max_bans=max_bans, action=action, counters=counters)


def carried(elements: Iterable[Element], elapsed_s: float) -> Iterator[Step]:
    """Yield what adds these bans to empty sets with their counts; they were read `elapsed_s` seconds ago."""
    by_set: dict[str, list[bytes]] = {}
    for element in elements:
        left_s = None if element.timeout_s is None else element.timeout_s - elapsed_s
        encoded = encode_element(
            element.network,
            interval=not element.network.is_host,
            timeout_ms=None if left_s is None else milliseconds(left_s),
            count=(element.packets, element.bytes),
        )
        by_set.setdefault(set_name(element.network, element.strength), []).append(encoded)
    for name, members in by_set.items():
        for request in ENCODERS[name].requests(NEW_ELEMENTS, members):
            yield Step(f"bans of set {name}", request)


def carried_ports(elements: Mapping[str, Mapping[bytes, RawElement]], elapsed_s: float) -> Iterator[Step]:
    """Yield the same for bans of some ports, by set and key."""
    for name, found in elements.items():
        members = [
            encode_key(
                key,
                timeout_ms=None if one.remaining_ms is None else milliseconds(one.remaining_ms / 1000 - elapsed_s),
                count=(one.packets, one.bytes),
            )
            for key, one in found.items()
        ]
        for request in ENCODERS[name].requests(NEW_ELEMENTS, members):
            yield Step(f"bans of set {name}", request)
