"""The node's rules as they are written: tables, chains and rules of nftables, and whose they are."""

import enum
from typing import Any

import msgspec

from monitor.audit.findings import RuleRef


class Author(enum.StrEnum):
    """Which program a table, chain or rule belongs to."""

    NODEWARDEN = "nodewarden"
    KUBE_PROXY = "kube-proxy"
    CNI = "CNI"
    DOCKER = "docker"
    PODMAN = "podman"
    UFW = "ufw"
    FIREWALLD = "firewalld"
    FAIL2BAN = "fail2ban"
    CROWDSEC = "crowdsec"
    LIBVIRT = "libvirt"
    OTHER = "another program"
    """One of many that write rules for what they do, such as a VPN."""
    OPERATOR = "operator"
    """Nobody else's: written by hand, or by what is not known here."""


SETTLED = frozenset({Author.OPERATOR, Author.UFW, Author.FIREWALLD})
"""Authors whose rules change only when the operator wants that; the others' come and go with pods, containers, bans."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: its expressions as libnftables-json(5) gives them."""

    ref: RuleRef
    author: Author = Author.OPERATOR
    expressions: tuple[Any, ...] = ()
    is_opaque: bool = False
    """It has a match or target of iptables that nftables cannot show; a comment is none."""
    saved: str = ""
    """The rule in the notation of iptables-save without `-A CHAIN`, if it was written by iptables-nft."""
    verdict: str = ""
    """What it does with a packet: `accept`, `drop`, `reject`, `return`, `jump CHAIN`, `goto CHAIN`, `dnat`, `redirect`,
    `masquerade`, `snat`, `vmap`, `queue` or nothing."""
    packets: int | None = None
    """Of its counter; None without one."""

    @property
    def target(self) -> str:
        """The chain that it jumps or goes to; empty: none."""
        return self.verdict.partition(" ")[2]


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A chain; `hook` is empty for one that only others jump to."""

    family: str
    table: str
    name: str
    author: Author = Author.OPERATOR
    type: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = ""
    rules: tuple[Rule, ...] = ()

    @property
    def ref(self) -> RuleRef:
        """The chain's policy as a rule."""
        return RuleRef(
            family=self.family, table=self.table, chain=self.name, text=f"policy {self.policy}" if self.policy else ""
        )


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """A named map: keys and verdicts or data as libnftables-json(5) gives them."""

    family: str
    table: str
    name: str
    key_types: tuple[str, ...] = ()
    elements: tuple[tuple[Any, Any], ...] = ()
    is_complete: bool = True
    """Whether all elements are here: a large map is cut."""


class Persistence(msgspec.Struct, frozen=True, kw_only=True):
    """What would load rules at the next boot."""

    is_known: bool = False
    """Whether the units and files could be read."""
    loaders: tuple[str, ...] = ()
    """Enabled units that load rules."""
    texts: dict[str, str] = {}
    """By path: the files that those units load, as far as they were read."""


class Ruleset(msgspec.Struct, frozen=True, kw_only=True):
    """All chains of all tables, in the order of the kernel."""

    chains: tuple[Chain, ...] = ()
    maps: tuple[Map, ...] = ()
    tables: tuple[str, ...] = ()
    """All of nftables, also empty ones, such as `inet filter`."""
    legacy_tables: tuple[str, ...] = ()
    """Tables of iptables-legacy that have rules, such as `ip filter`."""
    legacy_lack: str = ""
    """Why it is unknown whether there are any."""
    digests: dict[str, str] = {}
    """By table (`inet filter`): a digest of its rules without counters, handles and the content of sets. Rules of
    programs that write new ones all the time are left out; so are tables with no others."""
    persistence: Persistence = Persistence()
    nft_version: str = ""
