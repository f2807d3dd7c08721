"""The chains of the table with their rules, each rule as nft(8) prints it next to what the kernel executes; pure.

Four base chains drop. `ban` runs before conntrack and DNAT and drops everything from its sources, so pods and
NodePorts are covered. `shun` runs after conntrack and drops what cannot be an answer, that is packets that open a
connection to us or belong to none: an address that an attacker forged can still reply to our own connections.
`egress_output` and `egress_forward` drop packets to an
address on connections that the node, or a host or pod that it routes for, opened; they run after DNAT, so for a service
address the real destination counts. All chains first accept loopback and the allow sets.

Where the operator wants banned sources to be refused instead (`bans.action`), the rules of bans on proof and of egress
bans continue in the chain `refuse`, which has no hook. Shuns never do: their sources may be forged, and an answer would
reach the address that was named. A limit keeps the node from becoming a reflector for forgers of banned addresses.

Two more chains only count: `leak_input` and `leak_forward` run last and see traffic that a ban should have stopped but
did not, because another program changed our rules. They never drop, so a false match there does no harm.

The whole table as text is in docs/table.nft.
"""

from collections.abc import Iterable

import msgspec

from monitor.enforcers.nftables.expressions import (
    FIRST_WORD,
    Header,
    Meta,
    Refusal,
    Tracked,
    Verdict,
    beyond,
    continue_in,
    count_in,
    equal,
    host_order,
    in_set,
    masked,
    meta,
    note_in,
    payload,
    refuse,
    tracked,
    unequal,
    verdict,
)
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_SETS, PortSet
from monitor.model.addresses import format_address
from monitor.model.alerts import Strength
from monitor.model.bans import Action
from monitor.model.protocols import PROTOCOL_TCP, TCP_ACK, TCP_RST

_ESTABLISHED, _RELATED, _UNTRACKED = 0x2, 0x4, 0x40  # NF_CT_STATE_BIT and NF_CT_STATE_UNTRACKED_BIT
_DNAT = 0x20  # IPS_DST_NAT
_ORIGINAL = b"\0"  # IP_CT_DIR_ORIGINAL
_INTERFACE_BYTES = 16  # IFNAMSIZ
_WORD_BYTES = 4
REFUSE = "refuse"
"""The name of the chain that answers."""
REFUSALS_PER_S = 100
"""At most that many answers per second, and that many at once: a courtesy, and of no use as a weapon."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of a rule: its text for nft(8), and the same as expressions."""

    text: str
    expressions: bytes


class Chain(msgspec.Struct, frozen=True, gc=False):
    """A chain of type filter; `priority` is that of the hook, lower ones run first.

    One without a hook runs where a rule leads to it.
    """

    name: str
    hook: str
    priority: int
    rules: tuple[Part, ...]


def joined(*parts: Part) -> Part:
    """Return a rule of these parts."""
    return Part(" ".join(part.text for part in parts), b"".join(part.expressions for part in parts))


_ACCEPT = Part("accept", verdict(Verdict.ACCEPT))
DROP = Part("drop", verdict(Verdict.DROP))
_REFUSE = Part(f"goto {REFUSE}", continue_in(REFUSE))
_IS_TCP = Part("meta l4proto tcp", meta(Meta.L4PROTO) + equal(bytes([PROTOCOL_TCP])))
_LOOPBACK = b"lo".ljust(_INTERFACE_BYTES, b"\0")
_FROM_LOOPBACK = Part('iifname "lo"', meta(Meta.INPUT_INTERFACE) + equal(_LOOPBACK))
_TO_LOOPBACK = Part('oifname "lo"', meta(Meta.OUTPUT_INTERFACE) + equal(_LOOPBACK))
_NOT_REDIRECTED = Part(
    "ct status ! dnat", tracked(Tracked.FLOW_STATUS) + masked(host_order(_DNAT)) + equal(host_order(0))
)
OUTBOUND = Part("ct direction original", tracked(Tracked.DIRECTION) + equal(_ORIGINAL))
_ANSWER_OVER_TCP = Part(
    "tcp flags rst,ack",
    meta(Meta.L4PROTO)
    + equal(bytes([PROTOCOL_TCP]))
    + payload(Header.TRANSPORT, 13, 1)
    + masked(bytes([TCP_RST | TCP_ACK]))
    + unequal(b"\0"),
)


def _state(text: str, bits: int) -> Part:
    return Part(f"ct state {text}", tracked(Tracked.STATE) + masked(host_order(bits)) + unequal(host_order(0)))


_OF_A_CONNECTION = _state("established,related", _ESTABLISHED | _RELATED)
_OF_NONE = _state("untracked", _UNTRACKED)
ANSWERS = (
    joined(_OF_A_CONNECTION, _ACCEPT),
    # nobody tracks these, so an answer looks like a request; but TCP answers with ACK or RST (RFC 9293, section 3.10.7)
    joined(_OF_NONE, Part("meta l4proto != tcp", meta(Meta.L4PROTO) + unequal(bytes([PROTOCOL_TCP]))), _ACCEPT),
    joined(_OF_NONE, _ANSWER_OVER_TCP, _ACCEPT),
)
"""What a shun lets through. What is left opens a connection, or belongs to none (`invalid`): FIN, NULL, Xmas scans."""

_FAMILIES = {"4": ("ip", 2, 4), "6": ("ip6", 10, 16)}
"""By the digit in the names of sets: the word of nft, NFPROTO_*, and the length of an address in bytes."""
_OFFSETS = {"4": {"saddr": 12, "daddr": 16}, "6": {"saddr": 8, "daddr": 24}}


def _address(family: str, side: str) -> Part:
    """Load the address, in a rule that already is about packets of this family."""
    word, _, size = _FAMILIES[family]
    return Part(f"{word} {side}", payload(Header.NETWORK, _OFFSETS[family][side], size))


def among(family: str, side: str, name: str) -> Part:
    """Match packets of this family whose address is in the set."""
    address = _address(family, side)
    only = meta(Meta.FAMILY) + equal(bytes([_FAMILIES[family][1]]))
    return Part(f"{address.text} @{name}", only + address.expressions + in_set(name))


def counted(name: str) -> Part:
    """Count the packet in a named counter."""
    return Part(f'counter name "{name}"', count_in(name))


def _noted(family: str, hook: str) -> Part:
    name, source = f"leaks{family}_{hook}", _address(family, "saddr")
    return Part(f"update @{name} {{ {source.text} }}", source.expressions + note_in(name))


def _sets_of(word: str) -> Iterable[tuple[str, str]]:
    """Return name and family of the sets of this kind."""
    return [(name, "4" if "4" in name else "6") for name in BAN_SETS if name.startswith(word)]


def _exempt(side: str, *loopback: Part) -> tuple[Part, ...]:
    return (joined(*loopback, _ACCEPT), *(joined(among(f, side, f"allow{f}"), _ACCEPT) for f in _FAMILIES))


def _drops(word: str, side: str, *conditions: Part, end: Part = DROP) -> tuple[Part, ...]:
    return tuple(joined(*conditions, among(f, side, name), counted(name), end) for name, f in _sets_of(word))


def _port_drops(strength: Strength, end: Part = DROP) -> tuple[Part, ...]:
    """Drop what goes to the ports that a source is banned from: looked up by address, protocol and port."""
    return tuple(
        joined(_to_ports_of(one), counted(one.counter), end) for one in PORT_SETS.values() if one.strength is strength
    )


def _to_ports_of(one: PortSet) -> Part:
    """Match packets of this family whose source, as a prefix, is in the set with the port that they are sent to."""
    word, number, size = _FAMILIES[one.family]
    bits = 8 * size
    mask = ((1 << bits) - (1 << (bits - one.prefix_length))).to_bytes(size)
    is_whole = one.prefix_length == bits
    address = payload(Header.NETWORK, _OFFSETS[one.family]["saddr"], size) + (b"" if is_whole else masked(mask))
    protocol = FIRST_WORD + size // _WORD_BYTES
    port = payload(Header.TRANSPORT, 2, 2, register=protocol + 1)
    only = meta(Meta.FAMILY) + equal(bytes([number]))
    text = f"{word} saddr{'' if is_whole else f' & {format_address(mask)}'} . meta l4proto . th dport @{one.name}"
    return Part(text, only + address + meta(Meta.L4PROTO, register=protocol) + port + in_set(one.name))


def _leaks(word: str, hook: str) -> tuple[Part, ...]:
    return tuple(
        joined(among(f, "saddr", name), counted(f"leak_{hook}"), _noted(f, hook)) for name, f in _sets_of(word)
    )


SOURCE_EXEMPT = _exempt("saddr", _FROM_LOOPBACK)
# With DNAT in output, oifname is that of the original destination: a service address of the node itself is on lo.
DESTINATION_EXEMPT = _exempt("daddr", _TO_LOOPBACK, _NOT_REDIRECTED)


def _egress(end: Part) -> tuple[Part, ...]:
    return (*DESTINATION_EXEMPT, *_drops("egress", "daddr", OUTBOUND, end=end))


def _leak_rules(hook: str) -> tuple[Part, ...]:
    return (*SOURCE_EXEMPT, *_leaks("ban", hook), *ANSWERS, *_leaks("shun", hook))


def _refusals() -> tuple[Part, ...]:
    rate = f"limit rate over {REFUSALS_PER_S}/second burst {REFUSALS_PER_S} packets"
    return (
        joined(Part(rate, beyond(REFUSALS_PER_S, REFUSALS_PER_S)), DROP),
        joined(_IS_TCP, Part("reject with tcp reset", refuse(Refusal.RESET))),
        Part("reject with icmpx admin-prohibited", refuse(Refusal.UNREACHABLE)),
    )


def chains_for(action: Action) -> tuple[Chain, ...]:
    """Return the chains in the order in which they are made. Those at a hook accept what no rule drops."""
    end = _REFUSE if action is Action.REJECT else DROP
    bans = (*SOURCE_EXEMPT, *_drops("ban", "saddr", end=end), *_port_drops(Strength.PROVEN, end))
    shuns = (*SOURCE_EXEMPT, *ANSWERS, *_drops("shun", "saddr"), *_port_drops(Strength.SPOOFABLE))
    return (
        *([Chain(REFUSE, "", 0, _refusals())] if action is Action.REJECT else []),
        Chain("ban", "prerouting", -310, bans),  # before raw: no tracking yet
        Chain("shun", "prerouting", -160, shuns),  # before mangle
        # after destination NAT (-100), before the usual filter chains (0), whose rules have not counted the packet yet
        Chain("egress_output", "output", -10, _egress(end)),
        Chain("egress_forward", "forward", -10, _egress(end)),
        # after the usual filter chains (0): a packet that those drop did not leak
        Chain("leak_input", "input", 300, _leak_rules("input")),
        Chain("leak_forward", "forward", 300, _leak_rules("forward")),
    )


CHAINS = chains_for(Action.DROP)
"""The chains of a table that drops."""
