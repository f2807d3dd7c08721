"""Text logs, the parts of a rotated set in turn: failures by the filters, packets by the kernel's own lines."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TypeAlias

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import Batch, FileReport
from monitor.daemon.replay.foreign.kernel_lines import ZONES_S, KernelLines, may_hold_packet
from monitor.daemon.replay.foreign.lines import runs_of
from monitor.daemon.replay.foreign.log_choice import LogChoice
from monitor.daemon.replay.foreign.log_failures import Failures
from monitor.model.events import AuthFailure, PacketLogged
from monitor.sources.kmsg.prefixes import LogPrefixes

Found: TypeAlias = PacketLogged | AuthFailure


def read_log(
    content: Content,
    report: FileReport,
    failures: Failures,
    choice: LogChoice,
    prefixes: LogPrefixes | None,
    written_s: float,
) -> Iterator[Batch]:
    """Yield the events of one file; `prefixes`: which packets count, None for none."""
    kernel = KernelLines(content, prefixes, report, written_s) if prefixes else None
    for note in choice.notes:
        report.note(note)
    log = choice.writer.path if choice.writer else content.name
    for run in runs_of(content):
        report.records += run.data.count(b"\n")
        found: list[Found] = []
        if kernel and may_hold_packet(run.data):
            found += filter(None, map(kernel.find, run.data.splitlines()))
        if choice.detectors:
            found += failures.find(
                log,
                choice.detectors,
                run.data,
                report,
                written_s=written_s + ZONES_S,
                writer=choice.writer,
                is_cut=run.is_cut,
            )
        yield from batches_of(found, report)


def batches_of(found: Iterable[Found], report: FileReport) -> Iterator[Batch]:
    """Yield events by type and second, in the order of their times."""
    for _, group in groupby(sorted(found, key=_time_s), key=_type_and_second):
        events = list(group)
        report.see(events[0].time_s, len(events))
        report.see(events[-1].time_s, 0)
        yield events[-1].time_s, events


def _time_s(event: Found) -> float:
    return event.time_s


def _type_and_second(event: Found) -> tuple[type[Found], int]:
    return type(event), int(event.time_s)
