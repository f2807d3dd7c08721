"""The parts of the stages: made as configuration and surroundings have it, and changed when these change."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from monitor.bans.allowlist import BY_COMMAND
from monitor.bans.decision import Ending
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.daemon.pipeline.ban_control import BanControl
from monitor.daemon.pipeline.carry_over import Carried, CarryOver
from monitor.daemon.pipeline.decision_metrics import DecisionMetrics
from monitor.daemon.pipeline.dispatch import Dispatch
from monitor.daemon.pipeline.evidence import EvidenceSorter
from monitor.daemon.pipeline.floods import Floods
from monitor.daemon.pipeline.listeners import Listener, Listeners
from monitor.daemon.pipeline.outside import Outside
from monitor.daemon.pipeline.pod_hits import PodHits
from monitor.daemon.pipeline.refused_alerts import RefusedAlerts
from monitor.daemon.pipeline.shadows import Shadows
from monitor.daemon.pipeline.traffic import Traffic
from monitor.daemon.pipeline.wiring import (
    build_detectors,
    build_guard,
    build_routes,
    build_rules,
    build_shadows,
    build_surrounding,
    uncovered_ports,
    wanted,
)
from monitor.daemon.sources.feeds import check_fed, unfed
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.detector import Detector
from monitor.detectors.proofs import Proofs
from monitor.detectors.registry import ALL
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import Network
from monitor.model.bans import Action, AllowEntry, Ban, Offence
from monitor.model.errors import NodewardenError
from monitor.model.events import KINDS
from monitor.model.networks import NodeNetworks
from monitor.model.pods import Pods
from monitor.model.sysctls import Sysctls
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)


class Arrangement:
    """Detectors, policy, guard, evidence and enforcers, as they belong together now."""

    def __init__(
        self,
        settings: Settings,
        node: Sequence[AllowEntry],
        make_enforcers: Callable[[Ledger, Sequence[Network]], Enforcement],
        listeners: Sequence[Listener] = (),
        metrics: DecisionMetrics | None = None,
        cut_connections: Callable[[list[Network]], None] = lambda _: None,
        log_filters: LogFilters | None = None,
        networks: NodeNetworks = NodeNetworks(),  # noqa: B008 - immutable
        sysctls: Sysctls = Sysctls(),  # noqa: B008 - immutable
        outside: Outside | None = None,
    ) -> None:
        """Wire the stages.

        `node` are node addresses, gateways and resolvers, `networks` those around the node, `sysctls` the kernel's
        settings; `make_enforcers` gets the ledger and the networks that always pass; `listeners` are told what is
        decided, in addition to `metrics`; `cut_connections` ends the connections of proven offenders; `log_filters` say
        which detectors watch logs (default: as `settings` have it).
        """
        check_fed(ALL)
        self._settings = settings
        self._node = node
        self._networks = networks
        self._sysctls = sysctls
        self._added: dict[Network, AllowEntry] = {}
        self.outside = outside or Outside()
        self.log_filters = log_filters or LogFilters(settings)
        self.detectors = build_detectors(settings, self.log_filters.sections)
        self.routes = build_routes(settings, self.log_filters.sections, self.detectors)
        """By name, of the detectors that have rules for single networks."""
        self._dispatch = Dispatch(self.detectors, self.routes)
        self.shadows = Shadows()
        """Copies of detectors with other thresholds, which only count."""
        self._follow_shadows(CarryOver(0.0))
        self.notices: list[str] = []
        """What keeps detectors from finding anything, or is not as configured; a sentence each."""
        self.guard = build_guard(settings, (), node, self.log_filters.allowlist)
        self.ledger = Ledger(max_bans=settings.bans.max_bans)
        self.policy = Policy(
            self.guard, self.ledger, build_rules(settings, self.log_filters.sections), self.outside.draw
        )
        self.enforcers = self.outside.watched(make_enforcers(self.ledger, self.guard.networks()))
        self.table = self.enforcers.leader
        self.metrics = metrics or DecisionMetrics()
        self.listeners = Listeners([self.metrics, *listeners])
        self.bans = BanControl(self.policy, self.enforcers, self.listeners, cut_connections)
        self.refused = RefusedAlerts()
        self.proofs = Proofs(settings.bans.prefixes.ipv6_score)
        self.evidence = EvidenceSorter(settings.bans.prefixes.ipv6_score)
        self.floods = Floods()
        self.traffic = Traffic()
        self.pods = Pods()
        """Which pods are on this node; names only, so no decision depends on them."""
        self.pod_hits = PodHits(self.pods)
        self._surround()
        self.events_by_kind: Counter[str] = Counter(dict.fromkeys(KINDS.values(), 0))

    @property
    def enforces(self) -> bool:
        """Whether any detector may ban."""
        return any(policy.enforces for policy in self.policy.rules.detectors.values())

    @property
    def action(self) -> Action:
        """What is to become of packets of sources that are banned on proof."""
        return self._settings.bans.action

    @property
    def counting(self) -> list[Detector[Any]]:
        """All detectors, and those of the same names that count single networks apart."""
        if not self.routes:  # nearly everywhere
            return list(self.detectors)
        return [one for base in self.detectors for one in self.counting_as(base)]

    def counting_as(self, base: Detector[Any]) -> list[Detector[Any]]:
        """Return a detector, and those of its name that count single networks apart."""
        return [base, *(self.routes[base.name].variants if base.name in self.routes else ())]

    def use_detectors(self, detectors: Sequence[Detector[Any]]) -> None:
        """Have these detect instead of those that the configuration describes, until it changes."""
        self.detectors = list(detectors)
        self.routes = build_routes(self._settings, self.log_filters.sections, self.detectors)
        self._dispatch = Dispatch(self.detectors, self.routes)
        self.shadows = Shadows()
        self._surround()

    def _surround(self) -> None:
        """Have all detectors follow the node's addresses, its pods and the allowlist."""
        learned = self.evidence.services, self.evidence.clients
        around = self._networks, self._sysctls
        self.surrounding = build_surrounding(self._settings, self.guard, self._node, *around, *learned, self.pods)
        self.evidence.follow(self.surrounding)
        self._one_way = {detector.name for detector in self.detectors if detector.is_one_way}
        for detector in self.counting:
            detector.follow(self.surrounding)
        self.shadows.follow(self.surrounding)
        self._note_omissions()

    def _follow_shadows(self, carry: CarryOver) -> None:
        sections = self.log_filters.sections
        build_shadows(self._settings, sections, self.detectors, self.routes, self.shadows, carry)

    def _note_omissions(self) -> None:
        """Note what keeps detectors from finding anything, or is not as configured, and log what is new of that."""
        known = self.notices
        self.notices = unfed(wanted(self._settings), self._settings) + uncovered_ports(self._settings, self._sysctls)
        for notice in self.notices:
            if notice not in known:
                _log.warning("%s", notice)

    def _reconfigure(
        self, settings: Settings, offences: Iterable[Offence], now_s: float, log_filters: LogFilters
    ) -> list[Carried]:
        before, self.log_filters = self.log_filters, log_filters
        self._settings = settings
        carry = CarryOver(now_s, before.digests, log_filters.digests)
        self.detectors = build_detectors(settings, log_filters.sections, self.detectors, carry)
        self.routes = build_routes(settings, log_filters.sections, self.detectors, self.routes, carry)
        self._dispatch = Dispatch(self.detectors, self.routes)
        self._follow_shadows(CarryOver(now_s, before.digests, log_filters.digests))
        if settings.bans.prefixes.ipv6_score != self.proofs.ipv6_prefix:
            self.proofs = Proofs(settings.bans.prefixes.ipv6_score)
            self.evidence.count_by(settings.bans.prefixes.ipv6_score)
        self.policy.follow(build_rules(settings, self.log_filters.sections), offences)
        self.table.act(settings.bans.action, now_s)
        self._renew_guard(now_s)
        if spared := self.bans.spare(now_s):
            _log.warning("ended %d bans that allowlists of detectors now forbid", len(spared))
        return carry.carried

    def _follow_node(
        self,
        node: Sequence[AllowEntry],
        now_s: float,
        networks: NodeNetworks | None,
        sysctls: Sysctls | None,
    ) -> None:
        """Follow what the node itself needs, and the networks around it and the kernel's settings if given."""
        before, self._node = self._node, node
        self._networks = self._networks if networks is None else networks
        if sysctls is not None and sysctls != self._sysctls:
            self._sysctls = sysctls
            self.proofs = Proofs(self.proofs.ipv6_prefix)  # what was noted while anyone could forge it must not count
        if list(node) == list(before):  # a container that starts or ends changes only the networks
            return self._surround()
        try:
            self._renew_guard(now_s)
        except NodewardenError:
            self._node = before  # the same node is followed when it is tried again
            raise

    def _allow(self, entries: Iterable[AllowEntry], now_s: float, *, is_restored: bool = False) -> list[Ban] | None:
        """Allow networks by command; return the bans that ended, or None, and none is allowed, if they do not all fit.

        `is_restored`: they were allowed before; what does not fit is counted as omitted.
        """
        added = self._added | {entry.network: entry for entry in entries}
        guard = self._guard_of(added.values())
        if BY_COMMAND in guard.omitted and not is_restored:
            return None
        self._added = added
        return self._follow_guard(guard, now_s)

    def _renew_guard(self, now_s: float) -> None:
        self._follow_guard(self._guard_of(self._added.values()), now_s)

    def _guard_of(self, added: Iterable[AllowEntry]) -> Guard:
        return build_guard(self._settings, added, self._node, self.log_filters.allowlist)

    def _follow_guard(self, guard: Guard, now_s: float) -> list[Ban]:
        """Put a changed allowlist into force, in the kernel too; lift and return the bans that it now forbids."""
        self.guard = self.policy.guard = guard
        self._surround()
        freed = [ban for ban in self.ledger.bans() if self.guard.protects(ban.network)]
        self.enforcers.allow(self.guard.networks(), now_s)
        if freed:
            self.bans.lift(freed, now_s, Ending.ALLOWLISTED)
            _log.warning("lifted %d bans that the allowlist now forbids", len(freed))
        return freed
