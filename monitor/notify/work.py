"""The work of the notifier, round after round: hear the daemon, tick, save. Commands and tests drive it."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from monitor.model.errors import NodewardenError, explain
from monitor.notify.events import problem
from monitor.notify.following import Ask, Following, Heard
from monitor.notify.journal import JOURNAL_NAME, Entry, Journal
from monitor.notify.notifier import Notifier
from monitor.notify.settings import NotifySettings
from monitor.notify.spool import Cursor, SpoolFile, read_spool
from monitor.notify.state import HEARTBEAT_S, STATE_NAME, NotifyState, write_state

_log = logging.getLogger(__name__)
SPOOL_NAME = "spool.json"
AWAY_S = 120.0
"""How long the daemon may be away, as during an upgrade, before that is a problem worth a message."""
_AWAY = "the daemon does not answer: bans in the kernel stay in force, but nothing new is detected"
_PAGES = 64
"""The most pages of one round: other work must not wait for longer."""


class Work:
    """A notifier with its files."""

    def __init__(
        self,
        settings: NotifySettings,
        host: str,
        directory: Path,
        ask: Ask,
        clock: Callable[[], float] = time.time,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        """`directory` is STATE/notify, `ask` asks the daemon for a page of events, `clock` is wall
        time, `uptime` continues when that is set.
        """
        left, fault = read_spool(directory / SPOOL_NAME)
        if fault:
            _log.error("%s", fault)
        self._clock = clock
        self._uptime = uptime
        self._spool = SpoolFile(directory / SPOOL_NAME)
        self._state_path = directory / STATE_NAME
        self._journal = Journal(directory / JOURNAL_NAME)
        self._untaken = self._journal.after(left.cursor)
        self._following = Following(ask, self._untaken[-1].after if self._untaken else left.cursor)
        self.notifier = Notifier(settings, host, directory, left, clock)
        self._away_since_s: float | None = None
        self._away_fault = ""
        self._is_away_known = False
        self._written_s, self._written = float("-inf"), b""
        self._state_fault = ""

    def start(self) -> None:
        """Start the threads, and take what an earlier run heard last; OSError or RuntimeError if that fails."""
        self.notifier.start()
        for entry in self._untaken:
            self.notifier.take(entry.events, entry.unseen, self._clock())
        self._untaken = []

    def round(self) -> None:
        """Do all that is due. Nothing that the daemon or a disk does raises."""
        self._hear()
        now_s = self._clock()
        self.notifier.tick(now_s)
        self._save(now_s)

    def close(self) -> None:
        """End: save what is left, and say that nobody runs."""
        self.notifier.close()
        self._save(self._clock(), is_last=True)

    def _hear(self) -> None:
        try:
            for _ in range(_PAGES):
                before = self._following.cursor
                heard = self._following.next()
                self._note(before, heard)
                self.notifier.take(heard.events, heard.unseen, self._clock())
                if not heard.has_more:
                    break
        except (NodewardenError, ValueError) as error:
            self._away(explain(error))
        else:
            self._here()

    def _note(self, before: Cursor | None, heard: Heard) -> None:
        """Have a kill not lose what was heard, before it is taken."""
        after = self._following.cursor
        if before is not None and after is not None and after != before:
            self._journal.add(Entry(before=before, after=after, events=heard.events, unseen=heard.unseen))

    def _away(self, text: str) -> None:
        """Note that the daemon does not answer; after two minutes people learn of it."""
        now_s, passing_s = self._clock(), self._uptime()
        if self._away_since_s is None:
            self._away_since_s = passing_s
            _log.warning("waiting for the daemon: %s", text)
        self._away_fault = text
        if passing_s - self._away_since_s >= AWAY_S and not self._is_away_known:
            self._is_away_known = True
            self.notifier.note(problem(_AWAY, now_s, is_over=False), now_s)

    def _here(self) -> None:
        if self._is_away_known:
            now_s = self._clock()
            self.notifier.note(problem(_AWAY, now_s, is_over=True), now_s)
        self._away_since_s, self._away_fault, self._is_away_known = None, "", False

    def _save(self, now_s: float, *, is_last: bool = False) -> None:
        """Write both files if anything changed; the state at least every HEARTBEAT_S."""
        spool = self.notifier.spool(self._following.cursor)
        if self._spool.save(spool, time.monotonic(), is_last=is_last):
            self._journal.clear()
        state = self.notifier.state(self._spool.fault or self._away_fault)
        known = msgspec.json.encode(state)
        passed_s = abs(now_s - self._written_s)
        if is_last or passed_s >= HEARTBEAT_S or (passed_s >= 1.0 and known != self._written):
            state.heartbeat_s = 0.0 if is_last else now_s
            self._written_s, self._written = now_s, known
            self._write(state)

    def _write(self, state: NotifyState) -> None:
        try:
            write_state(self._state_path, state)
            self._state_fault = ""
        except OSError as error:
            if not self._state_fault:
                _log.error("%s cannot be written: %s", self._state_path, explain(error))
            self._state_fault = explain(error)
