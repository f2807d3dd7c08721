"""Who comes back although a full window forgot it: counts of evictions in a table of fixed size.

A flood of forged sources evicts a slow attacker before its second packet. Each forged source comes once, or once in a
while; the attacker comes again and again. So a window counts here how often each key was evicted, and keeps a key that
was evicted much more often than keys on average. It is a count-min sketch (Cormode and Muthukrishnan 2005) of one row,
which ages by halving as in TinyLFU (Einziger et al. 2017). A count is never evidence: it decides only what a full
window keeps, so keys that share a cell gain a place in memory and nothing else. Attackers cannot choose keys that share
a cell: cells are chosen by multiply-shift (Dietzfelbinger et al. 1997) with a secret factor of this process.
"""

from collections.abc import Sequence

from monitor.model import salt

_KEY_BYTES = 48
"""No window has longer keys."""
_HALVED = bytes(value >> 1 for value in range(256))
_LEAST_BITS, _MOST_BITS = 12, 20
_FULL_AT = 8
"""Evictions a cell, on average, after which all cells are halved: more would blur who is above average."""
_ABOVE = 8
"""How many evictions above twice the average save a key: at most 24 at `_FULL_AT`, so that no cell of a byte overflows.

By chance, that is reached by one of 100,000 keys."""


class EvictionSketch:
    """Counts evictions by key: one byte a cell, and at least twice as many cells as the window has entries."""

    def __init__(self, max_entries: int, halve_after_s: float) -> None:
        """Start empty; counts are halved after this time, and earlier when there are many."""
        bits = min(max(_LEAST_BITS, max_entries.bit_length() + 1), _MOST_BITS)
        self._width = 1 << bits
        self._factor = salt.factor(_KEY_BYTES)
        self._shift = 8 * _KEY_BYTES - bits
        self._cells = bytearray()  # filled at the first eviction: of most windows there never is one
        self._total = 0
        self._halve_after_s = halve_after_s
        self._halved_s = float("-inf")

    def saved(self, keys: Sequence[bytes], now_s: float) -> set[bytes]:
        """Count an eviction of each key; return those that came back so often that they are to be kept.

        Those start anew.
        """
        if self._total >= _FULL_AT * self._width or not 0 <= now_s - self._halved_s < self._halve_after_s:
            self._cells = self._cells.translate(_HALVED)
            self._total >>= 1
            self._halved_s = now_s
        if not self._cells:
            self._cells = bytearray(self._width)
        cells, mask, save_at = self._cells, self._width - 1, _ABOVE + 2 * self._total // self._width
        factor, shift, number = self._factor, self._shift, int.from_bytes
        found = set()
        for key in keys:
            cell = number(key) * factor >> shift & mask
            count = cells[cell]
            if count < save_at:
                cells[cell] = count + 1
            else:
                cells[cell] = 0
                found.add(key)
        self._total += len(keys)
        return found
