"""The list of enforcers: all other parts of the daemon know only their protocol."""

from collections.abc import Sequence
from typing import NamedTuple

from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.keeper import TableKeeper
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import InForce
from monitor.enforcers.xdp import XdpEnforcer
from monitor.model.addresses import Network


class Enforcers(NamedTuple):
    """All enforcers of a daemon, for the parts that need one of them in particular."""

    table: NftablesTable
    keeper: TableKeeper
    xdp: XdpEnforcer

    def combined(self) -> Enforcement:
        """Return them as the pipeline uses them: nftables leads, the others follow."""
        return Enforcement(self.table, self.xdp)


def make_enforcers(max_bans: int, in_force: InForce, allowlist: Sequence[Network]) -> Enforcers:
    """Make all enforcers; nothing is created in the kernel before the first enforced ban."""
    enforcer = NftablesEnforcer(max_bans=max_bans)
    table = NftablesTable(enforcer, in_force, allowlist)
    return Enforcers(table, TableKeeper(table, enforcer, in_force), XdpEnforcer(in_force, allowlist))


def remove_table() -> bool:
    """Delete the table with all its bans, without a daemon; return whether there was one."""
    enforcer = NftablesEnforcer(max_bans=1)
    existed = enforcer.exists()
    enforcer.flush()
    enforcer.close()
    return existed
