"""When a ban in force leaves nothing for a wanted one to add. Pure."""

from monitor.bans.claims import Claims, is_same_claim
from monitor.model import ports
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode

_SLACK = 0.05


def does_as_much(current: Ban, wanted: Ban) -> bool:
    """Whether the ban in force leaves nothing for the wanted one to add."""
    if (current.strength is Strength.DESTINATION) is not (wanted.strength is Strength.DESTINATION):
        return False  # one is about what comes from an address, the other about what goes to it
    if not ports.covers(current.network.ports, wanted.network.ports):
        return False
    if wanted.mode is Mode.OBSERVE:
        # What would have been banned is banned, or is counted already.
        return current.mode is Mode.ENFORCE or current.strength is wanted.strength
    # Packets logged just before a ban took hold raise alerts just after: those few seconds are not worth a refresh.
    is_exact = wanted.origin is not ClaimOrigin.DETECTOR
    slack_s = 0.0 if is_exact else _SLACK * (wanted.until_s - wanted.since_s)
    return (
        current.mode is Mode.ENFORCE
        and current.until_s >= wanted.until_s - slack_s
        and current.strength in (Strength.PROVEN, wanted.strength)
    )


def is_as_lasting(claims: Claims, wanted: Ban, now_s: float) -> bool:
    """Whether nothing that others withdraw would end what covers a wish.

    A local claim covers local wishes. A claim of a peer or a list may be withdrawn at any time, so it covers only later
    wishes of its own.
    """
    if wanted.origin.is_local:
        if wanted.mode is Mode.OBSERVE:
            return True
        return any(one.origin.is_local and one.until_s > now_s and does_as_much(one, wanted) for one in claims)
    if wanted.mode is Mode.OBSERVE:
        return False  # it counts for a quorum, and is there when what covers it ends
    return any(
        is_same_claim(one, wanted) and one.network == wanted.network and does_as_much(one, wanted) for one in claims
    )
