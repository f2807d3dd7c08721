"""Claims: what several origins say of one network and strength amounts to one ban. Pure.

Whoever withdraws a claim ends that claim only: a peer that unbans, or a list that drops an entry, must not end the ban
of a detector here. What is in force ends with the latest claim that is enforced; claims that are only observed count
where none is.
"""

import enum
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode


class Rank(enum.IntEnum):
    """How strongly a network is held, weakest first: where there is no room, the weakest yields.

    What anyone can forge comes below everything that somebody decided or proved: forged sources cost an attacker
    nothing, and must not push out a single ban that rests on more. Calls to a destination follow, since one host behind
    the node can make as many of them as it likes.
    """

    OBSERVED = 0
    SPOOFABLE = 1
    DESTINATION = 2
    LIST = 3
    IMPORT = 4
    PEER = 5
    PROVEN = 6
    OPERATOR = 7

    @property
    def label(self) -> str:
        """Its name in metrics and texts."""
        return self.name.lower()


Claims: TypeAlias = tuple[Ban, ...]
RANKS = len(Rank)
_OF_DETECTORS = {strength: Rank[strength.name] for strength in Strength}
_OF_OTHERS = {origin: Rank[origin.name] for origin in ClaimOrigin if origin is not ClaimOrigin.DETECTOR}


def effective(claims: Sequence[Ban], now_s: float) -> Ban | None:
    """Return the ban that claims of one network and strength amount to at `now_s`; None when all have ended."""
    if len(claims) == 1:
        return claims[0] if claims[0].until_s > now_s else None
    live = [claim for claim in claims if claim.until_s > now_s]
    counted = [claim for claim in live if claim.mode is Mode.ENFORCE] or live
    if not counted:
        return None
    last = max(counted, key=lambda claim: claim.until_s)
    return msgspec.structs.replace(last, since_s=min(claim.since_s for claim in counted))


def is_same_claim(one: Ban, other: Ban) -> bool:
    """Whether both are the claim of one origin; network and strength are the same already."""
    return one.detector == other.detector and one.origin is other.origin


def with_claim(claims: Sequence[Ban], claim: Ban) -> tuple[Ban, ...]:
    """Return the claims with this one, in place of the earlier one of its origin.

    Claims that have ended stay until the ledger expires them: the store must learn of each.
    """
    return (*(other for other in claims if not is_same_claim(other, claim)), claim)


def claim_rank(claim: Ban) -> Rank:
    """Return how strongly a claim holds its network; one that is only observed holds nothing."""
    if claim.mode is Mode.OBSERVE:
        return Rank.OBSERVED
    return _OF_DETECTORS[claim.strength] if claim.origin is ClaimOrigin.DETECTOR else _OF_OTHERS[claim.origin]


def rank(ban: Ban, claims: Sequence[Ban] = ()) -> int:
    """Return how strongly a network is held: by the strongest of its claims."""
    return holding(ban, claims) % RANKS


def holding(ban: Ban, claims: Sequence[Ban] = ()) -> int:
    """Return `rank`, plus RANKS if only origins hold the network that come by the thousand."""
    if ban.mode is Mode.OBSERVE:
        return 0
    if len(claims) < 2:
        return claim_rank(ban) + RANKS * ban.origin.is_bulk
    enforced = [claim for claim in claims if claim.mode is Mode.ENFORCE]
    return max(map(claim_rank, enforced)) + RANKS * all(claim.origin.is_bulk for claim in enforced)


def bulk_share(limit: int) -> int:
    """Return how much of a limit imports, lists and peers may use: a quarter is kept for detectors and operators."""
    return limit - -(-limit // 4)
