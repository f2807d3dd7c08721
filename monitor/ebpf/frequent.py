"""Sources that come often, as `bpf/sketch.h` finds them: counted exactly in a bounded map, forgotten when they stop."""

import secrets
import struct
from collections import Counter
from collections.abc import Iterator

from monitor.ebpf.maps import Map

_NUMBER, _WINDOW = struct.Struct("=I"), struct.Struct("=QQ")
_LINES, _COUNT_BITS = 16_384, 16
"""Lines of the sketch, and bits of a cell that count: the rest of its 32 are the epoch."""
_FREQUENT_PACKETS, _STEP_PACKETS = 16, 8192
"""A source comes often that comes so often in a window; one more for each step of packets that the window counted."""
_WINDOW_PACKETS, _WINDOW_S = 32_768, 10.0
_IDLE_LOOKS = 30
"""So many looks without a packet, and a source is no longer counted exactly."""
_MAX_EPOCH = (1 << 32 - _COUNT_BITS) - 1


def sketch_macros() -> dict[str, int]:
    """Return what `bpf/sketch.h` needs; the seed is another each time.

    Nobody can choose addresses that collide in a sketch whose seed they do not know.
    """
    return {
        "SKETCH_LINES": _LINES,
        "COUNT_BITS": _COUNT_BITS,
        "FREQUENT_PACKETS": _FREQUENT_PACKETS,
        "STEP_PACKETS": _STEP_PACKETS,
        "SEED": secrets.randbits(63),
    }


class FrequentSources:
    """Reads the exact counts and turns the window of the sketch."""

    def __init__(self, sources: Map, window: Map, *, counters: int) -> None:
        """Take the maps; values of `sources` begin with so many 64-bit counters."""
        self._sources, self._window = sources, window
        self._counters = struct.Struct(f"={counters}Q")
        self._zero = (0,) * counters
        self._before: dict[bytes, tuple[int, ...]] = {}
        self._idle: Counter[bytes] = Counter()
        self._epoch, self._window_from_s = 1, 0.0
        self._begin_window()
        self.load = 0.0
        """How full the sketch was at the last look: above 1, a source must come more often to be noticed."""

    def __len__(self) -> int:
        """Return how many sources are counted exactly."""
        return len(self._before)

    def look(self, now_s: float) -> Iterator[tuple[bytes, tuple[int, ...], bytes]]:
        """Yield the key of each source that grew, by how much since the last look, and what stands behind its counters.

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
        """Make room: sooner, the fuller it is."""
        limit = self._sources.shape.max_entries
        patience = max(1, _IDLE_LOOKS * (limit - len(self._before)) // limit)
        for key in [key for key, looks in self._idle.items() if looks >= patience]:
            del self._sources[key]
            del self._idle[key]
            self._before.pop(key, None)

    def _turn_window(self, now_s: float) -> None:
        """Have the sketch begin anew before chance alone makes sources look busy."""
        value = self._window.get(_NUMBER.pack(0))
        total = _WINDOW.unpack(value)[0] if value else 0
        self.load = total / _WINDOW_PACKETS
        if total >= _WINDOW_PACKETS or now_s >= self._window_from_s + _WINDOW_S:
            self._window_from_s = now_s
            self._epoch = self._epoch % _MAX_EPOCH + 1
            self._begin_window()

    def _begin_window(self) -> None:
        self._window[_NUMBER.pack(0)] = _WINDOW.pack(0, self._epoch)
