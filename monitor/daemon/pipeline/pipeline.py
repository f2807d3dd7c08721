"""The pipeline: hands each batch from one stage to the next."""

import enum
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import msgspec

from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger, Record
from monitor.bans.policy import Decision, Policy, Verdict
from monitor.daemon.pipeline.decision_log import DecisionLog
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.daemon.pipeline.table import Table
from monitor.daemon.pipeline.traffic import Traffic
from monitor.daemon.pipeline.wiring import build_detectors, build_guard, build_rules, build_surrounding, wanted
from monitor.daemon.sources.feeds import check_fed, unfed
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.proofs import Proofs
from monitor.detectors.registry import ALL
from monitor.enforcers.nftables.enforcer import Failure
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, FloodAlert, Strength
from monitor.model.bans import AllowEntry, Ban, Mode, Offence
from monitor.model.events import KINDS, Event
from monitor.model.flows import FlowBatch
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_TURN_S = 60.0
"""How long a detector's busiest source is told of, at least; at most twice that."""


class Ending(enum.StrEnum):
    """Why a ban is over: a closed set, used as a metric label."""

    EXPIRED = "expired"
    LIFTED = "lifted"
    ALLOWLISTED = "allowlisted"


class Pipeline:
    """Events in, bans in force out. Synchronous: a batch is through when `process` returns."""

    def __init__(
        self,
        settings: Settings,
        node: Sequence[AllowEntry],
        make_table: Callable[[Ledger, Guard], Table],
        record: Record | None = None,
        observe_latency: Callable[[float], None] = lambda _: None,
        cut_connections: Callable[[list[Network]], None] = lambda _: None,
        log_filters: LogFilters | None = None,
    ) -> None:
        """Wire the stages.

        `node` is what the node itself needs; `record` is told what must outlive a restart; `observe_latency` takes
        seconds from event to kernel set; `cut_connections` ends the connections of proven offenders;
        `log_filters` say which detectors watch logs (default: as `settings` have it).
        """
        check_fed(ALL)
        self.record = record
        self._settings = settings
        self._node = node
        self._added: dict[Network, AllowEntry] = {}
        self.log_filters = log_filters or LogFilters(settings)
        self.detectors = build_detectors(settings, self.log_filters.sections)
        self._dispatch = Dispatch(self.detectors)
        self.notices: list[str] = []
        """Detectors that find nothing, a sentence for each reason."""
        self._check_feeds()
        self.guard = build_guard(settings, (), node, self.log_filters.allowlist)
        self.ledger = Ledger(max_bans=settings.bans.max_bans, record=record)
        self.policy = Policy(self.guard, self.ledger, build_rules(settings, self.log_filters.sections), record)
        self.table = make_table(self.ledger, self.guard)
        self.proofs = Proofs(settings.bans.prefixes.ipv6_score)
        self.floods: dict[str, FloodAlert] = {}
        """The last one of each detector."""
        self.traffic = Traffic()
        self._surround()
        self.log = DecisionLog()
        self.events_by_kind: Counter[str] = Counter(dict.fromkeys(KINDS.values(), 0))
        self.alerts: Counter[tuple[str, Mode, Strength]] = Counter()
        self.ended: Counter[Ending] = Counter(dict.fromkeys(Ending, 0))
        """Bans in force that ended, by cause."""
        self._turned_s = float("-inf")
        self.decisions: Counter[tuple[str, Verdict]] = Counter()
        self.ban_failures = 0
        self._observe_latency = observe_latency
        self._cut_connections = cut_connections

    @property
    def events(self) -> int:
        """How many events came, of all kinds."""
        return self.events_by_kind.total()

    @property
    def enforces(self) -> bool:
        """Whether any detector may ban."""
        return any(policy.mode is Mode.ENFORCE for policy in self.policy.rules.detectors.values())

    def process(self, events: Sequence[Event], now_s: float) -> list[Decision]:
        """Take a batch of events of one type all the way; return what was decided."""
        if not events:
            return []
        kind = type(events[0])
        if kind is FlowBatch:
            return [decision for batch in events for decision in self._process_flows(cast("FlowBatch", batch), now_s)]
        self.events_by_kind[KINDS[kind]] += len(events)
        if kind.covers_all_traffic:
            events = [event for event in cast("Sequence[Any]", events) if not self._is_protected(event)]
        return self._answer(self._feed(events), now_s)

    def _process_flows(self, batch: FlowBatch, now_s: float) -> list[Decision]:
        self.traffic.count(batch, self.surrounding.own)
        self.proofs.note(batch.completed)
        if batch.invalid_total is not None:
            self.proofs.settle(batch.invalid_total, batch.time_s)
        return self._answer(self._feed([batch]), now_s) + self.process(batch.incomplete, now_s)

    def _feed(self, events: Sequence[Event]) -> Iterator[Alert | FloodAlert]:
        """Yield the alerts of a batch; where it covers all traffic, without those about protected addresses."""
        spares_protected = bool(events) and events[0].covers_all_traffic
        for alert in self._dispatch.feed(events):
            if not (spares_protected and isinstance(alert, Alert) and self._is_protected(alert)):
                yield alert

    def _is_protected(self, one: Any) -> bool:
        """Whether the source of an event or alert is on the allowlist."""
        return self.guard.protects(host(one.source)) is not None

    def _answer(self, alerts: Iterable[Alert | FloodAlert], now_s: float) -> list[Decision]:
        """Decide on alerts and carry that out."""
        decisions: list[Decision] = []
        for alert in alerts:
            if isinstance(alert, FloodAlert):
                self.floods[alert.detector] = alert
                self.log.flooded(alert)
                strength = Strength.SPOOFABLE
            else:
                weighed = msgspec.structs.replace(alert, strength=self.proofs.strength(alert))
                decisions += self.policy.decide(weighed, now_s)
                strength = weighed.strength
            self.alerts[alert.detector, self.policy.rules.detectors[alert.detector].mode, strength] += 1
        if decisions:
            self.carry_out(decisions, now_s)
        return decisions

    def _surround(self) -> None:
        """Have all detectors follow the node's addresses, its pods and the allowlist."""
        self.surrounding = build_surrounding(self.guard, self._node)
        for detector in self.detectors:
            detector.follow(self.surrounding)

    def _check_feeds(self) -> None:
        """Note which detectors find nothing because their sources are off, and log what is new of that."""
        known, self.notices = self.notices, unfed(wanted(self._settings), self._settings)
        for notice in self.notices:
            if notice not in known:
                _log.warning("%s", notice)

    def carry_out(self, decisions: Sequence[Decision], now_s: float) -> list[Failure]:
        """Put decisions into force and on record; return those bans the kernel refused."""
        new = [decision.ban for decision in decisions if decision.verdict is Verdict.BAN and decision.ban]
        longer = [decision.ban for decision in decisions if decision.verdict is Verdict.REFRESH and decision.ban]
        failures = self.table.enforce(new, longer, now_s) if new or longer else []
        if failures:
            self._take_back(failures, decisions)
        done_s = time.time()
        for decision in decisions:
            self.decisions[decision.detector, decision.verdict] += 1
            if decision.alert and decision.verdict in (Verdict.BAN, Verdict.REFRESH):
                self._observe_latency(max(0.0, done_s - decision.alert.time_s))
        self.log.decided(decisions)
        if proven := [ban.network for ban in new if ban.strength is Strength.PROVEN]:
            self._cut_connections(proven)
        return failures

    def lift(self, bans: Sequence[Ban], now_s: float, cause: Ending = Ending.LIFTED) -> None:
        """End bans before their time."""
        self._strike_out(bans, cause)
        self.table.lift(bans, now_s)

    def flush(self) -> list[Ban]:
        """End all bans, and remove the table; return which they were."""
        bans = list(self.ledger.bans())
        self.table.flush()
        self._strike_out(bans, Ending.LIFTED)
        return bans

    def _strike_out(self, bans: Iterable[Ban], cause: Ending) -> None:
        for ban in bans:
            self.ledger.remove(ban.network, ban.strength)
            self.ended[cause] += ban.mode is Mode.ENFORCE

    def tick(self, now_s: float) -> None:
        """Do what time alone calls for: end bans, repair the table, begin the log's next second."""
        self.table.repair(now_s)
        ended = self.ledger.expire(now_s)
        self.ended[Ending.EXPIRED] += sum(ban.mode is Mode.ENFORCE for ban in ended)
        self.log.ended(ended)
        self.log.tick()
        if not 0 <= now_s - self._turned_s < _TURN_S:
            self._turned_s = now_s
            for detector in self.detectors:
                detector.stats.turn()

    def reconfigure(
        self, settings: Settings, offences: Iterable[Offence], now_s: float, log_filters: LogFilters | None = None
    ) -> None:
        """Follow a changed configuration; detectors whose thresholds did not change keep what they have seen."""
        self._settings = settings
        self.log_filters = log_filters or LogFilters(settings)
        self.detectors = build_detectors(settings, self.log_filters.sections, self.detectors)
        self._dispatch = Dispatch(self.detectors)
        self._check_feeds()
        if settings.bans.prefixes.ipv6_score != self.proofs.ipv6_prefix:
            self.proofs = Proofs(settings.bans.prefixes.ipv6_score)
        self.policy.follow(build_rules(settings, self.log_filters.sections), offences)
        self._renew_guard(now_s)

    def follow_node(self, node: Sequence[AllowEntry], now_s: float) -> None:
        """Follow what the node itself needs."""
        self._node = node
        self._renew_guard(now_s)

    @property
    def added(self) -> Iterable[AllowEntry]:
        """What was allowed by command."""
        return self._added.values()

    def allow(self, entries: Iterable[AllowEntry], now_s: float) -> None:
        """Allow networks by command."""
        self._added.update((entry.network, entry) for entry in entries)
        self._renew_guard(now_s)

    def disallow(self, networks: Iterable[Network], now_s: float) -> list[Network]:
        """Take back what was allowed by command; return what there was to take back."""
        gone = [network for network in networks if self._added.pop(network, None)]
        self._renew_guard(now_s)
        return gone

    def _renew_guard(self, now_s: float) -> None:
        """Put a changed allowlist into force, in the kernel too, and lift bans that it now forbids."""
        self.guard = self.policy.guard = build_guard(
            self._settings, self._added.values(), self._node, self.log_filters.allowlist
        )
        self._surround()
        freed = [ban for ban in self.ledger.bans() if self.guard.protects(ban.network)]
        self.table.guard_with(self.guard, now_s)
        if freed:
            self.lift(freed, now_s, Ending.ALLOWLISTED)
            _log.warning("lifted %d bans that the allowlist now forbids", len(freed))

    def _take_back(self, failures: Sequence[Failure], decisions: Sequence[Decision]) -> None:
        """Strike bans that the kernel refused out of the ledger."""
        self.ban_failures += len(failures)
        _log.error("the kernel refused %d bans: %s: %s", len(failures), failures[0].network, failures[0].reason)
        refused = {(failure.network, failure.strength) for failure in failures}
        for decision in decisions:
            ban = decision.ban
            if ban and decision.verdict is not Verdict.COVERED and (ban.network, ban.strength) in refused:
                self.ledger.remove(ban.network, ban.strength)
                if decision.replaces:
                    self.ledger.put(decision.replaces)
