"""Which claims of this node are published, and as what. Pure.

Only what a detector here decided is shared, and what the operator ordered for the fleet: never what was adopted,
imported or listed, so that nothing goes round in circles. What only the kernel knew at the start may have been a
peer's, so it is not shared either.
"""

from collections.abc import Iterable

from monitor.bans.merge import is_restored
from monitor.fleet.fields import SETS, field_of, show_network
from monitor.fleet.records import MAX_REASON, VERSION, BanRecord
from monitor.fleet.settings import FleetSettings, Share
from monitor.model.alerts import Strength
from monitor.model.bans import FLEET, Ban, ClaimOrigin, Mode
from monitor.model.printable import printable

_MAX_DETECTOR = 64


def is_shared(claim: Ban, settings: FleetSettings) -> bool:
    """Whether a claim is published while it is in force."""
    if claim.mode is not Mode.ENFORCE or claim.strength not in SETS:
        return False
    if claim.origin is ClaimOrigin.OPERATOR:
        return claim.detector == FLEET
    if claim.origin is not ClaimOrigin.DETECTOR or is_restored(claim) or not settings.publish:
        return False
    return claim.strength is Strength.PROVEN or settings.share is Share.ALL


def shared_claim(claims: Iterable[Ban], settings: FleetSettings, now_s: float) -> Ban | None:
    """Return what is published of the claims of one network and strength: the one that ends last; None: nothing."""
    shared = [claim for claim in claims if claim.until_s > now_s and is_shared(claim, settings)]
    return max(shared, key=lambda claim: claim.until_s, default=None)


def _cut(text: str, most_bytes: int) -> str:
    """Return the start of a text: with it the longest record is no longer than allowed."""
    return printable(text).encode()[:most_bytes].decode(errors="ignore")


def record_of(claim: Ban, sequence: int, offset_s: float) -> tuple[bytes, BanRecord]:
    """Return field and record of a claim; `offset_s` is how far the engine's clock is ahead."""
    record = BanRecord(
        VERSION,
        sequence,
        show_network(claim.network),
        SETS[claim.strength],
        max(0.0, claim.since_s + offset_s),
        max(0.0, claim.until_s + offset_s),
        _cut(claim.detector, _MAX_DETECTOR),
        _cut(claim.reason, MAX_REASON),
    )
    return field_of(claim.network, claim.strength), record
