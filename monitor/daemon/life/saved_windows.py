"""What detectors counted outlives a restart: ending the guard forgives nobody.

Each detector's window is saved every ten seconds, in the transaction that saves the cursors of the sources: what is
read again after a kill was not counted before it. A saved window raises no alert by itself, only the next event does;
what is older than `findtime` by then does not count. Clients are saved as well: without them, forged packets in their
name would count as those of strangers. So is what log prefixes mark: without it the first bans after a start would wait
until that is known again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.clock import PassedSeconds
from monitor.model.errors import TemporaryError
from monitor.model.saved_rows import SavedRow, SavedWindow
from monitor.recording.inputs import Restored, SavedWindowOf
from monitor.state.changes import SavedContent
from monitor.state.saver import Saver

_log = logging.getLogger(__name__)
_EVERY_S = 10
"""Seconds in which all windows are saved, a share of them in each: saving all at once would delay bans."""
_WAIT_S = 5
"""A packet that was logged may wait that long for connection tracking; only then it counts, or its prefix learns."""
_ANYWAY_EVERY_S = 300.0
"""How often windows are compared with what is saved although nothing was counted: in the meantime, time forgot some."""
_MAX_ROWS = 4096
_MAX_TOTAL_ROWS = 32_768
_CLIENTS = "clients"
_PREFIXES = "log prefixes"
_VERSION = 1


class _Content(msgspec.Struct, frozen=True, array_like=True):
    version: int
    kind: str
    windows: list[list[SavedRow]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Content).decode


class SavedPart(NamedTuple):
    """The windows of one detector, the known clients, or what log prefixes mark."""

    name: str
    kind: str
    windows: Sequence[SavedWindow]
    is_of_logs: bool = False


class SavedWindows:
    """Saves and restores the windows of all detectors, at most 32,768 rows and 4,096 of each window."""

    def __init__(
        self, saver: Saver, pipeline: Pipeline, is_settled: Callable[[], bool], more: Sequence[SavedPart] = ()
    ) -> None:
        """`is_settled`: whether the cursors of logs are where events were handed on to; their detectors wait for it.

        `more` is kept in addition to what the pipeline has.
        """
        self._more = more
        self._saver = saver
        self._pipeline = pipeline
        self._is_settled = is_settled
        self._saved: dict[str, bytes] = {}
        self._of_logs: set[str] = set()
        self._turn = 0
        self._passed = PassedSeconds(_EVERY_S)
        self._counted_known = -1
        self._count = 1
        """Of all parts."""
        self._turns_left = 0
        """Shares until all that was counted by `_counted_known` is saved."""
        self._round_at_s = float("-inf")

    def restore(self, now_s: float) -> int:
        """Remember what an earlier run counted; return how many detectors did."""
        try:
            saved = self._saver.load_windows()
        except TemporaryError as error:
            _log.warning("what detectors counted before the start is not known: %s", error)
            return 0
        restored = resume(self._pipeline, saved, now_s, self._more)
        if saved and self._pipeline.tap.is_open:
            self._pipeline.remembered(
                Restored(now_s, windows={name: SavedWindowOf(*content) for name, content in saved.items()})
            )
        return restored

    def tick(self, now_s: float) -> None:
        """Save the shares of the seconds that passed since the last tick, if they may hold anything new."""
        has_news = self._has_news(now_s)
        parts = self._parts() if has_news else ()
        for _ in range(self._passed.take(now_s)):
            self._turn = (self._turn + 1) % _EVERY_S
            if has_news:
                self._turns_left -= 1
                self._save(parts[self._turn :: _EVERY_S], now_s)
            elif self._turn == 0:
                self._save(self._more, now_s)  # nobody says what changed of them

    def _has_news(self, now_s: float) -> bool:
        """Whether there are shares that were not saved since something was counted last."""
        counted = self._pipeline.counted_total
        if counted != self._counted_known or not 0 <= self._round_at_s - now_s <= _ANYWAY_EVERY_S:
            self._counted_known, self._turns_left = counted, _EVERY_S + _WAIT_S
            self._round_at_s = now_s + _ANYWAY_EVERY_S
        return self._turns_left > 0

    def save(self, now_s: float) -> None:
        """Save all."""
        self._save(self._parts(), now_s)

    def _save(self, parts: Sequence[SavedPart], now_s: float) -> None:
        if not parts:
            return
        is_settled = self._is_settled()
        limit = min(_MAX_ROWS, _MAX_TOTAL_ROWS // max(1, self._count))
        for name, kind, windows, _ in parts:
            if name in self._of_logs and not is_settled:
                self._turns_left = _EVERY_S  # it is saved once its cursor is where events were handed on to
                continue
            content = encoded(kind, [list(window.export(limit)) for window in windows])
            if content != self._saved.get(name):
                self._saved[name] = content
                self._saver.save_window(name, SavedContent(now_s, content))

    def _parts(self) -> list[SavedPart]:
        """Return what is kept; note which of it rests on logs."""
        parts = [*counted_parts(self._pipeline), *self._more]
        self._of_logs.update(one.name for one in parts if one.is_of_logs)
        self._count = len(parts)
        return parts


def resume(pipeline: Pipeline, saved: Mapping[str, SavedContent], now_s: float, more: Iterable[SavedPart] = ()) -> int:
    """Have detectors and clients remember what was saved, and `more` as well; return how many do."""
    resumed = 0
    for name, kind, windows, _ in (*counted_parts(pipeline), *policy_parts(pipeline), *more):
        if name not in saved or saved[name].saved_s > now_s:
            continue
        try:
            content = _decode(saved[name].content)
        except (msgspec.DecodeError, ValueError):
            continue  # of another version, or damaged in a way that the checksum did not show
        if (content.version, content.kind, len(content.windows)) == (_VERSION, kind, len(windows)):
            for window, rows in zip(windows, content.windows, strict=True):
                window.resume(rows, now_s)
            resumed += 1
    return resumed


def encoded(kind: str, windows: list[list[SavedRow]]) -> bytes:
    """Return the rows of windows as they are saved."""
    return _encode(_Content(_VERSION, kind, windows))


def policy_parts(pipeline: Pipeline) -> Iterator[SavedPart]:
    """Yield what the next start learns from the history, or need not know: offences, budgets, alerts about clients."""
    for name, table in pipeline.policy.tables().items():
        yield SavedPart(f"policy/{name}", "policy", (table,))
    for strength, budget in pipeline.policy.budgets.by_strength.items():
        yield SavedPart(f"budget/{strength}", "budget", (budget,))
    yield SavedPart("contested", "contested", (pipeline.evidence.contested,))


def counted_parts(pipeline: Pipeline) -> Iterator[SavedPart]:
    """Yield all that detectors count, the known clients, and what log prefixes mark."""
    detectors: Sequence[Any] = pipeline.counting
    bases = {id(detector) for detector in pipeline.detectors}
    for detector in detectors:
        if windows := detector.windows():
            limits = detector.limits
            is_base = id(detector) in bases
            name = detector.name if is_base else f"{detector.name}@{limits.maxretry}/{limits.findtime_s:g}"
            yield SavedPart(name, type(detector).name, windows, is_of_logs=detector.is_addressed)
    for detector in pipeline.shadows.counting:
        if windows := detector.windows():
            name = f"{detector.name}~{detector.limits.maxretry}/{detector.limits.findtime_s:g}"
            yield SavedPart(name, type(detector).name, windows, is_of_logs=detector.is_addressed)
    yield SavedPart(_CLIENTS, _CLIENTS, (pipeline.evidence.clients,))
    yield SavedPart(_PREFIXES, _PREFIXES, (pipeline.evidence.logged,))
