"""Which bans are limited to ports, by the network that they are of, and how many elements they need in the kernel."""

from collections import Counter

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode, ban_key
from monitor.model.ports import count


class PortIndex:
    """Keys (`ban_key`) of bans of some ports; a ban of all ports costs it nothing."""

    def __init__(self) -> None:
        """Know none."""
        self.elements: Counter[Strength] = Counter()
        """Ports of all bans in force."""
        self._keys: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        """Return how many networks have any."""
        return len(self._keys)

    def add(self, key: bytes, ban: Ban) -> None:
        """Note a ban."""
        if ban.network.ports:
            self._keys.setdefault(ban_key(ban.network.whole, ban.strength), {})[key] = None
            self._count(ban, 1)

    def discard(self, key: bytes, ban: Ban) -> None:
        """Forget a ban."""
        if ban.network.ports:
            whole = ban_key(ban.network.whole, ban.strength)
            del self._keys[whole][key]
            if not self._keys[whole]:
                del self._keys[whole]
            self._count(ban, -1)

    def keys(self, network: Network) -> list[bytes]:
        """Return the keys of the bans of some ports of exactly this network."""
        if not self._keys:
            return []
        return [key for strength in Strength for key in self._keys.get(ban_key(network.whole, strength), ())]

    def _count(self, ban: Ban, sign: int) -> None:
        if ban.mode is Mode.ENFORCE:
            self.elements[ban.strength] += sign * count(ban.network.ports)
