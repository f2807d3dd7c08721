"""The settings of section `bans`: what becomes of alerts."""

import re
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import ValueKind, among, duration, integer, number
from monitor.config.shapes import Section
from monitor.model.addresses import Network

_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
"""Of what the kernel takes (dev_valid_name): what people use."""


def _read_interface(value: str) -> str:
    """Read the name of a network interface other than loopback, on which nothing is ever dropped."""
    if not _INTERFACE.fullmatch(value) or value in (".", "..", "lo"):
        raise ValueError(f"{value[:32]!r} is not an interface that faces attackers (expected for example eth0)")
    return value


INTERFACE: ValueKind[str] = ValueKind(
    "name of an interface", _read_interface, str, {"type": "string", "pattern": f"^{_INTERFACE.pattern}$"}
)


class Increment(Section, frozen=True, kw_only=True):
    """Longer bans for repeat offenders."""

    enabled: Annotated[bool, Meta(description="Ban for longer each time the same source offends again.")] = True
    factor: Annotated[
        float,
        number(0.01, 1000),
        Meta(description="The n-th repetition is banned for `bantime`, doubled n times, times `factor`."),
    ] = 1.0
    multipliers: Annotated[
        tuple[Annotated[float, number(0.01, 1_000_000)], ...],
        Meta(
            description="Used instead of doubling: the n-th repetition is banned for `bantime` times the n-th of "
            "these; the first stands for the first offence, the last for all further ones."
        ),
    ] = ()
    maxtime_s: Annotated[float, duration("1s", "3650d"), Meta(description="No ban grows longer than this.")] = field(
        default=4 * 604800.0, name="maxtime"
    )
    rndtime_s: Annotated[
        float,
        duration("0s", "365d"),
        Meta(description="Up to this much is added at random, so that nobody can time the end of a ban."),
    ] = field(default=0.0, name="rndtime")
    overalljails: Annotated[bool, Meta(description="Count offences against all detectors together.")] = False
    decay_s: Annotated[
        float,
        duration("1m", "365d"),
        Meta(description="After each such time without an offence, one step is forgiven."),
    ] = field(default=604800.0, name="decay")


class Recidive(Section, frozen=True, kw_only=True):
    """One long ban for who was banned again and again."""

    enabled: Annotated[bool, Meta(description="Ban repeat offenders of whatever detectors for long.")] = True
    maxretry: Annotated[
        int, integer(2, 1000), Meta(description="How many bans of one source within `findtime` make a recidivist.")
    ] = 5
    findtime_s: Annotated[float, duration("1m", "4w"), Meta(description="How far back bans are counted.")] = field(
        default=86400.0, name="findtime"
    )
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a recidivist is banned.")] = field(
        default=604800.0, name="bantime"
    )


class Prefixes(Section, frozen=True, kw_only=True):
    """Bans of whole prefixes."""

    ipv6_score: Annotated[
        int,
        among(48, 56, 64, 128),
        Meta(
            description="IPv6 sources are scored and banned as prefixes of this length, since one host can use any "
            "address of its /64; 128 takes each address by itself. A prefix that holds somebody allowed is left "
            "alone, its offender is banned by itself."
        ),
    ] = 64
    findtime_s: Annotated[
        float, duration("1m", "4w"), Meta(description="How far back offenders of a prefix are counted.")
    ] = field(default=86400.0, name="findtime")
    ipv4_24: Annotated[
        int, integer(0, 256), Meta(description="So many distinct offenders ban their IPv4 /24; 0 or 1: never.")
    ] = 0
    ipv6_64: Annotated[
        int,
        integer(0, 65536),
        Meta(
            description="So many distinct offenders ban their IPv6 /64 (where `ipv6_score` is longer); 0 or 1: never."
        ),
    ] = 4
    ipv6_56: Annotated[
        int, integer(0, 256), Meta(description="So many distinct offenders ban their IPv6 /56; 0 or 1: never.")
    ] = 4
    ipv6_48: Annotated[
        int, integer(0, 65536), Meta(description="So many distinct offenders ban their IPv6 /48; 0 or 1: never.")
    ] = 16


class Budget(Section, frozen=True, kw_only=True):
    """The brake."""

    bans_per_minute: Annotated[
        int,
        integer(1, 1_000_000),
        Meta(
            description="More new bans than this within a minute are only observed: that many are rather a mistake, "
            "or a flood of forged sources. Bans by hand are exempt."
        ),
    ] = 300


class Protect(Section, frozen=True, kw_only=True):
    """What the allowlist finds by itself, beside the node's addresses, gateways and resolvers."""

    sessions: Annotated[
        bool, Meta(description="Never ban where administrators are logged in from, while they are.")
    ] = True
    kubernetes: Annotated[
        bool,
        Meta(
            description="On a Kubernetes node, never ban its API server, nodes, pods and services, as far as "
            "the node's own files name them."
        ),
    ] = True


class Xdp(Section, frozen=True, kw_only=True):
    """A second wall in front of the first."""

    interfaces: Annotated[
        tuple[Annotated[str, INTERFACE], ...],
        Meta(
            description="Interfaces that face the attackers, such as `eth0`: there an XDP program drops what the `ban` "
            "sets hold before the kernel's stack sees it. The sets of nftables go on working behind it. Empty: none."
        ),
    ] = ()


class Bans(Section, frozen=True, kw_only=True):
    """What becomes of alerts."""

    allowlist: Annotated[
        tuple[Network, ...], Meta(description="Addresses and networks that are never banned, whatever they do.")
    ] = ()
    protect: Annotated[Protect, Meta(description="What the allowlist finds by itself.")] = Protect()
    budget: Annotated[Budget, Meta(description="The brake: too many bans at once are only observed.")] = Budget()
    increment: Annotated[
        Increment, Meta(description="Longer bans for repeat offenders, in fail2ban's words (`bantime.increment`).")
    ] = Increment()
    recidive: Annotated[Recidive, Meta(description="One long ban for who was banned again and again.")] = Recidive()
    prefixes: Annotated[Prefixes, Meta(description="Bans of whole prefixes.")] = Prefixes()
    escalate_spoofable: Annotated[
        bool,
        Meta(
            description="Let evidence that anyone can forge, such as a logged packet, count towards longer, repeated "
            "and prefix bans too. Off: who forges somebody's address cannot have him shunned for weeks."
        ),
    ] = False
    xdp: Annotated[Xdp, Meta(description="Dropping in front of the stack, by eBPF.")] = Xdp()
    max_bans: Annotated[
        int,
        integer(16, 1_048_576),
        Meta(description="Capacity of each of the kernel's sets of banned addresses: the bound on kernel memory."),
    ] = 131_072
