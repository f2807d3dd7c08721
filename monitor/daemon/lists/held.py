"""A block list as the daemon has it: its copy on disk, what the guard leaves of it, what of that is in the kernel."""

import enum
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from monitor.enforcers.nftables.list_frame import ListFrame
from monitor.enforcers.protocol import Stopped
from monitor.lists.columns import NOTHING, overlapping, without
from monitor.lists.file import ListCopy, ListHeader, PackedNetworks
from monitor.lists.settings import ListSet, ListSettings
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Mode

STRENGTHS = {ListSet.BAN: Strength.PROVEN, ListSet.SHUN: Strength.SPOOFABLE, ListSet.EGRESS: Strength.DESTINATION}
_SHOWN_ENTRIES = 5
_SLACK_S = 2 * 3600.0
"""The timer runs once an hour, and may miss a run."""
_FETCH = ": `nodewarden lists update {}` fetches it"


class ListStanding(enum.StrEnum):
    """What became of a list: a closed set, for people and programs."""

    IN_FORCE = "in force"
    OBSERVED = "observed"
    """In the kernel, where its rules only count."""
    WAITING = "waiting"
    """There is a copy, which is not in the kernel yet."""
    MISSING = "missing"
    """There is no copy yet."""
    EXPIRED = "expired"
    FLUSHED = "flushed"
    """`nodewarden flush` removed it; the next update or reload brings it back."""


class HeldList:
    """One list of the configuration."""

    def __init__(self, name: str, settings: ListSettings) -> None:
        """Know nothing of its copy yet."""
        self.name = name
        self.settings = settings
        self.header: ListHeader | None = None
        self.networks = NOTHING
        """What its copy has."""
        self.wanted = NOTHING
        """What the allowlist leaves of it."""
        self.guarded_by: Sequence[Network] = ()
        """What was allowed when that was found out."""
        self.in_kernel: PackedNetworks | None = None
        """What its sets in the kernel have; None if that is not known for certain."""
        self.filled: ListFrame | None = None
        """The sets in the kernel that are its own; None if there are none, or none that are complete."""
        self.frame: ListFrame | None = None
        """As the kernel's rules have it; None if they do not."""
        self.is_unread = True
        """Whether its copy is to be read."""
        self.signature: tuple[int, ...] = ()
        """What tells the file of its copy from the one that replaces it."""
        self.is_flushed = False
        self.hits = Stopped(0, 0)
        self.read_fault = ""
        """Why its copy cannot be used; what was in force before stays until it expires."""
        self.kernel_fault = ""
        self.renewal_fault = ""
        """What keeps the child from renewing the copy, as it says."""

    def take(self, copy: ListCopy) -> None:
        """Have this copy."""
        is_same = self.header is not None and self.header.digest == copy.header.digest
        self.header = copy.header
        if not is_same:
            self.networks, self.wanted = copy.networks, without(copy.networks, self.guarded_by)

    def spare(self, allowed: Sequence[Network]) -> None:
        """Leave out what is allowed by now."""
        if self.guarded_by != allowed:
            self.guarded_by = allowed
            thinned = without(self.networks, allowed)
            self.wanted = self.wanted if thinned == self.wanted else thinned

    def is_expired(self, now_s: float) -> bool:
        """Whether its copy must not be used any longer."""
        return self.header is not None and now_s >= self.header.expires_s

    def left_s(self, now_s: float) -> float:
        """Return how long its copy may be used, in seconds: never longer than the configuration lets a copy live."""
        return 0.0 if self.header is None else min(self.header.expires_s - now_s, self.settings.lifetime_s)

    def is_overdue(self, now_s: float) -> bool:
        """Whether two renewals were missed and nobody said why: the child does not run."""
        return self.header is not None and now_s - self.header.fetched_s > 2 * self.settings.every_s + _SLACK_S

    def is_due(self, now_s: float) -> bool:
        """Whether it belongs into the kernel."""
        return self.header is not None and not self.is_flushed and not self.is_expired(now_s)

    def due(self, mode: Mode) -> "Due":
        """Return what its rules are to do, given the mode of the whole daemon."""
        drops = mode is Mode.ENFORCE and self.settings.mode is Mode.ENFORCE
        return Due(self, STRENGTHS[self.settings.set], drops)

    def standing(self, now_s: float) -> ListStanding:
        """Say what became of it."""
        if self.header is None:
            return ListStanding.MISSING
        if self.is_expired(now_s):
            return ListStanding.EXPIRED
        if self.is_flushed:
            return ListStanding.FLUSHED
        if self.frame is None:
            return ListStanding.WAITING
        return ListStanding.IN_FORCE if self.frame.drops else ListStanding.OBSERVED

    def problem(self, now_s: float) -> str:
        """Say what is wrong with it; empty if nothing is."""
        renewal = f": {self.renewal_fault}" if self.renewal_fault else ""
        what = f"block list {self.name}"
        if self.kernel_fault:
            return f"{what}: {self.kernel_fault}"
        if self.read_fault:
            return f"{what}: {self.read_fault}; `nodewarden lists update {self.name}` fetches it again"
        match self.standing(now_s):
            case ListStanding.MISSING:
                return f"{what} has no copy yet, nothing of it is in force{renewal or _FETCH.format(self.name)}"
            case ListStanding.EXPIRED:
                return f"{what} has expired, nothing of it is in force{renewal or _FETCH.format(self.name)}"
        if renewal:
            return f"{what} cannot be renewed and is in force until its copy expires{renewal}"
        if self.is_overdue(now_s):
            return f"{what} is overdue, nothing tries to renew it: is nodewarden-lists.timer active?"
        return ""

    @property
    def spared(self) -> int:
        """How many of its networks are left out because they are allowed."""
        return self.networks.total - self.wanted.total

    def describe(self, now_s: float) -> dict[str, Any]:
        """Return what is known of it, as plain data."""
        header = self.header
        return {
            "name": self.name,
            "set": self.settings.set.value,
            "mode": self.settings.mode.value,
            "state": self.standing(now_s).value,
            "entries": self.wanted.total if self.frame else 0,
            "dropped": self.spared,
            "hits": self.hits.packets,
            "hit_bytes": self.hits.bytes,
            "fetched_s": header.fetched_s if header else None,
            "expires_s": header.expires_s if header else None,
            "source": header.source if header else self.settings.url or self.settings.file,
            "licence": header.licence if header else "",
            "problem": self.problem(now_s),
        }

    def about(self, network: Network, now_s: float) -> list[dict[str, Any]]:
        """Return its entries that share addresses with a network, as plain data: a few of them."""
        header = self.header
        if header is None:
            return []
        return [
            {
                "list": self.name,
                "entry": str(entry),
                "set": self.settings.set.value,
                "state": self.standing(now_s).value,
                "is_spared": not overlapping(self.wanted, entry, 1),
                "fetched_s": header.fetched_s,
                "expires_s": header.expires_s,
            }
            for entry in overlapping(self.networks, network, _SHOWN_ENTRIES)
        ]


class Due(msgspec.Struct, frozen=True):
    """A list that is to be in the kernel, with what its rules are to do."""

    held: HeldList
    strength: Strength
    drops: bool

    @property
    def frame(self) -> ListFrame:
        """The list as the rules are to have it; its sets must be filled."""
        if self.held.filled is None:
            raise ValueError(self.held.name)
        return replace(self.held.filled, strength=self.strength, drops=self.drops)
