"""Brings the kernel log's events to the pipeline: opening, waiting, trouble and the saved place."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from monitor.config.schema import KernelLog as KernelLogSettings
from monitor.config.schema import Settings
from monitor.daemon.samples import source_samples
from monitor.daemon.saver import Saver
from monitor.metrics.exporter import Sample
from monitor.model.errors import PermanentError
from monitor.model.events import PacketLogged
from monitor.sources.kmsg import BOOT_ID, KernelLog, KernelLogStats

_log = logging.getLogger(__name__)
_NAME = "kernel_log"
_REOPEN_AFTER_S = 10.0
_LOSS_SHOWN_S = 600.0


class KernelLogIntake:
    """Owns the kernel log source: reads it when the loop says so, opens it again when it fails."""

    def __init__(self, settings: Settings, saver: Saver, process: Callable[[list[PacketLogged]], None]) -> None:
        """Nothing is opened yet; `saver` keeps the place for the next start."""
        self._settings: KernelLogSettings = settings.sources.kernel_log
        self._process = process
        self._saver = saver
        self._boot_id = BOOT_ID.read_text().strip()
        self._source: KernelLog | None = None
        self._stats = KernelLogStats()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trouble = ""
        self._reopen_at_s = 0.0
        self._place: int | None = None
        self._lost_known = 0
        self._lossy_until_s = 0.0

    def open(self) -> None:
        """Open the log after the place saved last; PermanentError says what is missing."""
        if self._settings.enabled:
            self._open(self._saved_place())

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read from now on whenever there is something to read."""
        self._loop = loop
        if self._source:
            loop.add_reader(self._source.fileno(), self._readable)

    def close(self) -> None:
        """Stop reading and save the place."""
        self._save_place()
        self._release()

    def reconfigure(self, settings: Settings) -> None:
        """Follow changed settings without losing the place."""
        if settings.sources.kernel_log == self._settings:
            return
        self._settings = settings.sources.kernel_log
        source = self._release()
        self._trouble = ""
        if self._settings.enabled:
            self._try_open(source.sequence if source else None)

    def tick(self) -> None:
        """Try again what failed, save the place, watch for losses."""
        now_s = time.monotonic()
        if self._stats.lost != self._lost_known:
            self._lost_known = self._stats.lost
            self._lossy_until_s = now_s + _LOSS_SHOWN_S
        if self._trouble and now_s >= self._reopen_at_s:
            self._try_open(self._place)
        self._save_place()

    def problems(self) -> list[str]:
        """Say what is wrong."""
        problems = [f"the kernel log is not being read: {self._trouble}"] if self._trouble else []
        if time.monotonic() < self._lossy_until_s:
            problems.append(
                f"kernel log records are lost before they can be read ({self._stats.lost} so far): log fewer packets "
                "(a limit on the rule) or enlarge the buffer (log_buf_len= on the kernel's command line)"
            )
        return problems

    def describe(self) -> dict[str, Any]:
        """Return this source's part of the status."""
        stats = self._stats
        return {
            "name": _NAME,
            "state": "up" if self._source else (self._trouble or "off"),
            "records": stats.records,
            "packets": stats.packets,
            "lost": stats.lost,
            "malformed": sum(stats.malformed.values()),
            "foreign": stats.foreign,
            "excluded": stats.excluded,
            "lag_s": stats.lag_s,
        }

    def samples(self) -> Iterator[Sample]:
        """Yield this source's metrics."""
        return source_samples(_NAME, self._stats, is_up=self._source is not None)

    def _saved_place(self) -> int | None:
        """Return the sequence number that the last daemon of this boot read last, None if there was none."""
        place = self._saver.store.cursors().get(_NAME) if self._saver.store else None
        is_usable = place is not None and place.boot_id == self._boot_id and isinstance(place.position, int)
        return int(place.position) if place is not None and is_usable else None

    def _save_place(self) -> None:
        """Have the place saved, if it is a new one."""
        if self._source and self._source.sequence is not None and self._source.sequence != self._place:
            self._place = self._source.sequence
            self._saver.set_cursor(_NAME, self._boot_id, self._place)

    def _open(self, after: int | None) -> None:
        settings = self._settings
        self._source = KernelLog(
            after=after, prefixes=settings.prefixes, ignore_prefixes=settings.ignore_prefixes, stats=self._stats
        )
        if self._loop:
            self._loop.add_reader(self._source.fileno(), self._readable)

    def _try_open(self, after: int | None) -> None:
        try:
            self._open(after)
        except PermanentError as error:
            self._fail(str(error))
            return
        if self._trouble:
            _log.info("reading the kernel log again")
        self._trouble = ""

    def _readable(self) -> None:
        """Take what waits, a bounded batch at a time: the loop comes back for more."""
        if self._source is None:
            return
        try:
            events = self._source.read()
        except OSError as error:
            self._save_place()
            self._release()
            self._fail(f"reading failed: {error.strerror}")
            return
        if events:
            self._process(events)

    def _fail(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.error("the kernel log is not being read: %s; trying again every %.0f s", trouble, _REOPEN_AFTER_S)
        self._trouble = trouble
        self._reopen_at_s = time.monotonic() + _REOPEN_AFTER_S

    def _release(self) -> KernelLog | None:
        """Close the source if it is open; return it for what it knows."""
        source, self._source = self._source, None
        if source:
            if self._loop:
                self._loop.remove_reader(source.fileno())
            source.close()
        return source
