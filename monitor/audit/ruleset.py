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
    UFW = "ufw"
    FIREWALLD = "firewalld"
    FAIL2BAN = "fail2ban"
    CROWDSEC = "crowdsec"
    LIBVIRT = "libvirt"
    OPERATOR = "operator"
    """Nobody else's: written by hand, or by what is not known here."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: its expressions as libnftables-json(5) gives them."""

    ref: RuleRef
    author: Author = Author.OPERATOR
    expressions: tuple[Any, ...] = ()
    is_opaque: bool = False
    """It has a match of iptables that nftables cannot show."""
    packets: int | None = None
    """Of its counter; None without one."""


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


class Ruleset(msgspec.Struct, frozen=True, kw_only=True):
    """All chains of all tables, in the order of the kernel."""

    chains: tuple[Chain, ...] = ()
    legacy_tables: tuple[str, ...] = ()
    """Tables of iptables-legacy that have rules, such as `ip filter`."""
    digests: dict[str, str] = {}
    """By table (`inet filter`): a digest of its rules without counters, handles and the content of sets."""
