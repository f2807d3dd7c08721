"""Problems: what `status` reports, each of a kind from a closed set, which is a label of `nodewarden_problem`.

A part of the daemon describes what is wrong in a sentence. Sentences have numbers and names in them; alerts and health
checks go by the kind.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class ProblemKind(enum.StrEnum):
    """What a problem is about."""

    BUDGET = "budget"
    """More new bans than `bans.budget` allows: the rest are only observed."""
    ROOM = "room"
    """No room for new bans of some class."""
    ALLOWLIST_FULL = "allowlist_full"
    ALLOWLIST_WIDE = "allowlist_wide"
    """Most of the Internet is on the allowlist."""
    OBSERVED_FULL = "observed_full"
    FLOOD = "flood"
    TRACKING = "tracking"
    """Connections are not tracked."""
    SYSCTL = "sysctl"
    """A sysctl hides evidence."""
    SOURCE = "source"
    """A source cannot be read, or reports nothing."""
    RECORDS_LOST = "records_lost"
    """Records were lost before they were read."""
    CONNTRACK_FULL = "conntrack_full"
    """The kernel's table of connections is nearly full."""
    EBPF = "ebpf"
    """An eBPF program failed, or is not on all its interfaces."""
    SURROUNDINGS = "surroundings"
    """Node addresses, routes or sessions cannot be read or followed."""
    NAMES = "names"
    """Servers of the cluster that cannot be resolved."""
    SCRAPER_BANNED = "scraper_banned"
    """A client that scraped metrics or checked health is banned."""
    CROWDSEC = "crowdsec"
    """Decisions cannot be exchanged with CrowdSec."""
    LEAK = "leak"
    """Traffic from banned sources is still getting through."""
    STATE = "state"
    """Bans and history cannot be saved."""
    STATE_COPY = "state_copy"
    RECORDING = "recording"
    CLOCK = "clock"
    TRIAL = "trial"
    CONFIGURATION = "configuration"
    TABLE = "table"
    """The kernel's table is missing, or has a fault."""
    FOREIGN = "foreign"
    """Elements of other programs leave little room in a set."""
    REFUSED = "refused"
    """The kernel refuses more bans than can wait to be tried again."""
    FOLLOWER = "follower"
    """An enforcer in addition to nftables does not have all bans."""
    LISTENER = "listener"
    FILTER = "filter"
    """A detector finds nothing because of its filter or log."""
    WINDOW = "window"
    """A detector forgets evidence because its window is full."""
    SHADOW = "shadow"
    DESCRIPTORS = "descriptors"
    SERVICE_MANAGER = "service_manager"
    """systemd cannot be notified."""
    LOG = "log"
    """The daemon's log cannot be written."""
    LISTS = "lists"
    """A block list is missing, expired, cannot be renewed, or is not in the kernel."""
    NOTIFY = "notify"
    """People are not notified: the notifier does not run, or a channel fails."""
    INTERNAL = "internal"
    """Internal faults."""
    WEB_CONFIG = "web_config"
    """`metrics.web_config_file` is faulty; an older version of it is in force."""
    FLEET = "fleet"
    """The fleet's server cannot be used, or not as it should be."""
    FLEET_BREAKER = "fleet_breaker"
    """A peer is only observed, because it named allowed networks or too many."""
    FLEET_DIFFERS = "fleet_differs"
    """Nodes of the fleet differ for a quarter of an hour."""
    FLEET_WAITING = "fleet_waiting"
    """Bans wait to be published, although the server answers."""
    AUDIT = "audit"
    """Audits of what is open on this node do not run, or their report cannot be read."""


class Problem(NamedTuple):
    """One problem, as a sentence for people."""

    kind: ProblemKind
    text: str


def of_kind(kind: ProblemKind, texts: Iterable[str]) -> Sequence[Problem]:
    """Return a problem for each text that is not empty."""
    return [Problem(kind, text) for text in texts if text] if texts else ()


UNHEALTHY = frozenset(
    {
        ProblemKind.TRACKING,
        ProblemKind.SYSCTL,
        ProblemKind.SOURCE,
        ProblemKind.LEAK,
        ProblemKind.STATE,
        ProblemKind.CONFIGURATION,
        ProblemKind.TABLE,
        ProblemKind.REFUSED,
        ProblemKind.DESCRIPTORS,
        ProblemKind.INTERNAL,
    }
)
"""What keeps the guard from its work, or from what it was told to do: /healthz answers 503. All else is for a person
to read, and no reason to take a node for unguarded."""


def worst_first(problems: Iterable[Problem]) -> list[Problem]:
    """Order problems: first what keeps the guard from its work, each half in the order in which it was found.

    Some readers show the first one only: the screen of `top`, the line of `systemctl status`.
    """
    return sorted(problems, key=lambda one: one.kind not in UNHEALTHY)
