"""Opens the files that an operator names, tells their kinds, and reads them as one list of inputs."""

import math
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import msgspec

from monitor.daemon.replay.foreign import capture_flows, conntrack_xml, ctnetlink_file
from monitor.daemon.replay.foreign.content import STANDARD_INPUT, Content
from monitor.daemon.replay.foreign.file_report import Batch, FileReport, UnusableFileError
from monitor.daemon.replay.foreign.flow_batches import batches
from monitor.daemon.replay.foreign.journal_entries import read_export, read_json
from monitor.daemon.replay.foreign.journal_events import read_entries
from monitor.daemon.replay.foreign.kernel_lines import has_packets
from monitor.daemon.replay.foreign.kinds import Kind, recognise
from monitor.daemon.replay.foreign.log_choice import LogChoice, choose, unrotated
from monitor.daemon.replay.foreign.log_failures import Failures
from monitor.daemon.replay.foreign.log_text import read_log
from monitor.daemon.replay.foreign.node_guess import NodeGuess
from monitor.daemon.replay.foreign.timeline import timeline
from monitor.daemon.sources.log_filters import LogFilters
from monitor.model.addresses import Network
from monitor.model.flows import FlowBatch
from monitor.recording.inputs import Input
from monitor.settings.schema import Settings
from monitor.sources.kmsg.prefixes import LogPrefixes

_LOGS = frozenset((Kind.LOG, Kind.KERNEL_LOG))
_FLOWS = frozenset((Kind.CONNTRACK_XML, Kind.CTNETLINK, Kind.PCAP))
_FLOWS_TO_GUESS_BY = 5000
_IDS_A_FILE = 1 << 32


class _File(msgspec.Struct):
    path: Path
    kind: Kind
    report: FileReport
    choice: LogChoice
    content: Content | None = None
    """Of what cannot be opened twice."""


class ForeignFiles:
    """The files of one replay."""

    def __init__(
        self,
        paths: Sequence[Path],
        settings: Settings,
        *,
        kind: Kind | None = None,
        named: Sequence[str] = (),
        node: Sequence[Network] = (),
    ) -> None:
        """Look at all files; nothing is read yet.

        `kind`: of all of them, instead of what their content says; `named`: the detectors that read the logs; `node`:
        the node's addresses and networks behind it. UnusableFileError says which file cannot be replayed and why,
        ConfigError what is wrong with `named`.
        """
        self._filters = LogFilters(settings)
        kernel_log = settings.sources.kernel_log
        self._prefixes = LogPrefixes(kernel_log.prefixes, kernel_log.ignore_prefixes)
        self._failures = Failures(self._filters, settings.detectors.confirm_timeout_s)
        self._named = tuple(named)
        self._node = NodeGuess(node)
        self._files = [self._look(path, kind) for path in paths]
        self.reports = [one.report for one in self._files]
        """What was read of each file so far, in the order given."""
        self._now: Content | None = None

    @property
    def node_guess(self) -> str:
        """What was taken for the node, in a sentence; empty if that was given, or does not matter."""
        return self._node.describe()

    @property
    def progress(self) -> str:
        """Say what is read, and how far it is."""
        if self._now is None:
            return ""
        share = self._now.share
        return f"{self._now.name}: {sum(one.records for one in self.reports):,} records" + (
            "" if share is None else f", {share:.0%} of the file"
        )

    @property
    def filters(self) -> LogFilters:
        """The filters of the configuration."""
        return self._filters

    def inputs(self, since_s: float = 0.0, until_s: float = math.inf) -> Iterator[Input]:
        """Yield what a daemon would have been told from a time to before another; the reports are complete then."""
        feeds = [self._ahead(feed) for feed in self._feeds()]
        name = self._files[0].report.path if len(self._files) == 1 else f"{len(self._files)} files"
        yield from timeline(feeds, self._node.entries, self._node.networks, name, between_s=(since_s, until_s))

    def _look(self, path: Path, kind: Kind | None) -> _File:
        """Tell the kind of a file, and who reads it."""
        content = Content(path)
        found = recognise(content.head) if kind is None else kind
        has = has_packets(content.head)
        is_kept = content.size_bytes is None or path == STANDARD_INPUT
        if not is_kept:
            content.close()
        if not isinstance(found, Kind):
            raise UnusableFileError(f"{content.name}: {f'it {content.damage}' if content.damage else found}")
        choice = LogChoice((), None)
        if found is Kind.LOG:
            choice = choose(path, self._filters, self._named, has_packets=has)
        return _File(path, found, FileReport(content.name, found.value), choice, content if is_kept else None)

    def _feeds(self) -> Iterator[Iterator[Batch]]:
        """Yield the batches of each file, those of a rotated log as one."""
        logs: dict[Path, list[_File]] = {}
        for number, one in enumerate(self._files):
            if one.kind in _LOGS:
                logs.setdefault(unrotated(one.path.absolute())[0], []).append(one)
            else:
                yield self._read(one, number)
        for parts in logs.values():
            ordered = sorted(parts, key=lambda one: unrotated(one.path)[1])
            yield chain.from_iterable(self._read(one, 0) for one in ordered)

    def _read(self, one: _File, number: int) -> Iterator[Batch]:
        """Yield the batches of a file."""
        with one.content or Content(one.path) as content:
            self._now = content
            written_s = content.written_s or time.time()
            yield from self._batches(one, content, written_s, number)
            if content.damage:
                one.report.note(f"it {content.damage}: what came before counts")

    def _batches(self, one: _File, content: Content, written_s: float, number: int) -> Iterator[Batch]:
        report = one.report
        if one.kind in _LOGS:
            return read_log(content, report, self._failures, one.choice, self._prefixes, written_s)
        if one.kind in _FLOWS:
            if one.kind is Kind.CONNTRACK_XML:
                flows = conntrack_xml.read_flows(content, report)
            elif one.kind is Kind.CTNETLINK:
                flows = ctnetlink_file.read_flows(content, report, written_s)
            else:
                flows = capture_flows.read_flows(content, report, self._node, number * _IDS_A_FILE)
            return batches(self._node.watch(flows), report)
        read = read_json if one.kind is Kind.JOURNAL_JSON else read_export
        return read_entries(read(content, report), report, self._failures, self._named, self._prefixes)

    def _ahead(self, feed: Iterator[Batch]) -> Iterator[Batch]:
        """Read so much of a feed that the node can be guessed; return all of it."""
        known: list[Batch] = []
        flows = 0
        for time_s, events in feed:
            known.append((time_s, events))
            flows += sum(len(one.opened) + len(one.ending) for one in events if isinstance(one, FlowBatch))
            if flows >= _FLOWS_TO_GUESS_BY or type(events[0]) is not FlowBatch:
                break
        return chain(known, feed)
