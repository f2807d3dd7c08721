"""The list of enforcers: all other parts of the daemon know only their protocol."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.keeper import TableKeeper
from monitor.enforcers.nftables.list_table import ListTable
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.owner import Owner
from monitor.enforcers.protocol import InForce
from monitor.enforcers.xdp import XdpEnforcer
from monitor.model.addresses import Network
from monitor.settings.bans import Bans

_HANDOVER_S = 2.0
"""How long a start waits for the daemon before it to end."""
_ASK_EVERY_S = 0.1


class Enforcers(NamedTuple):
    """All enforcers of a daemon, for the parts that need one of them in particular."""

    table: NftablesTable
    keeper: TableKeeper
    xdp: XdpEnforcer

    def combined(self) -> Enforcement:
        """Return them as the pipeline uses them: nftables leads, the others follow."""
        return Enforcement(self.table, self.xdp)


def make_enforcers(bans: Bans, in_force: InForce, allowlist: Sequence[Network]) -> Enforcers:
    """Make all enforcers; they create nothing in the kernel yet."""
    enforcer = NftablesEnforcer(max_bans=bans.max_bans, action=bans.action)
    table = NftablesTable(enforcer, in_force, allowlist)
    return Enforcers(table, TableKeeper(table, enforcer, in_force), XdpEnforcer(in_force, allowlist))


async def take_over(owner: Owner) -> None:
    """Become the owner of the network namespace; AlreadyOwned if another process is, and does not end soon."""
    until_s = time.monotonic() + _HANDOVER_S
    while not owner.try_to_take():
        if time.monotonic() >= until_s:
            return owner.take()
        await asyncio.sleep(_ASK_EVERY_S)
    return None


def remove_table() -> bool:
    """Delete the table with all its bans, and that of block lists, without a daemon; return whether there was one.

    AlreadyOwned if a daemon is there that does not answer here: it would set the table up again.
    """
    with Owner():
        enforcer, lists = NftablesEnforcer(max_bans=1), ListTable()
        existed = enforcer.exists() or lists.exists()
        enforcer.flush()
        lists.flush()
        enforcer.close()
        lists.close()
    return existed
