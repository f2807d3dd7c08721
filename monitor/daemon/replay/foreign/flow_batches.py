"""Flows of a file as batches: what connection tracking would have handed on, by the same `Handshakes` as live."""

from collections.abc import Iterable, Iterator

from monitor.daemon.replay.foreign.file_report import IMPOSSIBLE, LATEST_S, Batch, FileReport
from monitor.model.flows import Flow, FlowBatch
from monitor.sources.conntrack.handshakes import Handshakes

_STEP_S = 0.2
"""What happens within this time is one batch."""
_MAX_AT_ONCE = 4096
_EXPIRY_S = 2.1
"""When an attempt is taken for incomplete after it was made: a little more than `Handshakes` waits."""
OUT_OF_ORDER = "its times go back by more than a second: what is late is taken for simultaneous with what came before"
MAX_BACK_S = 1.0


def batches(flows: Iterable[Flow], report: FileReport) -> Iterator[Batch]:
    """Yield batches of flows, which come in the order of their times; attempts that the file leaves open come last.

    A flow that is dated before the one that came before it is taken for simultaneous with that.
    """
    handshakes = Handshakes()
    group: list[Flow] = []
    start_s = now_s = float("-inf")
    for flow in flows:
        if not 0.0 <= flow.time_s <= LATEST_S:
            report.leave_out(IMPOSSIBLE)
            continue
        report.see(flow.time_s)
        if flow.time_s < now_s - MAX_BACK_S:
            report.note(OUT_OF_ORDER)
        if flow.time_s >= start_s + _STEP_S or len(group) >= _MAX_AT_ONCE:
            if group:
                yield _batch(handshakes.feed(group, now_s))
                group = []
            if handshakes.stats.pending and flow.time_s > now_s + _EXPIRY_S:
                yield _batch(handshakes.feed((), now_s + _EXPIRY_S))
            start_s = max(start_s, flow.time_s)
        now_s = max(now_s, flow.time_s)
        group.append(flow)
    if group:
        yield _batch(handshakes.feed(group, now_s))
    if handshakes.stats.pending:
        yield _batch(handshakes.feed((), now_s + _EXPIRY_S))
    if handshakes.stats.evicted:
        report.note(f"{handshakes.stats.evicted:,} attempts were given up: too many were open at the same time")


def _batch(batch: FlowBatch) -> Batch:
    return batch.time_s, [batch]
