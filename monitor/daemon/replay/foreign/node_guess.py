"""Which addresses are the node's in a file that does not say so: given by the operator, or guessed, and said."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from monitor.model.addresses import Address, Network, format_address, host
from monitor.model.bans import AllowEntry
from monitor.model.flows import Flow, FlowOpened
from monitor.model.networks import NodeNetworks
from monitor.node.addresses import OWN_ADDRESS

_MAX_KNOWN = 4096
_MAX_NOTED = 64
"""A node hardly has more addresses; a capture that seems to show more is a router's."""
_SHARE = 0.5


class NodeGuess:
    """Collects what speaks for an address; bounded."""

    def __init__(self, given: Sequence[Network] = ()) -> None:
        """`given` are the node's addresses, and networks behind it; nothing is guessed then."""
        self._given = tuple(given)
        self._called: Counter[Address] = Counter()
        self._noted: set[Address] = set()

    def note(self, address: Address) -> None:
        """Note an address that a capture marks as the node's."""
        if len(self._noted) <= _MAX_NOTED and not _is_group(address):
            self._noted.add(address)

    def watch(self, flows: Iterable[Flow]) -> Iterator[Flow]:
        """Yield flows, and note which address connections were opened to."""
        called = self._called
        for flow in flows:
            if type(flow) is FlowOpened and (flow.destination in called or len(called) < _MAX_KNOWN):
                called[flow.destination] += 1
            yield flow

    def addresses(self) -> list[Address]:
        """Return the node's addresses: as given, as marked, or the one of each family that most connections go to."""
        if self._given:
            return [one.address for one in self._given if one.is_host]
        if 0 < len(self._noted) <= _MAX_NOTED:
            return sorted(self._noted)
        found = []
        for size in (4, 16):
            called = Counter({one: count for one, count in self._called.items() if len(one) == size})
            busiest = called.most_common(1)
            if busiest and busiest[0][1] >= _SHARE * called.total() and not _is_group(busiest[0][0]):
                found.append(busiest[0][0])
        return found

    @property
    def entries(self) -> list[AllowEntry]:
        """The node's addresses as the daemon has them."""
        return [AllowEntry(host(one), OWN_ADDRESS) for one in self.addresses()]

    @property
    def networks(self) -> NodeNetworks:
        """The networks that were given: what is behind the node."""
        return NodeNetworks(behind=tuple(one for one in self._given if not one.is_host))

    def describe(self) -> str:
        """Say what was guessed, in a sentence; empty if nothing had to be."""
        if self._given or not (self._called or self._noted):
            return ""
        if found := self.addresses():
            shown = ", ".join(map(format_address, found[:4])) + (" and others" if len(found) > 4 else "")
            return f"taken for the node: {shown}; name another with --node"
        return (
            "which address is the node's cannot be told: name it with --node, since attempts of its own count as well"
        )


def _is_group(address: Address) -> bool:
    """Whether it is multicast or broadcast."""
    return address[0] == 0xFF or (len(address) == 4 and address[0] >= 0xE0)
