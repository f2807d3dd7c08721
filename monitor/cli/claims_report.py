"""What `why` says of claims: who else holds a ban, and whether the fleet lets it go."""

from typing import Any

from monitor.cli import show
from monitor.cli.origin import origin

_MAX_CLAIMS = 10


def explain_claims(ban: dict[str, Any]) -> None:
    """Name who else claims a ban: it ends with the last of them."""
    named = ban["origin"], ban["detector"]
    others = [one for one in ban.get("claims", []) if (one["origin"], one["detector"]) != named]
    for claim in others[:_MAX_CLAIMS]:
        mode = "" if claim["mode"] == ban["mode"] else ", only observed"
        reason = f": {claim['reason']}" if claim["reason"] else ""
        show.say(f"  also by {origin(claim)}, for another {show.duration(claim['left_s'])}{mode}{reason}")
    if len(others) > _MAX_CLAIMS:
        show.say(f"  and by {len(others) - _MAX_CLAIMS} more: see --json")


def explain_pardon(pardon: dict[str, Any] | None) -> None:
    """Say that the fleet lets it go, and for how long."""
    if pardon:
        reason = f", {pardon['reason']}" if pardon["reason"] else ""
        left = show.duration(pardon["left_s"])
        show.say(f"  pardoned in the fleet for another {left}{reason}; until then no node takes a ban of it over")
