"""The table of block lists, `inet nodewarden_lists`: names, sets, chains; pure.

It is a table of its own. What a list brings in can then neither fill the sets of bans nor make their table slow to
read or to replace, and `nft delete table inet nodewarden_lists` removes all lists and no ban. Its chains run right
after those of the bans, at the same hooks, and accept loopback and the allow sets first, as those do.

Each list has four sets: single addresses in hash sets, prefixes in interval sets, by family. They have no timeouts:
those would cost memory and time for each element. Instead the rules of a list ask a fifth set whether the list is still
*live*. It has one element for each family of packets, with the time that the list may be used without being renewed;
the kernel ends them, with a daemon or without. The names of the four sets have a letter: a set that is filled anew is
made under the other letter, and the rules change over in one transaction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS, ElementEncoder, encode_element, encode_key
from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.chains import (
    ANSWERS,
    DESTINATION_EXEMPT,
    DROP,
    OUTBOUND,
    SOURCE_EXEMPT,
    Chain,
    Part,
    among,
    counted,
    joined,
)
from monitor.enforcers.nftables.commit import milliseconds
from monitor.enforcers.nftables.definition import Step
from monitor.enforcers.nftables.expressions import Meta, in_set, meta
from monitor.enforcers.nftables.ruleset import SetSpec
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Network
from monitor.model.alerts import Strength

TABLE = "nodewarden_lists"
SCHEMA = "nodewarden lists schema 1"
"""The comment of the table. Increment the number with every change of chains or sets: other schemas are replaced."""
LETTERS = ("a", "b")
SETS = ("4", "4_nets", "6", "6_nets")
"""The sets of a list, as the ends of their names."""
_FAMILIES = {"4": 2, "6": 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_ADDRESS_BYTES = {"4": 4, "6": 16}
_SMALLEST = 1024
_NOTHING = Stopped(0, 0)


class ListFrame(msgspec.Struct, frozen=True):
    """A list as the table has it, apart from its networks."""

    name: str
    strength: Strength
    """What its rules do: those of bans, of shuns, or of egress bans."""
    drops: bool
    """Whether its rules drop; otherwise they only count."""
    letter: str
    hosts4: int
    """The room for single addresses of IPv4."""
    hosts6: int

    @property
    def counter(self) -> str:
        """The name of the counter of its rules."""
        return f"list_{self.name}"

    @property
    def live(self) -> str:
        """The name of the set that says until when it is live."""
        return f"list_{self.name}_live"

    def set_name(self, end: str) -> str:
        """Return the name of one of its sets (`SETS`)."""
        return f"list_{self.name}_{self.letter}{end}"

    def specs(self) -> dict[str, SetSpec]:
        """Return the definitions of its sets, by name."""
        room = {"4": self.hosts4, "6": self.hosts6}
        return {self.live: SetSpec(1, size=len(_FAMILIES), has_timeouts=True)} | {
            self.set_name(end): SetSpec(
                _ADDRESS_BYTES[end[0]], interval=end.endswith("_nets"), size=0 if end.endswith("_nets") else room[end]
            )
            for end in SETS
        }


def room_for(count: int) -> int:
    """Return the size of a hash set for so many addresses and some more: the kernel makes its table by that."""
    return max(_SMALLEST, 1 << (count + count // 4).bit_length())


def set_end(size: int, prefix_length: int) -> str:
    """Return in which of the sets of a list (`SETS`) a network is; `size` is that of its address in bytes."""
    return f"{4 if size == 4 else 6}{'' if prefix_length == 8 * size else '_nets'}"


def chains(frames: Sequence[ListFrame]) -> tuple[Chain, ...]:
    """Return the chains that these lists need. Lists that only count come first: they see what others drop as well."""
    ordered = sorted(frames, key=lambda one: one.drops)
    by_strength = {strength: [one for one in ordered if one.strength is strength] for strength in Strength}
    found = []
    if some := by_strength[Strength.PROVEN]:
        found.append(Chain("list_ban", "prerouting", -309, (*SOURCE_EXEMPT, *_rules(some, "saddr"))))
    if some := by_strength[Strength.SPOOFABLE]:
        rules = (*SOURCE_EXEMPT, *ANSWERS, *_rules(some, "saddr"))
        found.append(Chain("list_shun", "prerouting", -159, rules))
    if some := by_strength[Strength.DESTINATION]:
        rules = (*DESTINATION_EXEMPT, *_rules(some, "daddr", OUTBOUND))
        found += [Chain(f"list_egress_{hook}", hook, -9, rules) for hook in ("output", "forward")]
    return tuple(found)


def _rules(frames: Iterable[ListFrame], side: str, *conditions: Part) -> Iterator[Part]:
    for one in frames:
        verdict = (DROP,) if one.drops else ()
        for end in SETS:
            matching = among(end[0], side, one.set_name(end))
            yield joined(*conditions, matching, _is_live(one), counted(one.counter), *verdict)


def _is_live(frame: ListFrame) -> Part:
    """Continue while the list is live."""
    return Part(f"meta nfproto @{frame.live}", meta(Meta.FAMILY) + in_set(frame.live))


def set_specs(frames: Iterable[ListFrame]) -> dict[str, SetSpec]:
    """Return the definitions of all sets of the table."""
    specs = {f"allow{family}": SetSpec(size, interval=True) for family, size in _ADDRESS_BYTES.items()}
    for one in frames:
        specs |= one.specs()
    return specs


def room_steps(frame: ListFrame, found: frozenset[str]) -> Iterator[Step]:
    """Yield what makes the sets of a list, empty, and the table where there is none. Nothing else changes.

    `found` are the parts in the kernel as `fingerprint` names them.
    """
    yield Step("the table", messages.new_table(TABLE, SCHEMA))
    leftovers = {f"set {frame.set_name(end)}" for end in SETS} & found
    for name in sorted(leftovers):
        yield Step(f"the former {name}", messages.delete_set(TABLE, name.removeprefix("set ")))
    yield from _sets(set_specs([frame]), found - leftovers)


def frame_steps(frames: Sequence[ListFrame], found: frozenset[str], counts: Mapping[str, Stopped]) -> Iterator[Step]:
    """Yield what makes of the table that of exactly these lists; what is in their sets stays. `found` as above."""
    specs = set_specs(frames)
    yield Step("the table", messages.new_table(TABLE, SCHEMA))
    counters = [one.counter for one in frames]
    for name in counters:
        yield Step(f"counter {name}", messages.new_counter(TABLE, name, counts.get(name, _NOTHING)))
    yield from _sets(specs, found)
    wanted = chains(frames)
    for chain in wanted:
        yield Step(f"chain {chain.name}", messages.new_chain(TABLE, chain))
        yield Step(f"the former rules of chain {chain.name}", messages.delete_rules(TABLE, chain.name))
        for rule in chain.rules:
            yield Step(f"rule {rule.text!r} of chain {chain.name}", messages.new_rule(TABLE, chain.name, rule))
    yield from _leftovers(found, {chain.name for chain in wanted}, set(specs), set(counters))


def _sets(specs: Mapping[str, SetSpec], found: frozenset[str]) -> Iterator[Step]:
    for number, (name, spec) in enumerate(specs.items(), 1):
        if f"set {name}" not in found:
            yield Step(f"set {name}", messages.new_set(TABLE, name, spec, number))


def _leftovers(found: frozenset[str], chain_names: set[str], sets: set[str], counters: set[str]) -> Iterator[Step]:
    """Yield what deletes the parts that no list needs: chains with their rules first, which keep the others in use."""
    names = {kind: sorted(name.removeprefix(kind) for name in found if name.startswith(kind)) for kind in _KINDS}
    for name in names["chain "]:
        if name not in chain_names:
            yield Step(f"the former rules of chain {name}", messages.delete_rules(TABLE, name))
            yield Step(f"the former chain {name}", messages.delete_chain(TABLE, name))
    for name in names["set "]:
        if name not in sets:
            yield Step(f"the former set {name}", messages.delete_set(TABLE, name))
    for name in names["object "]:
        if name not in counters:
            yield Step(f"the former counter {name}", messages.delete_counter(TABLE, name))


_KINDS = ("chain ", "set ", "object ")


def allow_steps(allowlist: Sequence[Network]) -> Iterator[Step]:
    """Yield what replaces the content of both allow sets; `allowlist` must be disjoint (`addresses.collapse`)."""
    for family, size in _ADDRESS_BYTES.items():
        encoder = ElementEncoder(TABLE, f"allow{family}")
        members = [encode_element(one, interval=True) for one in allowlist if len(one.address) == size]
        yield Step(f"the former content of set allow{family}", encoder.request(DEL_ELEMENTS, b""))
        for request in encoder.requests(NEW_ELEMENTS, members):
            yield Step(f"networks of set allow{family}", request)


def live_steps(frame: ListFrame, left_s: float) -> Iterator[Step]:
    """Yield what lets a list be live for so long from now; nothing lets it be live if that is over."""
    encoder = ElementEncoder(TABLE, frame.live)
    yield Step(f"the former content of set {frame.live}", encoder.request(DEL_ELEMENTS, b""))
    if left_s > 0:
        timeout_ms = milliseconds(left_s)
        members = [encode_key(bytes([number]), timeout_ms=timeout_ms) for number in _FAMILIES.values()]
        yield Step(f"the time of set {frame.live}", encoder.request(NEW_ELEMENTS, b"".join(members)))
