"""Requests of the control protocol that are about the fleet."""

import msgspec

MAX_FLEET_PAGE = 500
MAX_PARDONED = 1000
DEFAULT_PARDON_S = 86400.0


class FleetStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fleet"):
    """Request the fleet as this node sees it, with one page of its nodes by name.

    The result has `fleet` (null: this node is in none), `nodes` and `after`, which is empty after the last page and
    otherwise the `after` of the request for the next one.
    """

    after: str = ""
    nodes: list[str] = []
    """Only these; none: all."""
    limit: int = MAX_FLEET_PAGE


class FleetPardon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fleet-pardon"):
    """Have all nodes of the fleet let networks go, and adopt no ban of them for a time; the reply answers for each."""

    networks: list[str]
    for_s: float = DEFAULT_PARDON_S
    reason: str = ""


class FleetTrust(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fleet-trust"):
    """Enforce what a peer bans again after its breaker tripped."""

    node: str
