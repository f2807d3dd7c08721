"""The pipeline: everything that its stages are told, and the tap that a recording is made with.

Nothing else changes what is decided. So whoever tells another pipeline the same at the same times gets the same
decisions (`monitor.daemon.replay`).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from monitor.bans.decision import Decision, Ended
from monitor.daemon.pipeline.carry_over import Carried
from monitor.daemon.pipeline.stages import Stages
from monitor.daemon.pipeline.tap import Recorder, Tap
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import configured
from monitor.enforcers.protocol import Failure
from monitor.model import salt
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, Ban, ClaimOrigin, Offence
from monitor.model.events import Event
from monitor.model.flows import FlowBatch
from monitor.model.networks import NodeNetworks
from monitor.model.services import Service
from monitor.model.sysctls import Sysctls
from monitor.recording.inputs import (
    ENFORCE,
    ClockSet,
    Corrected,
    Events,
    Input,
    KnownService,
    Listening,
    Lost,
    Order,
    Ordered,
    OrderedBan,
    Restored,
    Started,
    Surrounded,
    Ticked,
    Withdrawn,
)
from monitor.settings.schema import Settings

_FEW_FLOWS = 16
"""Of more nobody asks whether their sources are allowed."""
_TURN_S = 60.0
"""How long a detector's busiest source is reported at least; at most twice as long."""


class Pipeline(Stages):
    """The stages, and all that they can be told. Synchronous: it is done when a method returns."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Take what the stages take."""
        super().__init__(*arguments, **more)
        self.tap = Tap(self.outside)
        self._turned_s = float("-inf")
        self.now_s = 0.0
        """The time of what it was told last."""
        self.inputs_total = 0
        """What it was told that a tick may have to follow: not the time, nor that connections ended or were allowed."""
        self.enforcers.leader.on_lost = self._lose

    def record(self, recorder: Recorder | None, node: str, version: str, now_s: float) -> None:
        """Have a recorder take everything from now on, after what is in force by now; None: nobody."""
        self.tap.open(recorder)
        if recorder is None:
            return
        has_run = self.now_s > 0.0  # then windows are not empty, and nobody knows what is in them
        self.tap.hand(Started(now_s, node, version, is_continued=has_run, seed=salt.current()))
        self.tap.hand(configured(self._settings, self.log_filters, now_s))
        self.tap.hand(Surrounded(now_s, list(self._node), self._networks, self._sysctls))
        claims = list(self.ledger.all_claims())
        services = [KnownService(*one) for one in self.evidence.services.remembered()]
        if claims or self._added or services:
            self.tap.hand(Restored(now_s, claims, allowed=list(self.added), services=services))

    @contextmanager
    def _told(self, now_s: float, make: Callable[[], Input], *, changes_windows: bool = True) -> Iterator[None]:
        """Carry out what is told, and hand it on; if it fails, too."""
        self.inputs_total += 1
        self.counted_total += changes_windows
        self._begin(now_s)
        try:
            yield
        finally:
            if self.tap.is_open:
                self.tap.told(make())

    def _begin(self, now_s: float) -> None:
        """Begin to carry out what is told at this time."""
        self.now_s = now_s
        self.outside.begin()

    def process(self, events: Sequence[Event], now_s: float) -> list[Decision]:
        """Take a batch of events of one type all the way; return what was decided."""
        if not events:
            return []
        self.inputs_total += any(map(self._calls_for_ticks, events))
        self.counted_total += not all(type(one) is FlowBatch and one.is_empty for one in events)
        self._begin(now_s)
        try:
            return self._process(events, now_s)
        finally:
            if self.tap.is_open:
                self.tap.told(Events(now_s, events))

    def tick(self, now_s: float) -> None:
        """Do what time alone calls for."""
        for part in self.tick_parts().values():
            part(now_s)

    def tick_parts(self) -> dict[str, Callable[[float], object]]:
        """Return what time alone calls for, by name, so that each part may fail without the others."""
        return {
            "repairing the table": self._repair,
            "releasing logged packets": self.release,
            "trying refused bans again": self._retry,
            "learning services": self._review_services,
            "ending bans": self.bans.tick,
            "turning the busiest sources": self._turn,
            "recording the tick": self._ticked,
        }

    @property
    def next_end_s(self) -> float:
        """No ban ends before this time."""
        return self.ledger.next_end_s

    def is_waiting(self, now_s: float) -> bool:
        """Return whether a tick has something to do: packets or bans that wait, new services, a table to repair."""
        evidence = self.evidence
        is_waiting = evidence.logged.is_waiting or evidence.services.has_new or len(self.refused) > 0
        is_waiting = is_waiting or self.table.needs_repair or self.bans.has_lost
        return is_waiting or self.next_end_s <= now_s

    def _calls_for_ticks(self, event: Event) -> bool:
        """Return whether a tick may have to follow an event: not connections that only end, or of allowed sources."""
        if type(event) is not FlowBatch:
            return True
        if event.only_ends:
            return False
        opened, completed = event.opened, event.completed
        is_more = event.has_gap or event.late or event.listed or event.incomplete
        if is_more or event.attempts > len(opened) or event.completions > len(completed) or len(opened) > _FEW_FLOWS:
            return True
        return not all(self.guard.shields(one.source) for one in (*opened, *completed))

    def _repair(self, now_s: float) -> None:
        self._begin(now_s)
        self.table.repair(now_s)

    def _ticked(self, now_s: float) -> None:
        """Hand the tick on, after all that it led to."""
        if self.tap.is_open:
            self.tap.told(Ticked(now_s))

    def _review_services(self, now_s: float) -> None:
        """Take back what rests on attempts at a service that was not known yet."""
        if new := self.evidence.services.take_new():
            self.counted_total += 1
            for detector in self.counting:
                self._acquit(detector.name, detector.review(new), now_s)
            self.shadows.review(new)

    def _turn(self, now_s: float) -> None:
        """Forget the busiest sources from time to time."""
        if not 0 <= now_s - self._turned_s < _TURN_S:
            self._turned_s = now_s
            for detector in self.counting:
                detector.stats.turn()
            self.shadows.turn(now_s)

    def reconfigure(
        self, settings: Settings, offences: Iterable[Offence], now_s: float, log_filters: LogFilters | None = None
    ) -> list[Carried]:
        """Follow a changed configuration; return what detectors keep of what they counted, and what they do not."""
        log_filters = log_filters or LogFilters(settings)
        counted: list[Offence] = []
        with self._told(now_s, lambda: configured(settings, log_filters, now_s, counted)):
            return self._reconfigure(settings, self.noted(offences, counted), now_s, log_filters)

    def noted(self, offences: Iterable[Offence], counted: list[Offence]) -> Iterator[Offence]:
        """Yield offences, and note those that are asked for: mostly the history is not counted anew."""
        for offence in offences:
            if self.tap.is_open:
                counted.append(msgspec.structs.replace(offence, evidence=b""))
            yield offence

    def follow_node(
        self,
        node: Sequence[AllowEntry],
        now_s: float,
        networks: NodeNetworks | None = None,
        sysctls: Sysctls | None = None,
    ) -> None:
        """Follow what the node itself needs, and the networks around it and the kernel's settings if given."""
        with self._told(now_s, lambda: Surrounded(now_s, list(node), networks, sysctls)):
            self._follow_node(node, now_s, networks, sysctls)

    def follow_listeners(self, listening: Iterable[Service], now_s: float, *, is_seen: bool) -> None:
        """Follow the listening sockets of this node; `is_seen`: they count as seen to work now."""
        listening = sorted(listening)
        # new ones are reviewed later
        with self._told(now_s, lambda: Listening(now_s, listening, is_seen), changes_windows=False):
            self.evidence.services.follow(listening)
            if is_seen:
                self.evidence.services.see_listeners(now_s)

    def remember_services(self, known: Iterable[tuple[Service, float]], now_s: float) -> None:
        """Know services of an earlier run, oldest first, and when they were last seen."""
        known = list(known)
        with self._told(now_s, lambda: Restored(now_s, services=[KnownService(*one) for one in known])):
            self.evidence.services.remember(known, now_s)

    def follow_clock(self, step_s: float, last_look_s: float, now_s: float) -> None:
        """Keep the time that bans still have when the clock is set: the kernel's timeouts know nothing of it."""
        with self._told(now_s, lambda: ClockSet(now_s, step_s, last_look_s)):
            self.evidence.services.shift(step_s)
            self.bans.follow_clock(step_s, last_look_s, now_s)

    def correct(self, claims: Sequence[Ban], now_s: float) -> None:
        """Give claims other times, also earlier ones; those that are over by now end with the next tick."""
        with self._told(now_s, lambda: Corrected(now_s, list(claims))):
            self.bans.correct(claims, now_s)

    def remembered(self, one: Restored) -> None:
        """Take note of what was restored of an earlier run: it is in force already."""
        self._begin(one.time_s)
        self.tap.told(one)

    def _lose(self, failures: Sequence[Failure]) -> None:
        """Strike out what the kernel lost."""
        self.tap.hand(Lost(self.now_s, {one.key: one.reason for one in failures}, self.outside.calls[ENFORCE]))
        self.bans.lose(failures)

    @property
    def added(self) -> Iterable[AllowEntry]:
        """What was allowed by command."""
        return self._added.values()

    def order(self, bans: Sequence[OrderedBan], now_s: float) -> list[Decision]:
        """Ban what a person, a file or a list orders, as one batch; return what was decided."""
        with self._told(now_s, lambda: Ordered(now_s, Order.BAN, bans=list(bans))):
            draft = self.policy.draft(now_s)
            for one in bans:
                self.policy.order(
                    draft, one.network, one.strength, one.bantime_s, one.reason, one.origin, one.name, one.mode
                )
            return self.bans.carry_out(draft)

    def withdraw(
        self, origin: ClaimOrigin, name: str, places: Iterable[tuple[Network, Strength]] | None, now_s: float
    ) -> list[Ended]:
        """End what an origin elsewhere claims of these networks, or all its claims (None); return what ended."""
        wanted = None if places is None else list(places)
        with self._told(now_s, lambda: Withdrawn(now_s, origin, name, wanted)):
            return self.bans.withdraw_of(origin, name, wanted, now_s)

    def unban(self, networks: Collection[Network], now_s: float) -> tuple[list[Ended], set[Network]]:
        """End the local claims of networks; return which ended, and of which networks refused bans were waiting."""
        with self._told(now_s, lambda: Ordered(now_s, Order.UNBAN, networks=list(networks))):
            return self.bans.unban(networks, now_s), self.refused.forgive(networks)

    def lift(self, networks: Sequence[Network], now_s: float) -> list[Ended]:
        """End the local claims of networks; return which ended."""
        with self._told(now_s, lambda: Ordered(now_s, Order.LIFT, networks=list(networks))):
            return self.bans.unban(networks, now_s)

    def forget_refused(self, now_s: float) -> None:
        """Try none of the bans again that the kernel refused."""
        with self._told(now_s, lambda: Ordered(now_s, Order.FORGET)):
            self.refused.clear()

    def flush(self, now_s: float) -> list[Ban]:
        """End all bans, and remove the table; return which they were."""
        with self._told(now_s, lambda: Ordered(now_s, Order.FLUSH)):
            self.refused.clear()
            return self.bans.flush(now_s)

    def allow(self, entries: Iterable[AllowEntry], now_s: float) -> list[Ban] | None:
        """Allow networks by command; return the bans that ended, or None, and none is allowed, if not all fit."""
        entries = list(entries)
        with self._told(now_s, lambda: Ordered(now_s, Order.ALLOW, entries=entries)):
            return self._allow(entries, now_s)

    def allow_again(self, entries: Iterable[AllowEntry], now_s: float) -> None:
        """Allow what an earlier run allowed; what does not fit is counted as omitted. `remembered` records it."""
        self._begin(now_s)
        self._allow(entries, now_s, is_restored=True)

    def disallow(self, networks: Iterable[Network], now_s: float) -> list[Network]:
        """Take back what was allowed by command; return what there was to take back."""
        networks = list(networks)
        with self._told(now_s, lambda: Ordered(now_s, Order.DISALLOW, networks=networks)):
            gone = [network for network in networks if self._added.pop(network, None)]
            self._renew_guard(now_s)
            return gone
