"""How many bans there are, by rank and by kind, without a walk over them."""

from monitor.bans.claims import RANKS, Claims, holding
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode

SHAPES = 8
"""Addresses and prefixes of both families, whole or of some ports only."""
KINDS = SHAPES * 2 * len(Strength)


class BanCounts:
    """Counts of bans, kept up to date by `_add` and `_subtract`."""

    def __init__(self) -> None:
        """Start at zero."""
        self._counts = [0] * (2 * RANKS * KINDS)
        """By `KINDS * holding + kind`."""

    @property
    def in_force(self) -> int:
        """How many bans are in force."""
        return sum(self._counts[KINDS : RANKS * KINDS]) + self.bulk

    @property
    def bulk(self) -> int:
        """How many bans only imports, lists and peers claim."""
        return sum(self._counts[RANKS * KINDS :])

    def count(self, mode: Mode, strength: Strength) -> int:
        """Return how many bans of this kind there are."""
        first = SHAPES * (2 * strength.number + (mode is Mode.ENFORCE))
        return sum(sum(self._counts[kind::KINDS]) for kind in range(first, first + SHAPES))

    def count_in_set(self, strength: Strength, bits: int, *, prefixes: bool, bulk_only: bool = False) -> int:
        """Return how many bans in force are of this strength and family (32 or 128 bits), of addresses or prefixes.

        `bulk_only`: those that only imports, lists and peers claim.
        """
        kind = SHAPES * (2 * strength.number + 1) + 2 * (bits == 128) + prefixes
        return sum(self._counts[kind + RANKS * KINDS * bulk_only :: KINDS])

    def count_by_rank(self, kind: int | None = None) -> list[int]:
        """Return how many bans have each rank; `kind`: only bans of this kind."""
        counts = self._counts
        if kind is None:
            by_holding = [sum(counts[first : first + KINDS]) for first in range(0, len(counts), KINDS)]
        else:
            by_holding = counts[kind::KINDS]
        return [few + bulk for few, bulk in zip(by_holding[:RANKS], by_holding[RANKS:], strict=True)]

    def _add(self, ban: Ban, claims: Claims) -> None:
        self._counts[KINDS * holding(ban, claims) + kind_of(ban)] += 1

    def _subtract(self, ban: Ban, claims: Claims) -> None:
        self._counts[KINDS * holding(ban, claims) + kind_of(ban)] -= 1


def kind_of(ban: Ban) -> int:
    """Return a number for each kind of ban: strength, mode, family, and whether it is of a prefix."""
    network = ban.network
    kind = 2 * ban.strength.number + (ban.mode is Mode.ENFORCE)
    return SHAPES * kind + 4 * bool(network.ports) + 2 * (network.bits == 128) + (not network.is_host)
