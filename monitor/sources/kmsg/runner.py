"""The runner of the kernel log."""

from typing import Any

from monitor.model.cursors import Cursor, CursorStore
from monitor.sources.kmsg.decoder import KernelLogStats
from monitor.sources.kmsg.metrics import COUNTERS
from monitor.sources.kmsg.reader import BOOT_ID, KernelLog
from monitor.sources.kmsg.settings import KernelLogSettings
from monitor.sources.metrics import LAG
from monitor.sources.runner import Process, SourceRunner


class KernelLogRunner(SourceRunner[KernelLog, KernelLogSettings]):
    """Owns the kernel log. It must be readable at the start, since it can be switched off."""

    name = KernelLog.name
    title = "the kernel log"
    counters = SourceRunner.counters | COUNTERS | {"lag_s": LAG}
    stats: KernelLogStats

    def __init__(self, settings: KernelLogSettings, cursors: CursorStore, process: Process) -> None:
        """Open nothing yet."""
        super().__init__(process, KernelLogStats())
        self._settings = settings
        self._cursors = cursors
        self._boot_id = BOOT_ID.read_text().strip()
        self._sequence: int | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it is enabled."""
        return self._settings.enabled

    def open(self) -> None:
        """Open the log after the saved cursor; PermanentError says what is missing."""
        self._load_cursor()
        if self.is_wanted:
            self._source = self._make()

    def reconfigure(self, settings: KernelLogSettings) -> None:
        """Follow changed settings without losing the cursor; switched on, the log is read from then on."""
        if settings == self._settings:
            return
        self._settings = settings
        self._renew()
        if not self.is_wanted:
            self._sequence = None

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self.stats
        return {
            **super().describe(),
            "events": stats.packets - stats.excluded,
            "lag_s": stats.lag_s,
            "other": {"overruns": stats.overruns, "foreign": stats.foreign, "excluded": stats.excluded},
        }

    def _make(self) -> KernelLog:
        settings = self._settings
        return KernelLog(
            after=self._sequence,
            prefixes=settings.prefixes,
            ignore_prefixes=settings.ignore_prefixes,
            stats=self.stats,
        )

    def _take(self, source: KernelLog) -> None:
        if events := source.read():
            self._process(events)

    def _load_cursor(self) -> None:
        """Continue after the last record that a daemon of this boot read; without one, read from now on."""
        cursor = self._cursors.load_cursors().get(self.name)
        if cursor is not None and cursor.boot_id == self._boot_id and isinstance(cursor.position, int):
            self._sequence = cursor.position

    def _save_cursor(self) -> None:
        if self._source and self._source.sequence is not None and self._source.sequence != self._sequence:
            self._sequence = self._source.sequence
            self._cursors.save_cursor(self.name, Cursor(self._boot_id, self._sequence))

    def _explain_loss(self) -> str:
        return (
            f"kernel log records are lost before they can be read ({self.stats.lost} so far): log fewer packets "
            "(a limit on the rule) or enlarge the buffer (log_buf_len= on the kernel's command line)"
        )
