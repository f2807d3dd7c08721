"""The table `inet nodewarden`, as text for nft(8): pure, nothing here touches the kernel.

Four base chains drop. `ban` runs before conntrack and DNAT and drops everything from its sources, so pods and
NodePorts are covered. `shun` runs after conntrack and drops only what opens a connection to us: an address that
somebody forged can still answer our own connections. `egress_output` and `egress_forward` drop what goes to an address
on connections that the node, or whom it routes for, opened; they run after DNAT, so behind a service's address it is
the real destination that counts. Loopback and the allow sets are accepted first in all.

Two more chains only count: `leak_input` and `leak_forward` run last and see what a ban should have stopped and did not,
because somebody changed our rules. They never drop, so a wrong guess there costs nothing.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import Address, Network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, WORDS

TABLE = "nodewarden"
SCHEMA = "nodewarden schema 4"
"""The table's comment. Raise the number with any change of chains or sets: a table of another schema is replaced."""

_OPENS = "ct state new ct direction original "
_CONDITIONS = {"ban": "", "shun": _OPENS, "egress": "ct direction original "}
_HOOKS = {
    "ban": "prerouting priority raw - 10",
    "shun": "prerouting priority mangle - 10",
    # after destination NAT (-100), before the usual filter chains (0): what those let pass has not been counted yet
    "egress_output": "output priority filter - 10",
    "egress_forward": "forward priority filter - 10",
    # after the usual filter chains (0): what those drop did not leak
    "leak_input": "input priority 300",
    "leak_forward": "forward priority 300",
}

LEAK_HOOKS = ("input", "forward")
_LEAK_SIZE = 1024
_LEAK_TIMEOUT = "10m"


class Element(msgspec.Struct, frozen=True, gc=False):
    """One ban as the kernel holds it.

    `timeout_s` is the time that remains, in seconds; None means that it never ends. `packets` and `bytes` were
    dropped since the element was added or last refreshed.
    """

    network: Network
    strength: Strength
    timeout_s: float | None
    packets: int
    bytes: int


class SetSpec(msgspec.Struct, frozen=True, gc=False):
    """What a set is: `key_bytes` is 4 or 16, `size` the most elements it takes."""

    key_bytes: int
    interval: bool
    size: int


def set_name(network: Network, strength: Strength) -> str:
    """Name the set that holds this network: `ban4`, `shun6_nets` and so on."""
    family = "4" if len(network.address) == 4 else "6"
    return f"{WORDS[strength]}{family}{'' if network.is_host else '_nets'}"


def allow_set_name(network: Network) -> str:
    """Name the allow set of this network's family."""
    return "allow4" if len(network.address) == 4 else "allow6"


def leak_set_name(address: Address, hook: str) -> str:
    """Name the set of addresses of this family that came past their ban at `hook` within the last ten minutes."""
    return f"leaks{4 if len(address) == 4 else 6}_{hook}"


def set_specs(max_bans: int) -> dict[str, SetSpec]:
    """Describe the twelve sets of bans; `max_bans` bounds each set of single addresses."""
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
"""The twelve sets of bans, which are also the names of the twelve counters, with their strength."""

FORMER_SETS = {
    name.replace("egress", "block"): name for name, strength in BAN_SETS.items() if strength is Strength.DESTINATION
}
"""What schema 3 called some of these sets and counters, with today's names."""


def setup_text(
    *,
    max_bans: int,
    allowlist: Sequence[Network],
    replace: bool = False,
    elements: Iterable[Element] = (),
    counters: Mapping[str, Stopped] | None = None,
) -> str:
    """Write the whole table as one transaction, which may be repeated: bans that are in the sets stay.

    `allowlist` must be disjoint (see `monitor.model.addresses.collapse`). With `replace` the old table is deleted in
    the same transaction and `elements` and `counters` carry over what it held.
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
    # A value is given only to a new table: to an existing counter it would mean nothing.
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
    # To DNAT in output the interface is that of the address called: a service's own address on the node is on lo.
    loopback, side = ('oifname "lo" ct status & dnat == 0', "daddr") if is_egress else ('iifname "lo"', "saddr")
    lines = [f"    {loopback} accept", f"    ip {side} @allow4 accept", f"    ip6 {side} @allow6 accept"]
    for name, strength in BAN_SETS.items():
        word, family = WORDS[strength], "4" if "4" in name else "6"
        field = f"ip {side}" if family == "4" else f"ip6 {side}"
        if chain.partition("_")[0] == word:
            lines.append(f"    {_CONDITIONS[word]}{field} @{name} counter name {name} drop")
        elif chain.startswith("leak") and word != "egress":
            noted = f"update @{chain.replace('leak', f'leaks{family}')} {{ {field} }}"
            lines.append(f"    {_CONDITIONS[word]}{field} @{name} counter name {chain} {noted}")
    return lines


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
    # nft 1.0.6 refuses large numbers of milliseconds ("value too large"): days and seconds apart keep them small.
    whole_s, milliseconds = divmod(max(1, round(seconds * 1000)), 1000)
    days, rest_s = divmod(whole_s, 86400)
    return "".join(f"{n}{unit}" for n, unit in ((days, "d"), (rest_s, "s"), (milliseconds, "ms")) if n)


def _notation(network: Network) -> str:
    # inet_ntop writes ::192.0.2.1 for IPv4-compatible addresses, which nft reads as well; ipaddress keeps to hex.
    text = str(ipaddress.ip_address(network.address))
    return text if network.is_host else f"{text}/{network.prefix_length}"
