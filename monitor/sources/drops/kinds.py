"""What drop counters return, whichever program counts."""

import msgspec

from monitor.ebpf.reasons import Fate, fate
from monitor.model.addresses import Address

NO_HEADER, NO_PROTOCOL, QUEUED = "no_header", "no_protocol", "queued"
FAMILIES = ("ipv4", "ipv6", "other", NO_HEADER, NO_PROTOCOL, QUEUED)
"""What the programs tell apart.

A packet without protocol is shown as one without header. `queued` was in the queue of a socket, and no reason is named.
"""
DIRECTIONS = ("in", "out", "forwarded")


class Released(msgspec.Struct, frozen=True):
    """What the kernel reports as dropped although no packet was lost."""

    reason: str
    fate: Fate


class DropKind(msgspec.Struct, frozen=True):
    """What is counted separately; closed sets of words, `unknown` or None where the program cannot know."""

    reason: str
    family: str
    direction: str
    is_tunnelled: bool | None
    is_foreign: bool | None
    """In another network namespace than the daemon's, such as a pod's."""


class Dropped(msgspec.Struct, frozen=True):
    """What a source lost since the last poll, by class of reason in the order of ReasonClass."""

    source: Address
    packets: tuple[int, ...]
    outer: Address | None
    tunnelled: int
    stealth_ports: int
    closed_ports: int


class DropStats(msgspec.Struct):
    """What is known of the counting itself; totals but for `offenders`."""

    lost_offenders: int = 0
    """Packets of sources that were not counted, because too many others were."""
    lost_probes: int = 0
    """Probes whose ports were not noted, because too many sources probed between two polls."""
    no_device: int = 0
    """Drops whose namespace is not known."""
    offenders: int = 0
    """Sources that are counted exactly now."""
    probers: int = 0
    """Sources whose probes were noted between the last two polls."""
    sketch_load: float = 0.0
    """How full the sketch was: above 1, sources must come more often to be counted exactly."""


class DropTotals(msgspec.Struct):
    """Packets and bytes since the program was attached, of all kinds there were."""

    drops: dict[DropKind, tuple[int, int]] = msgspec.field(default_factory=dict)
    released: dict[Released, int] = msgspec.field(default_factory=dict)
    """Buffers that were no lost packets."""

    @property
    def packets(self) -> int:
        """How many packets were dropped."""
        return sum(count for count, _ in self.drops.values())

    def add(self, kind: DropKind, packets: int, count_bytes: int) -> None:
        """Add what was counted of a kind, by what became of it; kinds may share a name."""
        became = fate(kind.reason, has_protocol=kind.family != NO_PROTOCOL, was_queued=kind.family == QUEUED)
        if became is not Fate.DROPPED:
            key = Released(kind.reason, became)
            self.released[key] = self.released.get(key, 0) + packets
            return
        if kind.family == NO_PROTOCOL:
            kind = msgspec.structs.replace(kind, family=NO_HEADER)
        before = self.drops.get(kind, (0, 0))
        self.drops[kind] = before[0] + packets, before[1] + count_bytes
