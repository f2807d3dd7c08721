"""How many bans there are, by rank and by kind, without a walk over them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from monitor.bans.claims import RANKS, Claims, holding
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode

SHAPES = 8
"""Addresses and prefixes of both families, whole or of some ports only."""
KINDS = SHAPES * 2 * len(Strength)
_STRENGTH, _ORIGIN, _DETECTOR = map(attrgetter, ("strength", "origin", "detector"))


class BanCounts:
    """Counts of bans, kept up to date by `_add` and `_subtract`."""

    def __init__(self) -> None:
        """Start at zero."""
        self._counts = [0] * (2 * RANKS * KINDS)
        """By `KINDS * holding + kind`."""
        self._by_name: Counter[tuple[str, Mode, Strength]] = Counter()
        self.changes = 0
        """Another number whenever a count may be another one."""

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

    def by_detector(self) -> Mapping[tuple[str, Mode, Strength], int]:
        """Return how many bans there are by `holder_name`, mode and strength, without those that are none."""
        return self._by_name

    def has_none_of(self, origins: Collection[ClaimOrigin]) -> bool:
        """Whether no ban is of one of these origins, which is known at once of imports, lists and peers only."""
        return all(one.is_bulk for one in origins) and not any(name in origins for name, _, _ in self._by_name)

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

    def _add(self, ban: Ban, claims: Claims, count: int = 1) -> None:
        self.changes += 1
        self._counts[KINDS * holding(ban, claims) + kind_of(ban)] += count
        key = holder_name(ban), ban.mode, ban.strength
        self._by_name[key] = self._by_name.get(key, 0) + count

    def _add_hosts(self, bans: Sequence[Ban], keys: Sequence[bytes]) -> None:
        """Add bans in force of single addresses, with their `ban_key`, that have no other claims: few kinds of them."""
        strengths, origins = map(id, map(_STRENGTH, bans)), map(id, map(_ORIGIN, bans))  # quicker to hash than members
        kinds = list(zip(strengths, origins, map(_DETECTOR, bans), map(len, keys), strict=True))
        examples = dict(zip(kinds, bans, strict=True))
        for kind, count in Counter(kinds).items():
            self._add(examples[kind], (), count)

    def _subtract(self, ban: Ban, claims: Claims) -> None:
        self.changes += 1
        self._counts[KINDS * holding(ban, claims) + kind_of(ban)] -= 1
        key = holder_name(ban), ban.mode, ban.strength
        self._by_name[key] -= 1
        if not self._by_name[key]:  # detectors come and go with the configuration
            del self._by_name[key]


def holder_name(ban: Ban) -> str:
    """Return who holds a ban, from a closed set: a detector, `manual`, or what kind of list or peer it is."""
    return str(ban.origin) if ban.origin.is_bulk else ban.detector


def kind_of(ban: Ban) -> int:
    """Return a number for each kind of ban: strength, mode, family, and whether it is of a prefix."""
    network, size = ban.network, len(ban.network.address)
    kind = 2 * ban.strength.number + (ban.mode is Mode.ENFORCE)
    return SHAPES * kind + 4 * bool(network.ports) + 2 * (size == 16) + (network.prefix_length != 8 * size)
