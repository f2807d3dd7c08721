"""What makes a source no stranger: operators look at these before they let a detector enforce."""

from monitor.bans.guard import Guard
from monitor.daemon.pipeline.evidence import INTERNAL_DOUBT
from monitor.model.addresses import Network
from monitor.model.alerts import Alert
from monitor.model.bans import Standing
from monitor.model.networks import Surrounding


def standing(network: Network, guard: Guard, surrounding: Surrounding, alert: Alert | None = None) -> Standing | None:
    """Return what a network is besides a source of alerts; None: a stranger.

    Every attacker who guesses passwords completes handshakes. So a source counts as a client only by the `alert`: its
    evidence proves nothing, and the source was a client before.
    """
    if guard.protects(network):
        return Standing.ALLOWLISTED
    if network.address in surrounding.internal:
        return Standing.INTERNAL
    if alert is None:
        return None
    is_client = alert.doubt not in ("", INTERNAL_DOUBT) or alert.longest_s != float("inf")
    return Standing.CLIENT if is_client else None
