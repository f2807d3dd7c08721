"""What the pipeline is told: all that decisions follow from, in order, each with the wall time it was told at.

A recording is a list of these. Whoever tells the same to another pipeline gets the same decisions. All times are wall
time in seconds since the epoch. `monitor.recording.wire` turns inputs into bytes and back.
"""

import enum
from collections.abc import Sequence
from typing import Any, TypeAlias, get_args

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import MANUAL, AllowEntry, Ban, ClaimOrigin, Mode, Offence
from monitor.model.events import KINDS, Event
from monitor.model.flows import FlowBatch
from monitor.model.networks import NodeNetworks
from monitor.model.services import Service
from monitor.model.sysctls import Sysctls

FLOW_BATCH = "flow_batch"
"""The kind of batches of flows, which have none in metrics."""
ENFORCE = "enforce"
"""The name of calls that put bans into force."""
KIND_OF: dict[type[Event], str] = {**KINDS, FlowBatch: FLOW_BATCH}
"""By type of event, its name in recordings."""
TYPE_OF: dict[str, type[Event]] = {kind: event for event, kind in KIND_OF.items()}
"""By name in recordings, the type of event."""


class _Input(msgspec.Struct, frozen=True, array_like=True, tag=str.lower, gc=False):
    """What the pipeline was told at `time_s`."""

    time_s: float


class Started(_Input, frozen=True, array_like=True):
    """The daemon started. `is_continued`: it was running; only a new part of the recording begins here."""

    node: str
    version: str
    is_continued: bool = False
    seed: int = 0
    """What the run's hashes are keyed with (`monitor.model.salt`)."""
    has_state: bool = False
    """Where it continues: all that the run knows follows, so that a replay can begin here."""


class Configured(_Input, frozen=True, array_like=True):
    """This configuration is in force from now on.

    `document` is the composed configuration as `config show --json` writes it, without secrets; `digest` tells whether
    it is another one. `sections` are those of detectors that watch logs, in the same notation by name, and `allowed`
    is what jails of fail2ban ignore: both come from files that the configuration names. `offences` is the history that
    was counted because of it, oldest first; empty if the one that is known went on.
    """

    document: dict[str, Any]
    digest: str
    sections: dict[str, dict[str, Any]] = {}
    allowed: list[AllowEntry] = []
    offences: list[Offence] = []
    is_continued: bool = False
    """Whether it was in force before, and is only repeated where a part of the recording begins."""
    filters: dict[str, str] = {}
    """Digests of the filters of detectors that watch logs: what one counted ends where its filter is another."""


class Surrounded(_Input, frozen=True, array_like=True):
    """What surrounds the node from now on: what the node needs, its networks, its sysctls. None: as before."""

    entries: list[AllowEntry]
    networks: NodeNetworks | None = None
    sysctls: Sysctls | None = None
    is_continued: bool = False
    """Whether it was so before, and is only repeated where a part of the recording begins."""


class Listening(_Input, frozen=True, array_like=True):
    """These sockets of the node listen from now on. `is_seen`: they count as seen to work at this time."""

    services: list[Service]
    is_seen: bool = False


class SavedWindowOf(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an earlier run had counted: as it was saved, at `saved_s`."""

    saved_s: float
    content: bytes


class KnownService(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A service that an earlier run knew, and when it was last seen to work."""

    service: Service
    seen_s: float


class Restored(_Input, frozen=True, array_like=True):
    """What an earlier run left is in force: all claims as they are by now, those that came since the start included.

    `offences` is the history, oldest first, `allowed` what was allowed by command. `windows` are by the names that
    they were saved under. `is_late`: the store could be read only now, so all is counted again.
    """

    claims: list[Ban] = []
    offences: list[Offence] = []
    allowed: list[AllowEntry] = []
    windows: dict[str, SavedWindowOf] = {}
    services: list[KnownService] = []
    is_late: bool = False


class Corrected(_Input, frozen=True, array_like=True):
    """Claims got other times: the clock that they had been saved by is believed."""

    claims: list[Ban]


class Events(_Input, frozen=True, array_like=True):
    """A batch of events of one type, of which there is at least one."""

    events: Sequence[Any]

    @property
    def kind(self) -> str:
        """The name of the type of event."""
        return KIND_OF[type(self.events[0])]


class Skipped(_Input, frozen=True, array_like=True):
    """A batch of events of a kind that the reader did not ask for; never part of a recording."""

    kind: str
    count: int


class Ticked(_Input, frozen=True, array_like=True):
    """A second is over: do what time alone calls for."""


class Order(enum.StrEnum):
    """What people order."""

    BAN = "ban"
    """Ban; imports, too."""
    UNBAN = "unban"
    """End the local claims of networks, and forgive them."""
    LIFT = "lift"
    """End the local claims of networks."""
    FORGET = "forget"
    """Forget the bans that the kernel refused."""
    ALLOW = "allow"
    DISALLOW = "disallow"
    FLUSH = "flush"
    """End all bans."""


class OrderedBan(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is to be banned; the network is narrowed to ports where the order was."""

    network: Network
    strength: Strength
    bantime_s: float
    reason: str
    origin: ClaimOrigin = ClaimOrigin.OPERATOR
    name: str = MANUAL
    mode: Mode = Mode.ENFORCE


class Ordered(_Input, frozen=True, array_like=True):
    """An order by command. Which of the lists are used depends on what is ordered."""

    what: Order
    bans: list[OrderedBan] = []
    networks: list[Network] = []
    entries: list[AllowEntry] = []


class Withdrawn(_Input, frozen=True, array_like=True):
    """An origin elsewhere withdrew claims: those of these networks and strengths, or all that it has (None)."""

    origin: ClaimOrigin
    name: str
    places: list[tuple[Network, Strength]] | None = None


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the kernel refused: in which call of the input (from 0), the `ban_key` (empty: all of it failed), why."""

    call: int
    key: bytes
    reason: str
    method: str = ENFORCE
    """What was called: calls are counted apart for each."""


class Refused(_Input, frozen=True, array_like=True):
    """What the kernel refuses while the next input is carried out. Recorded before it, and only if there is any."""

    refusals: list[Refusal]


class Drew(_Input, frozen=True, array_like=True):
    """The random numbers (from 0 to 1) that lengthen bans of the next input. Recorded before it."""

    numbers: list[float]


class Lost(_Input, frozen=True, array_like=True):
    """Bans that were in force and that the kernel refused when its table was filled again: why, by `ban_key`."""

    reasons: dict[bytes, str]
    calls: int = 0
    """How many calls to enforce bans the next input had made by then; 0: it happened before it."""


class ClockSet(_Input, frozen=True, array_like=True):
    """The clock was set by `step_s`; it was right at `last_look_s`. `time_s` is by the new clock."""

    step_s: float
    last_look_s: float


class Gap(_Input, frozen=True, array_like=True):
    """The recording lacks `count` inputs or events (0: unknown how many) from `where` on."""

    where: str
    count: int
    reason: str


class Flood(_Input, frozen=True, array_like=True):
    """Events of one kind that are only counted, by source: there were too many within the second before `time_s`.

    `others` are those of the sources for which there was no room.
    """

    kind: str
    sources: list[tuple[bytes, int]]
    others: int = 0


Input: TypeAlias = (
    Started
    | Configured
    | Surrounded
    | Listening
    | Restored
    | Corrected
    | Events
    | Ticked
    | Ordered
    | Withdrawn
    | Refused
    | Drew
    | Lost
    | ClockSet
    | Gap
    | Flood
)
"""All that a recording consists of."""

INPUTS: tuple[type[Any], ...] = get_args(Input)
"""The types of inputs."""
