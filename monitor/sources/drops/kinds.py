"""What drop counters return, whichever program counts."""

import msgspec

from monitor.model.addresses import Address

FAMILIES = ("ipv4", "ipv6", "other", "no_header")
DIRECTIONS = ("in", "out", "forwarded")


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
