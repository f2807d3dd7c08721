"""Makes histories of bans."""

from monitor.daemon.tuning.ban_history import BanHistory, BudgetUse, Span
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength


def ban(
    network: str,
    since_s: float,
    length_s: float = 600.0,
    *,
    strength: Strength = Strength.PROVEN,
    detector: str = "sshd",
    is_observed: bool = False,
) -> Span:
    """Return a ban; times in seconds."""
    return Span(parse_network(network), strength, is_observed, since_s, since_s + length_s, detector, "5 failures")


def history(*spans: Span, omitted: int = 0) -> BanHistory:
    """Return what one configuration did."""
    return BanHistory(list(spans), omitted, BudgetUse(60, 0, 0), {}, {})
