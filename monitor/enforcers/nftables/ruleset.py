"""The table `inet nodewarden` as text for nft(8); pure, nothing here touches the kernel.

Four base chains drop. `ban` runs before conntrack and DNAT and drops everything from its sources, so pods and
NodePorts are covered. `shun` runs after conntrack and drops what cannot be an answer, that is packets that open a
connection to us or belong to none: an address that an attacker forged can still reply to our own connections.
`egress_output` and `egress_forward` drop packets to an
address on connections that the node, or a host or pod that it routes for, opened; they run after DNAT, so for a service
address the real destination counts. All chains first accept loopback and the allow sets.

Two more chains only count: `leak_input` and `leak_forward` run last and see traffic that a ban should have stopped but
did not, because another program changed our rules. They never drop, so a false match there does no harm.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Address, Network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, WORDS

TABLE = "nodewarden"
SCHEMA = "nodewarden schema 5"
"""The comment of the table. Increment the number with every change of chains or sets: other schemas are replaced."""

_ANSWERS = (
    "ct state established,related accept",
    # nobody tracks these, so an answer looks like a request; but TCP answers with ACK or RST (RFC 9293, section 3.10.7)
    "ct state untracked meta l4proto != tcp accept",
    "ct state untracked tcp flags & (ack | rst) != 0x0 accept",
)
"""What a shun lets through. What is left opens a connection, or belongs to none (`invalid`): FIN, NULL, Xmas scans."""
_HOOKS = {
    "ban": "prerouting priority raw - 10",
    "shun": "prerouting priority mangle - 10",
    # after destination NAT (-100), before the usual filter chains (0), whose rules have not counted the packet yet
    "egress_output": "output priority filter - 10",
    "egress_forward": "forward priority filter - 10",
    # after the usual filter chains (0): a packet that those drop did not leak
    "leak_input": "input priority 300",
    "leak_forward": "forward priority 300",
}

LEAK_HOOKS = ("input", "forward")
_LEAK_SIZE = 1024
_LEAK_TIMEOUT = "10m"


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
    """The definition of a set: `key_bytes` is 4 or 16, `size` the maximum number of elements."""

    key_bytes: int
    interval: bool
    size: int


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
            key_bytes=4 if family == "4" else 16, interval=bool(suffix), size=MAX_PREFIXES if suffix else max_bans
        )
        for word in WORDS.values()
        for family in "46"
        for suffix in ("", "_nets")
    }


BAN_SETS: dict[str, Strength] = {
    name: next(strength for strength, word in WORDS.items() if name.startswith(word)) for name in set_specs(1)
}
"""The names of the twelve ban sets, which are also the names of the twelve counters, with their strength."""

FORMER_SETS = {
    name.replace("egress", "block"): name for name, strength in BAN_SETS.items() if strength is Strength.DESTINATION
}
"""The names of sets and counters in schema 3 that have changed, with their current names."""


def definition_names() -> frozenset[str]:
    """Return the names of all parts of the table as `fingerprint` lists them; any other part is foreign."""
    sets = [*BAN_SETS, "allow4", "allow6", *(f"leaks{family}_{hook}" for hook in LEAK_HOOKS for family in "46")]
    counters = [*BAN_SETS, *(f"leak_{hook}" for hook in LEAK_HOOKS)]
    parts = {"chain": _HOOKS, "rules of chain": _HOOKS, "set": sets, "object": counters}
    return frozenset({"table", *(f"{kind} {name}" for kind, names in parts.items() for name in names)})


def setup_text(
    *,
    max_bans: int,
    allowlist: Sequence[Network],
    replace: bool = False,
    elements: Iterable[Element] = (),
    counters: Mapping[str, Stopped] | None = None,
) -> str:
    """Return the whole table as one transaction, which may be repeated: bans in the sets stay.

    `allowlist` must be disjoint (see `monitor.model.addresses.collapse`). With `replace`, the old table is deleted in
    the same transaction, and `elements` and `counters` carry its content over.
    """
    lines = [f"delete table inet {TABLE}"] if replace else []
    lines += [f"table inet {TABLE} {{", f'  comment "{SCHEMA}"']
    for name, spec in set_specs(max_bans).items():
        lines += _counter(name, (counters or {}).get(name))
        lines += _ban_set(name, spec)
    for family in "46":
        lines += [f"  set allow{family} {{", f"    type ipv{family}_addr", "    flags interval", "  }"]
    for hook in LEAK_HOOKS:
        lines += _leak_sets(hook, (counters or {}).get(f"leak_{hook}"))
    for chain, place in _HOOKS.items():
        lines += [f"  chain {chain} {{", f"    type filter hook {place}; policy accept;", "  }"]
    lines.append("}")
    lines += [f"flush chain inet {TABLE} {chain}" for chain in _HOOKS]
    for chain in _HOOKS:
        lines += [f"table inet {TABLE} {{", f"  chain {chain} {{", *_rules(chain), "  }", "}"]
    lines += _allow_elements(allowlist)
    lines += _ban_elements(elements)
    return "\n".join(lines) + "\n"


def _counter(name: str, start: Stopped | None) -> list[str]:
    # Only a new table gets a value: nft ignores it for an existing counter.
    value = [f"    packets {start.packets} bytes {start.bytes}"] if start else []
    return [f"  counter {name} {{", *value, "  }"]


def _ban_set(name: str, spec: SetSpec) -> list[str]:
    return [
        f"  set {name} {{",
        f"    type {'ipv4_addr' if spec.key_bytes == 4 else 'ipv6_addr'}",
        f"    size {spec.size}",
        f"    flags {'interval, timeout' if spec.interval else 'timeout'}",
        "    counter",
        "  }",
    ]


def _leak_sets(hook: str, start: Stopped | None) -> list[str]:
    lines = _counter(f"leak_{hook}", start)
    for family in "46":
        kind = [f"    type ipv{family}_addr", f"    size {_LEAK_SIZE}", "    flags dynamic, timeout"]
        lines += [f"  set leaks{family}_{hook} {{", *kind, f"    timeout {_LEAK_TIMEOUT}", "  }"]
    return lines


def _rules(chain: str) -> list[str]:
    is_egress = chain.startswith("egress")
    # With DNAT in output, oifname is that of the original destination: a service address of the node itself is on lo.
    loopback, side = ('oifname "lo" ct status & dnat == 0', "daddr") if is_egress else ('iifname "lo"', "saddr")
    rules = [f"{loopback} accept", f"ip {side} @allow4 accept", f"ip6 {side} @allow6 accept"]
    if chain.startswith("leak"):
        rules += [*_leak_rules(chain, "ban"), *_ANSWERS, *_leak_rules(chain, "shun")]
    elif is_egress:
        rules += _drop_rules("egress", side, "ct direction original ")
    else:
        rules += [*(_ANSWERS if chain == "shun" else ()), *_drop_rules(chain, side)]
    return [f"    {rule}" for rule in rules]


def _drop_rules(word: str, side: str, condition: str = "") -> list[str]:
    return [
        f"{condition}{_ip(family)} {side} @{name} counter name {name} drop" for name, family in _sets_of(word).items()
    ]


def _leak_rules(chain: str, word: str) -> Iterator[str]:
    for name, family in _sets_of(word).items():
        noted = f"update @{chain.replace('leak', f'leaks{family}')} {{ {_ip(family)} saddr }}"
        yield f"{_ip(family)} saddr @{name} counter name {chain} {noted}"


def _sets_of(word: str) -> dict[str, str]:
    """Return the families of the sets of this kind, by name."""
    return {name: "4" if "4" in name else "6" for name in BAN_SETS if name.startswith(word)}


def _ip(family: str) -> str:
    return "ip" if family == "4" else "ip6"


def _allow_elements(allowlist: Sequence[Network]) -> list[str]:
    lines = []
    for name in ("allow4", "allow6"):
        lines.append(f"flush set inet {TABLE} {name}")
        members = [_notation(network) for network in allowlist if allow_set_name(network) == name]
        if members:
            lines.append(f"add element inet {TABLE} {name} {{ {', '.join(members)} }}")
    return lines


def _ban_elements(elements: Iterable[Element]) -> list[str]:
    by_set: dict[str, list[str]] = {}
    for element in elements:
        timeout = "" if element.timeout_s is None else f" timeout {_duration(element.timeout_s)}"
        text = f"{_notation(element.network)} counter packets {element.packets} bytes {element.bytes}{timeout}"
        by_set.setdefault(set_name(element.network, element.strength), []).append(text)
    return [f"add element inet {TABLE} {name} {{ {', '.join(texts)} }}" for name, texts in by_set.items()]


def _duration(seconds: float) -> str:
    # nft 1.0.6 refuses large numbers of milliseconds ("value too large"): separate days and seconds keep them small.
    whole_s, milliseconds = divmod(max(1, round(seconds * 1000)), 1000)
    days, rest_s = divmod(whole_s, 86400)
    return "".join(f"{n}{unit}" for n, unit in ((days, "d"), (rest_s, "s"), (milliseconds, "ms")) if n)


def _notation(network: Network) -> str:
    # inet_ntop writes ::192.0.2.1 for IPv4-compatible addresses, which nft also reads; ipaddress writes hex.
    text = str(ipaddress.ip_address(network.address))
    return text if network.is_host else f"{text}/{network.prefix_length}"
