"""What a behaviour is, and what it gets: hosts, the node's address, and addresses of its own."""

import ipaddress
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from tests.support.lab import Host
from tests.zoo.topology import BEHIND4, BLOCKS4, NODE4, NODE6, OPEN, OUTSIDE4, SILENT4, Topology
from tests.zoo.watch import Watch


class Addresses:
    """Hands out every address once, so that a ban names its behaviour."""

    def __init__(self) -> None:
        """Start with all of them."""
        self._lock = threading.Lock()
        blocks = {
            "outside": OUTSIDE4,
            "silent": (SILENT4,),
            "behind": (BEHIND4,),
            **{name: (block,) for name, block in BLOCKS4.items()},
        }
        self._free = {name: self._hosts(networks) for name, networks in blocks.items()}
        self._numbers6 = itertools.count(1)

    @staticmethod
    def _hosts(networks: tuple[str, ...]) -> Iterator[str]:
        return (str(address) for network in networks for address in ipaddress.ip_network(network).hosts())

    def take(self, block: str, count: int) -> list[str]:
        """Return addresses that nobody has; RuntimeError if too few are left."""
        with self._lock:
            found = list(itertools.islice(self._free[block], count))
        if len(found) < count:
            raise RuntimeError(f"the addresses of {block} are used up: add a network in tests/zoo/topology.py")
        return found

    def take6(self, count: int) -> list[str]:
        """Return addresses outside, each in a /48 of its own."""
        with self._lock:
            return [f"2001:db8:{0x8000 + next(self._numbers6):x}::1" for _ in range(count)]


class Visit:
    """One run of a behaviour, against one of the node's addresses."""

    def __init__(self, topology: Topology, target: str, addresses: Addresses, watch: Watch, allowed: str) -> None:
        """`allowed` is the address outside that the operator allowed: that of the security team."""
        self.node: Host = topology.node
        self.world: Host = topology.world
        self.neighbour: Host = topology.neighbour
        self.pods: Host = topology.pods
        self.lan: Host = topology.lan
        self.target, self.address4, self.address6 = target, NODE4[target], NODE6[target]
        self.owned: set[str] = set()
        """Every address that this behaviour took."""
        self.watch, self.allowed = watch, allowed
        self._addresses = addresses

    def outside(self, count: int = 1) -> list[str]:
        """Take public addresses of `world`."""
        return self._take("outside", count)

    def silent(self, count: int = 1) -> list[str]:
        """Take public addresses that do not answer."""
        return self._take("silent", count)

    def inside(self, host: Host, count: int = 1) -> list[str]:
        """Take private addresses of `pods`, `lan` or `neighbour`."""
        return self._take(host.name, count)

    def behind(self, count: int = 1) -> list[str]:
        """Take public addresses of `lan`, for which the node routes."""
        return self._take("behind", count)

    def outside6(self, count: int = 1) -> list[str]:
        """Take public IPv6 addresses of `world`."""
        found = self._addresses.take6(count)
        self.owned.update(found)
        return found

    def own(self, *addresses: str) -> None:
        """Note fixed addresses as this behaviour's: bans of them count for it."""
        self.owned.update(addresses)

    def write_log(self, name: str, *lines: str) -> None:
        """Append lines to the log that the filter of this name reads."""
        with (self.watch.logs / f"{name}.log").open("a") as log:
            log.writelines(f"{line}\n" for line in lines)

    def _take(self, block: str, count: int) -> list[str]:
        found = self._addresses.take(block, count)
        self.owned.update(found)
        return found


Run: TypeAlias = Callable[[Visit], None]


class Behaviour(msgspec.Struct, frozen=True):
    """Something legitimate that happens on networks. `run` raises if it could not do it."""

    name: str
    run: Run
    targets: tuple[str, ...] = (OPEN,)
    """The node's addresses where it makes a difference, the more telling one first; the reduced form runs only that."""
    expects_observed: str = ""
    """Why alerts that are only observed are right; empty if none is."""
    is_reduced: bool = True
    """Whether it is part of the reduced form."""
    is_alone: bool = False
    """Whether it disturbs others: runs after them."""
