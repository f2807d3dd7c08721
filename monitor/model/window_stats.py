"""What windows report of themselves: how full they are, who came closest, and what evidence was lost."""

import msgspec


class Crossing(msgspec.Struct, frozen=True, gc=False):
    """A key reached the threshold: the distinct items, oldest first, and when the first and the last were seen."""

    items: tuple[bytes, ...]
    first_s: float
    last_s: float


class WindowStats(msgspec.Struct):
    """What a window counted."""

    evicted_keys: int = 0
    """Keys forgotten early because the window was full: evidence lost."""
    missed_keys: int = 0
    """Those of them that matter: near the threshold, or so recent that a steady attacker would be forgotten too."""
    entries: int = 0
    """(key, item) pairs remembered now."""
    peak: float = 0
    """The highest count of any key since the last `turn`."""
    previous_peak: float = 0
    turns: int = 0
    missed_before: tuple[int, int] = (0, 0)
    """`missed_keys` at the last turn and at the one before."""
    crowds: tuple[bytes, ...] = ()
    """Prefixes, as leading bytes of addresses, that may fill only a window of their own."""

    @property
    def busiest(self) -> float:
        """The highest count of any key lately."""
        return max(self.peak, self.previous_peak)

    @property
    def missed_lately(self) -> int:
        """Keys forgotten within the last one to two minutes of which it matters."""
        return self.missed_keys - self.missed_before[1]

    def turn(self) -> None:
        """Start the next minute: what was highest in the one that ends still counts in it, and no longer."""
        self.previous_peak, self.peak = self.peak, 0
        self.missed_before = self.missed_keys, self.missed_before[0]
        self.turns += 1

    def take_from(self, part: "WindowStats") -> None:
        """Move what a part of the window counted here; `entries` of the part stay its own."""
        self.evicted_keys += part.evicted_keys
        self.missed_keys += part.missed_keys
        self.peak = max(self.peak, part.peak)
        part.evicted_keys = part.missed_keys = 0
        part.peak = 0
