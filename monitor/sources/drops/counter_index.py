"""Which element of the array `drops` counts what: the arithmetic of `bpf/drop_index.h`, turned round. Pure."""

import msgspec

from monitor.ebpf.macros import numbered
from monitor.sources.drops.kinds import DIRECTIONS, FAMILIES


class CounterIndex(msgspec.Struct, frozen=True):
    """How many values there are of each thing that is told apart: 1 where the program cannot tell."""

    directions: int = 1
    tunnelled: int = 1
    foreign: int = 1

    @property
    def macros(self) -> dict[str, int]:
        """What drop_index.h needs, but for REASONS, and the numbers of the families."""
        return numbered("FAMILY", FAMILIES, count="FAMILIES") | {
            "DIRECTIONS": self.directions,
            "TUNNELLED": self.tunnelled,
            "FOREIGN": self.foreign,
        }

    def split(self, index: int) -> tuple[int, int, int, int, int]:
        """Return slot of the reason, family, direction, whether tunnelled and whether foreign, as numbers."""
        rest, is_foreign = divmod(index, self.foreign)
        rest, is_tunnelled = divmod(rest, self.tunnelled)
        rest, direction = divmod(rest, self.directions)
        slot, family = divmod(rest, len(FAMILIES))
        return slot, family, direction, is_tunnelled, is_foreign

    def span(self, slot: int) -> range:
        """Return the elements of the reason in this slot."""
        size = len(FAMILIES) * self.directions * self.tunnelled * self.foreign
        return range(slot * size, (slot + 1) * size)


BY_REASON = CounterIndex()
"""Of `drops_classic.c`: by reason and family."""
BY_ALL = CounterIndex(directions=len(DIRECTIONS), tunnelled=2, foreign=2)
"""Of `drops.c`."""
