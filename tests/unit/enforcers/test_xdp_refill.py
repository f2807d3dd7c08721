"""Bans that XDP could not take for a moment; the program is a double, since memory does not run out on demand."""

from typing import cast

from monitor.bans.ledger import Ledger
from monitor.ebpf.xdp import XdpProgram
from monitor.enforcers.xdp import XdpEnforcer
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode
from monitor.model.errors import TemporaryError

_END_S = 4e9


class _Program:
    """Holds bans, unless it `is_full`."""

    def __init__(self) -> None:
        self.is_full = True
        self.held: dict[Network, float] = {}

    def put(self, bans: list[tuple[Network, float]], _: float) -> None:
        """Take bans."""
        if self.is_full:
            raise TemporaryError("map xdp_ban4: Cannot allocate memory")
        self.held.update(bans)

    def remove(self, network: Network) -> None:
        """Lift a ban."""
        self.held.pop(network, None)


def _ban(text: str) -> Ban:
    return Ban(parse_network(text), Strength.PROVEN, 0.0, _END_S, "sshd", "5 failures", Mode.ENFORCE)


def test_what_did_not_fit_is_added_later_and_counted_once() -> None:
    """Those still in force, with no other copied again; one that was lifted meanwhile does not come back."""
    ledger, program = Ledger(max_bans=10), _Program()
    bans = [_ban(f"192.0.2.{number}") for number in range(3)]
    for ban in bans:
        ledger.put(ban)
    enforcer = XdpEnforcer(ledger, [])
    enforcer._program = cast("XdpProgram", program)
    enforcer.add(bans, 1.0)
    enforcer.refill()
    assert (enforcer.missing, enforcer.missing_total, program.held) == (3, 3, {})
    ledger.remove(bans[2].network, Strength.PROVEN)
    enforcer.remove([bans[2]], 2.0)
    program.is_full = False
    enforcer.refill()
    assert (enforcer.missing, enforcer.missing_total) == (0, 3)
    assert program.held == {ban.network: _END_S for ban in bans[:2]}
    program.held.clear()
    enforcer.refill()
    assert program.held == {}
