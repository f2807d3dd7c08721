"""Claims: what several origins say of one network and strength amounts to one ban. Pure.

Whoever withdraws a claim ends that claim only: a peer that unbans, or a list that drops an entry, must not end the ban
of a detector here. What is in force ends with the latest claim that is enforced; claims that are only observed count
where none is.
"""

from collections.abc import Sequence

import msgspec

from monitor.model.bans import Ban, Mode


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


def rank(ban: Ban, claims: Sequence[Ban] = ()) -> int:
    """Return how strongly a network is held, for eviction: 0 where it is only observed, else by its highest origin.

    Claims that are only observed hold nothing.
    """
    if ban.mode is Mode.OBSERVE:
        return 0
    if len(claims) < 2:
        return 1 + ban.origin.rank
    return 1 + max(claim.origin.rank for claim in claims if claim.mode is Mode.ENFORCE)


def is_bulk(ban: Ban, claims: Sequence[Ban] = ()) -> bool:
    """Whether only origins hold it that come by the thousand."""
    if len(claims) < 2 or ban.mode is Mode.OBSERVE:
        return ban.origin.is_bulk
    return all(claim.origin.is_bulk for claim in claims if claim.mode is Mode.ENFORCE)
