"""Counts frequent sources, found by `bpf/sketch.h`, exactly in a bounded map, and removes idle ones."""

import secrets
import struct
from collections import Counter
from collections.abc import Iterator

from monitor.ebpf.maps import Map

_NUMBER, _WINDOW = struct.Struct("=I"), struct.Struct("=QQ")
_LINES, _COUNT_BITS = 16_384, 16
"""Lines of the sketch, and bits of a cell for the count: the rest of the 32 bits are the epoch."""
_FREQUENT_PACKETS, _STEP_PACKETS = 16, 8192
"""A source with at least this many packets in a window is frequent; plus one per step of packets in the window."""
_WINDOW_PACKETS, _WINDOW_S = 32_768, 10.0
_IDLE_POLLS = 30
"""After this many polls without a packet a source is no longer counted exactly."""
_MAX_EPOCH = (1 << 32 - _COUNT_BITS) - 1


def sketch_macros() -> dict[str, int]:
    """Return the macros of `bpf/sketch.h`."""
    return {
        "SKETCH_LINES": _LINES,
        "COUNT_BITS": _COUNT_BITS,
        "FREQUENT_PACKETS": _FREQUENT_PACKETS,
        "STEP_PACKETS": _STEP_PACKETS,
    }


def sketch_constants() -> dict[str, int]:
    """Return a new random seed: an attacker who does not know it cannot choose addresses that collide."""
    return {"SEED": secrets.randbits(63)}


class FrequentSources:
    """Reads the exact counts, and starts new windows of the sketch."""

    def __init__(self, sources: Map, window: Map, *, counters: int) -> None:
        """Take the maps; values of `sources` start with this many 64-bit counters."""
        self._sources, self._window = sources, window
        self._counters = struct.Struct(f"={counters}Q")
        self._zero = (0,) * counters
        self._before: dict[bytes, tuple[int, ...]] = {}
        self._idle: Counter[bytes] = Counter()
        self._epoch, self._window_from_s = 1, 0.0
        self._total, self._has_grown, self._is_quiet = 0, True, False
        """Packets in the sketch's window when it was looked at last, whether these were more than before, and
        whether nothing can be found."""
        self._begin_window()
        self.load = 0.0
        """The load of the sketch at the last poll; above 1, a source needs more packets to be frequent."""

    def __len__(self) -> int:
        """Return how many sources are counted exactly."""
        return len(self._before)

    def has_news(self) -> bool:
        """Return whether `poll` may find something; it takes one look at a map instead of a walk through all.

        Every packet of a source that is not counted exactly is counted in the window first. So while no source is, and
        the window has no more packets than before, nothing came. After a packet two polls are due: the program may
        still have been at work on it during the first.
        """
        total = self._in_window()
        had_grown, self._has_grown, self._total = self._has_grown, total != self._total, total
        self._is_quiet = not (self._before or had_grown or self._has_grown)
        return not self._is_quiet

    def watched(self) -> list[tuple[int, bytes]] | None:
        """Return the map to look at while nothing happens, and its value; None if polls are due anyway."""
        if self._before or self._has_grown:
            return None
        return [(self._window.descriptor, _WINDOW.pack(self._total, self._epoch))]

    def may_skip(self, now_s: float) -> bool:
        """Return whether `has_news` just said that a poll finds nothing, and it is not time for a new window."""
        is_quiet, self._is_quiet = self._is_quiet, False
        if is_quiet and now_s >= self._window_from_s + _WINDOW_S:
            if self._total or self.load:
                return False
            self._window_from_s = now_s  # nothing is in it: it may as well start now
        return is_quiet

    def poll(self, now_s: float) -> Iterator[tuple[bytes, tuple[int, ...], bytes]]:
        """Yield for each source with new packets: key, increase since the last poll, and the bytes after its counters.

        `now_s` is any clock in seconds.
        """
        before, current = self._before, dict[bytes, tuple[int, ...]]()
        for key, value in self._sources.items():
            counts = current[key] = self._counters.unpack_from(value)
            known = before.get(key, self._zero)
            if counts == known:
                self._idle[key] += 1
                continue
            self._idle.pop(key, None)
            yield key, tuple(now - then for now, then in zip(counts, known, strict=True)), value[self._counters.size :]
        self._before = current
        self._forget_idle()
        self._turn_window(now_s)

    def _forget_idle(self) -> None:
        """Remove idle sources; the fuller the map, the sooner."""
        limit = self._sources.shape.max_entries
        patience = max(1, _IDLE_POLLS * (limit - len(self._before)) // limit)
        for key in [key for key, looks in self._idle.items() if looks >= patience]:
            del self._sources[key]
            del self._idle[key]
            self._before.pop(key, None)

    def _turn_window(self, now_s: float) -> None:
        """Start a new window before collisions alone make sources look frequent."""
        total = self._in_window()
        self.load = total / _WINDOW_PACKETS
        if total >= _WINDOW_PACKETS or now_s >= self._window_from_s + _WINDOW_S:
            self._window_from_s = now_s
            self._epoch = self._epoch % _MAX_EPOCH + 1
            self._has_grown |= total != self._total  # since `has_news`: the poll may have missed it
            self._begin_window()

    def _in_window(self) -> int:
        """Return how many packets the sketch counted in this window."""
        value = self._window.get(_NUMBER.pack(0))
        return _WINDOW.unpack(value)[0] if value else 0

    def _begin_window(self) -> None:
        self._total = 0
        self._window[_NUMBER.pack(0)] = _WINDOW.pack(0, self._epoch)
