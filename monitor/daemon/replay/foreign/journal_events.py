"""What saved entries of the journal are evidence of: packets that the kernel logged, failures by the filters."""

from collections.abc import Iterable, Iterator

from monitor.daemon.replay.foreign.file_report import Batch, FileReport
from monitor.daemon.replay.foreign.journal_entries import JournalEntry
from monitor.daemon.replay.foreign.kernel_lines import NOT_COUNTED
from monitor.daemon.replay.foreign.lines import MAX_LINE_BYTES
from monitor.daemon.replay.foreign.log_failures import Failures
from monitor.daemon.replay.foreign.log_text import Found, batches_of
from monitor.daemon.sources.log_filters import LogFilters
from monitor.model.errors import MalformedRecord
from monitor.model.logs import JOURNAL
from monitor.sources.journal.format import format_line, journal_writer
from monitor.sources.journal.match import Matcher
from monitor.sources.kmsg.format import decode_packet, is_packet_line
from monitor.sources.kmsg.prefixes import LogPrefixes

_AT_ONCE = 512


def read_entries(
    entries: Iterable[JournalEntry],
    report: FileReport,
    failures: Failures,
    named: tuple[str, ...],
    prefixes: LogPrefixes | None,
) -> Iterator[Batch]:
    """Yield the events of entries; `named` are the detectors that read them, none: as the configuration says."""
    matcher = Matcher(_matches(failures.filters, named))
    found: list[Found] = []
    for number, entry in enumerate(entries, 1):
        if entry.is_of_kernel:
            found += _packet(entry, report, prefixes) if prefixes else ()
        elif detectors := matcher.detectors(entry.fields):
            found += _failures(entry, detectors, report, failures)
        if number % _AT_ONCE == 0:
            yield from batches_of(found, report)
            found = []
    yield from batches_of(found, report)


def _matches(filters: LogFilters, named: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return what each detector reads of a journal, whether there is one on this machine or not."""
    found = {}
    for name, definition in filters.definitions.items():
        where = filters.alternatives.get(name)
        matches = filters.journal.get(name) or (where.matches if where else ()) or definition.journalmatch
        if name in named or (not named and (matches or name in filters.journal)):
            found[name] = matches
    return found


def _packet(entry: JournalEntry, report: FileReport, prefixes: LogPrefixes) -> Iterator[Found]:
    message = entry.fields.get("MESSAGE")
    text = message.decode("ascii", "backslashreplace") if isinstance(message, bytes) else ""
    if not is_packet_line(text):
        return
    try:
        event = decode_packet(text, entry.time_s)
    except MalformedRecord as error:
        report.leave_out(f"malformed ({error.cause})")
        return
    if prefixes.counts(event.prefix):
        yield event
    else:
        report.leave_out(NOT_COUNTED)


def _failures(
    entry: JournalEntry, detectors: tuple[str, ...], report: FileReport, failures: Failures
) -> Iterable[Found]:
    formatted = format_line(entry.fields, MAX_LINE_BYTES)
    if formatted is None:
        return ()
    line, is_cut = formatted
    machine = entry.fields.get("_MACHINE_ID")
    writer = journal_writer(entry.fields, machine if isinstance(machine, bytes) else b"")
    return failures.find(
        JOURNAL,
        detectors,
        line,
        report,
        written_s=entry.time_s,
        times_s=(entry.time_s,),
        writer=writer,
        is_cut=is_cut,
    )
