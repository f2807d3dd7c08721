"""Large sets of addresses are not listed where that can be avoided.

The kernel lists a hash set 32 KiB at a time and walks it from its start each time (nft_rhash_walk): 100,000 elements
take a second of the processor, 400,000 half a minute, a million three minutes. Adding elements again, asking for single
ones, and asking how many there are (NFTA_SET_COUNT, since Linux 6.16) take time proportional to their number, or none.
"""

from monitor.enforcers.netlink import RawSet

LARGE = 50_000
"""Elements that are listed in less than half a second."""
_MARGIN = 1000
"""Elements that may be in the kernel and not in the store: bans of the last moments before a daemon was killed."""


def is_known(definition: RawSet, stored: int) -> bool:
    """Whether a set need not be listed at a start, since `stored` of its addresses are known to be banned."""
    if stored <= LARGE or (definition.count is not None and definition.count <= LARGE):
        return False
    return definition.count is None or definition.count <= stored + _MARGIN
