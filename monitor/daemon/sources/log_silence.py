"""Which logs yield no line although their service runs: they may be the wrong ones, or the format has changed places.

A quiet log is no fault by itself. So it is reported only after `silence` of the detector's section, and only while a
unit that the filter names has processes.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from monitor.filters.definition import FilterDefinition
from monitor.node.units import running_units

_CHECK_S = 60.0
_HOUR_S = 3600.0
_UNIT_FIELDS = ("_SYSTEMD_UNIT=", "_SYSTEMD_SLICE=")


class Expected(NamedTuple):
    """What is expected of one detector's log."""

    silence_s: float
    """After how long without a line; 0: never."""
    units: tuple[str, ...]
    """The services that write it."""


class LogSilence:
    """Remembers when each log had its last line."""

    def __init__(self, find_running: Callable[[Iterable[str]], list[str]] = running_units) -> None:
        """Start without any."""
        self.silent: dict[str, str] = {}
        """Why a log may be the wrong one, by detector; as of the last `look`."""
        self._expected: Mapping[str, Expected] = {}
        self._heard_s: dict[str, float] = {}
        self._looked_s = float("-inf")
        self._find_running = find_running

    def follow(self, expected: Mapping[str, Expected], now_s: float) -> None:
        """Follow a changed configuration; the clock is monotonic."""
        self._expected = dict(expected)
        self._heard_s = {name: self._heard_s.get(name, now_s) for name in expected}
        self.silent = {name: why for name, why in self.silent.items() if name in expected}

    def hear(self, detectors: Iterable[str]) -> None:
        """Note that lines came in the logs of these detectors."""
        now_s = time.monotonic()
        for name in detectors:
            self._heard_s[name] = now_s
            if name in self.silent:
                del self.silent[name]

    def look(self, now_s: float) -> None:
        """Find the silent logs, at most once a minute."""
        if now_s - self._looked_s < _CHECK_S:
            return
        self._looked_s = now_s
        self.silent = {}
        for name, (silence_s, units) in self._expected.items():
            quiet_s = now_s - self._heard_s[name]
            if silence_s and quiet_s >= silence_s and (running := self._find_running(units)):
                self.silent[name] = f"no line in {quiet_s / _HOUR_S:.0f} hours, although {', '.join(running)} runs"


def units_of(definition: FilterDefinition) -> tuple[str, ...]:
    """Return the units and slices that a filter names."""
    terms = [term for line in definition.journalmatch for term in line]
    named = [term.removeprefix(field) for field in _UNIT_FIELDS for term in terms if term.startswith(field)]
    return tuple(dict.fromkeys(unit for unit in named if "/" not in unit))
