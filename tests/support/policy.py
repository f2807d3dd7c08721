"""Settles the proposals of a policy, and creates enforcers for a pipeline."""

from collections.abc import Sequence

from monitor.bans.decision import Decision
from monitor.bans.draft import Draft
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import Network
from monitor.model.alerts import Alert, Strength
from monitor.model.bans import MANUAL, Ban, ClaimOrigin


def settle_all(policy: Policy, draft: Draft) -> list[Decision]:
    """Settle a draft and its follow-ups, as if the kernel accepted all; return the decisions."""
    decisions: list[Decision] = []
    while draft.decisions:
        settlement = policy.settle(draft, {})
        decisions += settlement.decisions
        draft = policy.draft(draft.now_s)
        for follow_up in settlement.follow_ups:
            policy.follow_up(draft, follow_up)
    return decisions


def decide(policy: Policy, alert: Alert, now_s: float) -> list[Decision]:
    """Decide on one alert; the first decision is on the alert itself."""
    draft = policy.draft(now_s)
    policy.propose(draft, alert)
    return settle_all(policy, draft)


def order(
    policy: Policy,
    network: Network,
    strength: Strength,
    bantime_s: float,
    now_s: float,
    origin: ClaimOrigin = ClaimOrigin.OPERATOR,
    name: str = MANUAL,
) -> Decision:
    """Carry out one order."""
    draft = policy.draft(now_s)
    policy.order(draft, network, strength, bantime_s, "", origin, name)
    (decision,) = settle_all(policy, draft)
    return decision


def small_table(ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
    """Return enforcers that open nothing before the first ban that is enforced."""
    return Enforcement(NftablesTable(NftablesEnforcer(max_bans=16), ledger, allowlist))


class Willing(NftablesTable):
    """A table that takes everything and has no kernel behind it."""

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Take bans."""
        return []

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Take later ends."""
        return []

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """End bans."""

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Take the allowlist."""

    def set_up(self, now_s: float) -> None:
        """Need nothing."""

    def flush(self) -> None:
        """End all bans."""


def willing_table(ledger: Ledger, allowlist: Sequence[Network]) -> Enforcement:
    """Return enforcers that take everything."""
    return Enforcement(Willing(NftablesEnforcer(max_bans=16), ledger, allowlist))
