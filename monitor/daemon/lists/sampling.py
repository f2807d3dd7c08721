"""What a comparison of a list's sets with the kernel asks for: numbers of elements, and a few networks by chance."""

import random

from monitor.daemon.lists.held import HeldList
from monitor.enforcers.nftables.list_table import Entry, Expected
from monitor.lists.columns import NOTHING, counts, families

_SAMPLE = 8
"""Networks of each family that are looked up: a set that lost half of its elements is found at once."""


def expected(held: HeldList, now_s: float) -> Expected:
    """Return what should be in the sets of a list, which must have a frame."""
    if held.frame is None:
        raise ValueError(held.name)
    networks = held.in_kernel or NOTHING
    sample: list[Entry] = []
    for family in families(networks):
        for index in random.sample(range(len(family.lengths)), min(_SAMPLE, len(family.lengths))):
            sample += family.entries(index, index + 1)
    is_live = held.left_s(now_s) > _SAMPLE
    return Expected(held.frame, counts(networks), sample, is_live)
