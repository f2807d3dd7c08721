"""Which log counts for a detector that can read files or the journal: one at a time, so that nothing counts twice.

Both are read all the time, and what does not count is dropped here. So nothing has to be opened, and no cursor is lost,
when a file appears or goes. Files of the application's own come first: an application that writes them mostly tells the
journal only that it started. A file that a syslog daemon writes comes last: the journal has its lines too, and knows
who wrote them (`log_alternatives`). Pure apart from the clock of its calls.
"""

from collections.abc import Callable, Mapping

import msgspec

from monitor.daemon.sources.log_alternatives import Alternatives
from monitor.model.logs import LogBlock

_GONE_S = 60.0
"""How long the files of a log must be gone before the journal counts: rotation takes them away for a moment."""
_LOOK_S = 5.0
_CHANGEOVER_S = 60.0
"""How long after a file appeared those lines of it do not count that are older than what was read of the journal."""


class LogChoice:
    """Decides for each block which of its detectors take it."""

    def __init__(self) -> None:
        """Start without choices."""
        self._alternatives: Mapping[str, Alternatives] = {}
        self._has_files: Callable[[str], bool] = lambda _: False
        self._looked_s = 0.0
        self._on_files: dict[str, float | None] = {}
        """Detectors whose files count, and since when none is there."""
        self._journal_s: dict[str, float] = {}
        """The time of the last entry of the journal that counted for a detector."""
        self._changed_s: dict[str, float] = {}
        """When a detector went from the journal to files."""

    def follow(self, alternatives: Mapping[str, Alternatives], has_files: Callable[[str], bool]) -> None:
        """Follow a changed configuration; `has_files`: whether a file of a detector can be read that comes first."""
        self._has_files = has_files
        for name, where in alternatives.items():
            if self._alternatives.get(name) != where:
                self._on_files.pop(name, None)
                self._journal_s.pop(name, None)
                self._changed_s.pop(name, None)
                if has_files(name):
                    self._on_files[name] = None
        for known in (self._on_files, self._journal_s, self._changed_s):
            for name in known.keys() - alternatives.keys():
                del known[name]
        self._alternatives = dict(alternatives)

    def counts_files(self, name: str) -> bool:
        """Whether the files of a detector with a choice count, not the journal."""
        return name in self._on_files

    def take(self, block: LogBlock) -> LogBlock | None:
        """Return the block with the detectors that take it; None where none does."""
        if not self._alternatives or self._alternatives.keys().isdisjoint(block.detectors):
            return block
        return self._of_journal(block) if block.is_journal else self._of_files(block)

    def look(self, now_s: float) -> None:
        """Notice which files are gone or cannot be read any more; the clock is that of the blocks."""
        if abs(now_s - self._looked_s) < _LOOK_S:
            return
        self._looked_s = now_s
        for name, gone_s in list(self._on_files.items()):
            if self._has_files(name):
                self._on_files[name] = None
            elif gone_s is None or gone_s > now_s:
                self._on_files[name] = now_s
            elif now_s - gone_s >= _GONE_S:
                del self._on_files[name]

    def _of_journal(self, block: LogBlock) -> LogBlock | None:
        detectors = tuple(name for name in block.detectors if name not in self._on_files)
        newest_s = max(block.times_s)
        for name in self._alternatives.keys() & detectors:
            self._journal_s[name] = max(newest_s, self._journal_s.get(name, newest_s))
        if len(detectors) == len(block.detectors):
            return block
        return msgspec.structs.replace(block, detectors=detectors) if detectors else None

    def _of_files(self, block: LogBlock) -> LogBlock:
        """Have files count from their first line on, without the lines that the journal may have had."""
        after_s = block.after_s
        for name in self._alternatives.keys() & block.detectors:
            if name not in self._on_files:
                self._changed_s[name] = block.read_s
            self._on_files[name] = None
            if name in self._journal_s:
                if abs(block.read_s - self._changed_s.get(name, 0.0)) < _CHANGEOVER_S:
                    after_s = max(after_s, self._journal_s[name])
                else:
                    del self._journal_s[name]
        return block if after_s == block.after_s else msgspec.structs.replace(block, after_s=after_s)
