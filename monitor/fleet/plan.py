"""What a slice of work on the claims of peers asks of the pipeline. Pure."""

import msgspec

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Mode, ban_key
from monitor.recording.inputs import OrderedBan

_EFFORT = 4
"""What anything but a new ban of an address asks of the kernel, about, in new bans of an address."""


class Plan:
    """What a slice of work asks of the pipeline: first the withdrawals, then the orders."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.orders: dict[tuple[str, bytes], OrderedBan] = {}
        self.held: dict[tuple[str, bytes], Mode] = {}
        """How the claims are held that orders replace; of the others nothing is held."""
        self.withdrawals: dict[tuple[str, bytes], tuple[Network, Strength]] = {}
        self.fresh = 0
        """Orders of what the peer did not hold before."""
        self.is_full: bool | None = None
        """Whether there was no room for bans of peers; None: nobody asked."""
        self.effort = 0
        """How many elements of the kernel's sets the orders ask for, about: prefixes and ports cost more."""
        self.known = 0
        """Records of what the peer holds already."""

    def __len__(self) -> int:
        """Return how many changes there are."""
        return len(self.orders) + len(self.withdrawals)

    def order(self, order: OrderedBan, key: bytes, held: Mode | None = None) -> None:
        """Have a claim made for a ban (`ban_key`); `held`: in place of one."""
        self.orders[order.name, key] = order
        self.effort += 1 if order.network.is_host and not order.network.ports else _EFFORT
        if held is not None:
            self.held[order.name, key] = held

    def observe(self, name: str) -> None:
        """Only observe what was planned for a peer: its breaker tripped meanwhile."""
        for key, order in self.orders.items():
            if order.name == name and key not in self.held:
                self.orders[key] = msgspec.structs.replace(order, mode=Mode.OBSERVE)

    def withdraw(self, name: str, network: Network, strength: Strength) -> None:
        """Have a claim ended, also one that this plan was to make."""
        key = name, ban_key(network, strength)
        self.orders.pop(key, None)
        self.held.pop(key, None)
        self.withdrawals[key] = network, strength
        self.effort += _EFFORT
