"""What a replay read, beside its outcomes: how much, of which time, and what it could not know."""

from collections import Counter
from collections.abc import Iterator

import msgspec

from monitor.daemon.pipeline.stages import Stages
from monitor.daemon.pipeline.wiring import wanted
from monitor.daemon.replay.outcome import Outcome
from monitor.daemon.sources.feeds import unfed
from monitor.model.events import AuthFailure, DropsObserved, PacketLogged, SenderObserved
from monitor.model.flows import FlowBatch, FlowIncomplete, OutboundIncomplete
from monitor.recording.inputs import FLOW_BATCH, KIND_OF, Gap
from monitor.settings.schema import Settings

MAX_GAPS = 1000
"""Gaps that are kept one by one; all are counted."""
FAILURES = KIND_OF[AuthFailure]
_CONTENT: dict[type, str] = {
    AuthFailure: "failures in logs",
    DropsObserved: "packets that the kernel dropped",
    FlowBatch: "connections of connection tracking",
    FlowIncomplete: "incomplete connection attempts",
    OutboundIncomplete: "incomplete connection attempts of the node",
    PacketLogged: "packets that a firewall logged",
    SenderObserved: "counts of XDP",
}
"""What the kinds of events are, for people."""


class Result(msgspec.Struct):
    """What was read; times are wall time in seconds."""

    outcomes: list[Outcome] = []
    """All of them, if they were not taken one by one."""
    first_s: float | None = None
    last_s: float | None = None
    warm_s: float | None = None
    """From when on windows have seen as much as live ones had: a recording may begin in the middle of a run."""
    events: Counter[str] = msgspec.field(default_factory=Counter)
    """By kind; of flows each message about a connection counts, so that empty batches are 0 of their kind."""
    floods: Counter[str] = msgspec.field(default_factory=Counter)
    """Events that the recording only counts, by kind."""
    gaps: list[Gap] = []
    gaps_total: int = 0
    lacking: int = 0
    """Events that gaps say are missing."""
    starts: int = 0
    """Starts of the daemon."""
    nodes: dict[str, None] = {}
    versions: dict[str, None] = {}
    """Of the daemons that recorded, in order."""
    digests: dict[str, None] = {}
    """Of the recorded configurations, in order."""
    ignored_reloads: int = 0
    """Recorded changes of the configuration that were not followed: another one was given."""
    failures: int = 0
    """Inputs that could not be carried out, or only in part, as may have been so when they were recorded."""
    named: dict[str, None] = {}
    """Detectors that failures in logs were recorded for."""
    not_understood: dict[str, str] = {}
    """Recorded configurations that this version does not understand, by digest, and why: another one was given."""
    recorded: Settings | None = None
    """The configuration that was recorded last; None if none was."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing: then outcomes are those of the daemon that recorded."""
        return not (self.gaps_total or self.floods or self.failures)

    def begin(self, findtime_s: float, now_s: float) -> None:
        """Take note that a recording begins in the middle of a run."""
        self.warm_s = max(self.warm_s or now_s, now_s + findtime_s)

    def note_gap(self, gap: Gap) -> None:
        """Count a gap."""
        self.gaps_total += 1
        self.lacking += gap.count
        if len(self.gaps) < MAX_GAPS:
            self.gaps.append(gap)

    def unfed(self, stages: Stages, settings: Settings) -> dict[str, str]:
        """Say which detectors of a configuration find nothing in this recording, whatever happened, and why."""
        found = {}
        seen = {*self.events, *self.floods}
        if FLOW_BATCH in seen:  # batches hold what these events are made of
            seen |= {KIND_OF[FlowIncomplete], KIND_OF[OutboundIncomplete]}
        for detector in stages.detectors:
            takes = {KIND_OF[event] for event in detector.takes}
            if detector.is_addressed and detector.name not in self.named:
                found[detector.name] = "the history has no failures in logs that its filter found"
            elif not takes & seen:
                found[detector.name] = f"the history has {' and '.join(sorted(map(_absence, takes)))}"
        return found | dict(self._switched_off(settings))

    def _switched_off(self, settings: Settings) -> Iterator[tuple[str, str]]:
        """Yield the detectors whose sources were off when it was recorded."""
        for registration in wanted(settings) if self.recorded else ():
            assert self.recorded is not None  # noqa: S101 - see above
            for text in unfed([registration], self.recorded):
                yield registration.name, f"when it was recorded, {text.partition(': ')[2]}"


def _absence(kind: str) -> str:
    """Say that events of a kind are missing: in words, and as lists of events name it."""
    words = next((text for event, text in _CONTENT.items() if KIND_OF[event] == kind), "events")
    return f"no {words} ({kind})"
