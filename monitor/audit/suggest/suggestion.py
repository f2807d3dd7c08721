"""What a suggestion is, and what is known when one is made."""

import enum
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from monitor.audit.facts import Facts
from monitor.audit.findings import Finding
from monitor.model.addresses import Network, collapse


class Form(enum.StrEnum):
    """What kind of text it is."""

    NFT = "nft"
    """For `nft -f`."""
    SYSCTL = "sysctl"
    """Lines of a file in /etc/sysctl.d."""
    SETTINGS = "settings"
    """Flags of a program, or lines of its configuration."""
    COMMANDS = "commands"
    """For a shell, as root."""
    ADVICE = "advice"
    """A sentence: what to do cannot be written down without knowing more."""


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """One change that repairs findings of one check."""

    check: str
    subjects: tuple[str, ...]
    """Of the findings that it repairs."""
    form: Form
    text: str
    """Lines, ready to be copied."""
    target: str = ""
    """The file that they belong into, or the command that takes them."""
    warning: str = ""
    """Who may be cut off, and what to find out before."""
    changes: Mapping[str, str] = {}
    """The same for programs: sysctls or flags with their values."""


class Neighbourhood(msgspec.Struct, frozen=True, kw_only=True):
    """The networks around the node: strangers are in none of them."""

    uplink: tuple[Network, ...] = ()
    """Of the interfaces with a default route: other nodes, and whoever has an address there."""
    inside: tuple[Network, ...] = ()
    """Of all other interfaces, and what is routed by them: pods, containers, the LAN of a router."""
    lack: str = ""
    """Why they are not known."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All that suggestions are made from."""

    facts: Facts = Facts()
    networks: Neighbourhood = Neighbourhood()
    destinations: str = ""
    """YAML with the destinations that this node used; empty: none are known."""
    destinations_lack: str = ""
    """Why none are known."""


Suggest = Callable[[Sequence[Finding], Known], Iterator[Suggestion]]
"""Takes findings of one check that fail, at least one; yields what would repair them."""

_MOST_SUBJECTS = 512
_UNSAFE = re.compile(r"[^0-9A-Za-z_.:/@*-]")


def subjects(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the subjects of some findings, each once and a bounded number."""
    return tuple(dict.fromkeys(one.subject for one in findings))[:_MOST_SUBJECTS]


def is_word(text: str) -> bool:
    """Whether a name that others chose can be part of a command or a rule without quotes."""
    return bool(text) and len(text) <= 256 and not _UNSAFE.search(text) and not text.startswith("-")


def as_set(networks: Sequence[Network], size: int) -> str:
    """Write the networks of a family (4 or 16 bytes) as an anonymous set of nftables; empty if there are none.

    Networks inside others are left out: nftables refuses overlapping ones.
    """
    chosen = collapse([one.whole for one in networks if len(one.address) == size])
    return f"{{ {', '.join(map(str, chosen))} }}" if chosen else ""
