"""The runner of connection tracking: it hands on connections, and connection attempts that stayed incomplete."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitor.metrics.metric import Sample
from monitor.model.errors import SYSTEM_FAULTS, explain
from monitor.model.flows import Flow, FlowBatch, ListenTotals
from monitor.model.problems import ProblemKind
from monitor.sources.conntrack.handshakes import Handshakes
from monitor.sources.conntrack.health import HealthReader, ListenReader, TableHealth
from monitor.sources.conntrack.metrics import COUNTERS
from monitor.sources.conntrack.reader import Conntrack, ConntrackStats
from monitor.sources.conntrack.running import RunningFlows, TakeRunning
from monitor.sources.conntrack.settings import ConntrackSettings
from monitor.sources.runner import Process, SourceRunner

_log = logging.getLogger(__name__)
_FULL = 0.9
_UNREPORTED = 50
"""Connections without a record: a few may be of the loopback, which many firewalls exempt from tracking."""
_TELL_EVERY_S = 10.0
"""How often detectors learn at least what time it is, while nothing happens."""
_BYTES_AN_EVENT, _WORST_EVENTS_PER_S = 1024, 400_000


class ConntrackRunner(SourceRunner[Conntrack, ConntrackSettings]):
    """Owns connection tracking. It has no cursor: the kernel does not repeat events that nothing listened for."""

    name = Conntrack.name
    title = "connection tracking"
    counters = SourceRunner.counters | COUNTERS
    stats: ConntrackStats

    def __init__(
        self, settings: ConntrackSettings, process: Process, take_running: TakeRunning = lambda _flows, _is_end: None
    ) -> None:
        """Open nothing yet; `take_running` gets counters of flows that run."""
        super().__init__(process, ConntrackStats())
        self._running = RunningFlows(take_running)
        self._settings = settings
        self._handshakes = Handshakes()
        self._health: TableHealth | None = None
        self._health_reader, self._listen_reader = HealthReader(), ListenReader()
        self._told: tuple[object, ...] = ()
        self._tell_at_s = 0.0
        self._health_trouble = ""
        self._gaps_known = 0
        self._is_blind = False
        self._unreported = 0
        """TCP connections that this node accepted since the last record: each should have been one."""
        self._records_and_accepted: tuple[int, int] | None = None
        """As of the last record."""

    @property
    def is_wanted(self) -> bool:
        """Whether it is enabled."""
        return self._settings.enabled

    @property
    def share(self) -> float:
        """How full the kernel's table of connections is, from 0 to 1; 0 if that is not known."""
        return self._health.entries / self._health.limit if self._health and self._health.limit else 0.0

    @property
    def rest_s(self) -> float:
        """Ten milliseconds with the default buffer: half of what it carries in the worst flood."""
        return self._settings.buffer_bytes / _BYTES_AN_EVENT / _WORST_EVENTS_PER_S / 2

    def close(self) -> None:
        """Stop reading."""
        super().close()
        self._health_reader.close()
        self._listen_reader.close()

    def reconfigure(self, settings: ConntrackSettings) -> None:
        """Follow changed settings."""
        if settings != self._settings:
            self._settings = settings
            self._renew()

    def has_news(self) -> bool:
        """Return whether something waits; what came is an input of the pipeline."""
        if self._source is None:
            return super().has_news()
        is_listing = self._source.is_listing or self._running.is_listing
        return bool(self._is_blind or self._handshakes.stats.pending or is_listing) or super().has_news()

    def problems(self) -> list[str]:
        """Say what is wrong."""
        problems = super().problems()
        if self._health_trouble:
            problems.append(f"the state of the connection table cannot be read: {self._health_trouble}")
        if self._unreported >= _UNREPORTED:
            problems.append(
                f"connection tracking reports nothing, although {self._unreported} TCP connections were accepted: "
                "another program's rules have them not tracked (notrack), or net.netfilter.nf_conntrack_events is 0; "
                "scans that no firewall logs are not seen"
            )
        return problems

    def pressure(self) -> list[str]:
        """Say that the table of connections is nearly full."""
        health = self._health
        if health is None or self.share < _FULL:
            return []
        full = (
            f"the connection table holds {health.entries} of {health.limit} entries: beyond that new connections drop"
        )
        return [f"{full} (net.netfilter.nf_conntrack_max)"]

    def by_kind(self) -> dict[ProblemKind, list[str]]:
        """Return what is wrong, by kind."""
        return {**super().by_kind(), ProblemKind.CONNTRACK_FULL: self.pressure()}

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        known = self._handshakes.stats
        return {
            **super().describe(),
            "events": known.incomplete,
            "lag_s": None,
            "other": {"handshakes": known.completed, "resyncs": self.stats.resyncs, "evicted": known.evicted},
        }

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        yield from super().samples()
        if health := self._health:
            yield "nodewarden_conntrack_entries", (), health.entries
            yield "nodewarden_conntrack_entries_limit", (), health.limit
            for name, total in health.totals.items():
                yield "nodewarden_conntrack_table_total", (name,), total
        yield "nodewarden_conntrack_unreported_connections", (), self._unreported
        known = self._handshakes.stats
        yield "nodewarden_handshakes_completed_total", (), known.completed
        yield "nodewarden_handshakes_incomplete_total", (), known.incomplete
        yield "nodewarden_handshakes_evicted_total", (), known.evicted
        yield "nodewarden_handshakes_pending", (), known.pending

    def _make(self) -> Conntrack:
        settings = self._settings
        source = Conntrack(buffer_bytes=settings.buffer_bytes, all_namespaces=settings.all_namespaces, stats=self.stats)
        if self._trouble:
            source.note_gap()  # nobody listened: what the table still knows is listed
        return source

    def _take(self, source: Conntrack) -> None:
        """Hand on what waits. Around a gap no source is blamed: what follows it may be older than what was lost."""
        flows = source.read()
        if self.stats.lost != self._gaps_known:
            self._gaps_known = self.stats.lost
            self._is_blind = True
        self._process(self._sorted(flows, {"has_more": not source.is_drained}, has_gap=self._is_blind))
        if self._is_blind:
            self._is_blind = not source.is_drained

    def _maintain(self, source: Conntrack) -> None:
        """Make up for lost events, let attempts time out although no event comes, and read the table's health."""
        self._running.step()
        listed = source.catch_up()
        self._read_health()
        invalid = self._health.totals.get("invalid") if self._health else None
        totals = self._listen_reader.read()
        self._count_unreported(totals)
        if listed or self._has_to_tell(invalid, totals):
            self._process(self._sorted(listed, {"invalid_total": invalid, "listen_totals": totals}))

    def _has_to_tell(self, invalid: int | None, totals: ListenTotals | None) -> bool:
        """Return whether anything is other than when the pipeline was told last, or that was a while ago."""
        told = self.stats.records, self._is_blind, self._handshakes.stats.pending, invalid, totals
        now_s = time.monotonic()
        is_change = told != self._told
        if not is_change and not self._handshakes.stats.pending and now_s < self._tell_at_s:
            return False
        # a change is told twice: what follows it a moment later belongs to it
        self._told, self._tell_at_s = told, now_s + (0.0 if is_change else _TELL_EVERY_S)
        return True

    def _count_unreported(self, totals: ListenTotals | None) -> None:
        """Compare with what TCP did: whatever keeps connections from being tracked, this shows it."""
        if totals is None:
            return
        known = self._records_and_accepted
        if known is None or known[0] != self.stats.records:
            self._records_and_accepted = self.stats.records, totals.accepted
            self._unreported = 0
        else:
            self._unreported = max(0, totals.accepted - known[1])

    def _read_health(self) -> None:
        """Read how full the table is. If that fails the events are read all the same, and the last figures stay."""
        try:
            self._health = self._health_reader.read()
        except SYSTEM_FAULTS as error:
            if not self._health_trouble:
                _log.warning("the state of the connection table cannot be read: %s", explain(error))
            self._health_trouble = explain(error)
        else:
            self._health_trouble = ""

    def _sorted(
        self, flows: Sequence[Flow], fields: Mapping[str, Any], *, has_gap: bool = False
    ) -> Iterator[FlowBatch]:
        """Yield what the flows mean, with further fields of the batch."""
        batch = self._handshakes.feed(flows, time.time(), has_gap=has_gap)
        yield msgspec.structs.replace(batch, **fields)

    def _explain_loss(self) -> str:
        return (
            f"connection events are lost before they can be read ({self.stats.lost} gaps so far): there is a flood, or "
            "sources.conntrack.buffer is too small"
        )
