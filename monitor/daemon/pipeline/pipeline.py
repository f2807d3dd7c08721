"""The pipeline: hands each batch from one stage to the next."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import msgspec

from monitor.bans.decision import Decision, Ending
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.daemon.pipeline.ban_control import BanControl
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.dispatch import KINDS, Dispatch
from monitor.daemon.pipeline.flow_wiring import build_surrounding
from monitor.daemon.pipeline.listeners import Listener, Listeners
from monitor.daemon.pipeline.traffic import Traffic
from monitor.daemon.pipeline.wiring import build_detectors, build_guard, build_rules
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.flow_limits import FlowDetector
from monitor.detectors.proofs import Proofs
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.table import NftablesTable
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.bans import AllowEntry, Mode, Offence
from monitor.model.events import DropsObserved, Event, SenderObserved
from monitor.model.flows import FlowBatch, FlowIncomplete
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_TURN_S = 60.0
"""How long a detector's busiest source is told of, at least; at most twice that."""


class Pipeline:
    """Events in, bans in force out. Synchronous: a batch is through when `process` returns."""

    def __init__(
        self,
        settings: Settings,
        node: Sequence[AllowEntry],
        make_enforcers: Callable[[Ledger, Sequence[Network]], Enforcement[NftablesTable]],
        listeners: Sequence[Listener] = (),
        metrics: DecisionMetrics | None = None,
        cut_connections: Callable[[list[Network]], None] = lambda _: None,
        log_filters: LogFilters | None = None,
    ) -> None:
        """Wire the stages.

        `node` are node addresses, gateways and resolvers; `make_enforcers` gets the ledger and the networks that always
        pass; `listeners` are told what is decided, in addition to `metrics`; `cut_connections` ends the connections of
        proven offenders; `log_filters` say which detectors watch logs (default: as `settings` have it).
        """
        self._settings = settings
        self._node = node
        self._added: dict[Network, AllowEntry] = {}
        self.log_filters = log_filters or LogFilters(settings)
        self.detectors = build_detectors(settings, self.log_filters.sections)
        self._dispatch = Dispatch(self.detectors)
        self.guard = build_guard(settings, (), node, self.log_filters.allowlist)
        self.ledger = Ledger(max_bans=settings.bans.max_bans)
        self.policy = Policy(self.guard, self.ledger, build_rules(settings, self.log_filters.sections))
        self.enforcers = make_enforcers(self.ledger, self.guard.networks())
        self.table = self.enforcers.leader
        self.metrics = metrics or DecisionMetrics()
        self.listeners = Listeners([self.metrics, *listeners])
        self.bans = BanControl(self.policy, self.enforcers, self.listeners, cut_connections)
        self.proofs = Proofs(settings.bans.prefixes.ipv6_score)
        self.floods: dict[str, FloodAlert] = {}
        """The last one of each detector."""
        self.traffic = Traffic()
        self._surround()
        self.events_by_kind: Counter[str] = Counter(dict.fromkeys(KINDS.values(), 0))
        self._turned_s = float("-inf")

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
        if events and type(events[0]) is FlowBatch:
            return [decision for batch in events for decision in self._process_flows(cast("FlowBatch", batch), now_s)]
        if events:
            self.events_by_kind[KINDS[type(events[0])]] += len(events)
        return self._answer(self._dispatch.feed(self._foreign(events)), now_s)

    def _process_flows(self, batch: FlowBatch, now_s: float) -> list[Decision]:
        self.traffic.count(batch, self.surrounding.own)
        self.proofs.note(batch.completed)
        if batch.invalid_total is not None:
            self.proofs.settle(batch.invalid_total, batch.time_s)
        decisions = self._answer(self._dispatch.feed_flows(batch), now_s, is_of_flows=True)
        return decisions + self.process(batch.incomplete, now_s)

    def _answer(
        self, alerts: Iterable[Alert | FloodAlert], now_s: float, *, is_of_flows: bool = False
    ) -> list[Decision]:
        """Decide on alerts and carry that out; of flows, those of who is never banned are no offence."""
        draft = self.policy.draft(now_s)
        answered: list[Alert | FloodAlert] = []
        for alert in alerts:
            if isinstance(alert, FloodAlert):
                self.floods[alert.detector] = alert
                answered.append(alert)
            elif not is_of_flows or not self.guard.protects(host(alert.source)):
                weighed = msgspec.structs.replace(alert, strength=self.proofs.strength(alert))
                self.policy.propose(draft, weighed)
                answered.append(weighed)
        return self.bans.carry_out(draft, answered) if answered else []

    def _surround(self) -> None:
        """Tell detectors of flows who is where."""
        self.surrounding = build_surrounding(self.guard, self._node)
        for detector in self.detectors:
            if isinstance(detector, FlowDetector):
                detector.follow(self.surrounding)

    def _foreign(self, events: Sequence[Event]) -> Sequence[Event]:
        """Leave out what those do who are never banned: connection tracking tells of the node's own as well."""
        if not events or type(events[0]) not in (FlowIncomplete, DropsObserved, SenderObserved):
            return events
        attempts = cast("Sequence[FlowIncomplete | DropsObserved | SenderObserved]", events)
        return [event for event in attempts if self.guard.protects(host(event.source)) is None]

    def tick(self, now_s: float) -> None:
        """Do what time alone calls for: end bans, repair the table, begin the log's next second."""
        self.table.repair(now_s)
        self.bans.tick(now_s)
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
        self.enforcers.allow(self.guard.networks(), now_s)
        if freed:
            self.bans.lift(freed, now_s, Ending.ALLOWLISTED)
            _log.warning("lifted %d bans that the allowlist now forbids", len(freed))
