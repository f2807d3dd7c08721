"""Bans of some ports only: an element for each port of a ban, in hash sets keyed by prefix, protocol and port.

A prefix is an element like an address, in the set of its length, whose rule looks up that many bits of the source. So
bans that overlap share nothing and need not be split; only two bans of one network and port share an element, which
ends with the later of them. What each ban holds is known here, since the kernel's element does not say.
"""

import errno
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS, GET_ELEMENTS, NEW_ELEMENTS
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.commit import ENCODERS, Item, Refused, commit, demand_table, failure, milliseconds
from monitor.enforcers.nftables.ruleset import Element, port_set_name
from monitor.enforcers.protocol import Failure, FailureCause
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ban_key
from monitor.model.errors import TemporaryError
from monitor.model.ports import unpack

PortKey: TypeAlias = tuple[str, bytes]
"""The name of a set, and the key of an element in it."""
_PRUNE_EACH = 4096
_QUESTIONS = 256


def keys_of(network: Network, strength: Strength) -> list[PortKey]:
    """Return the elements of a ban of some ports; none if prefixes of its length cannot be banned by port."""
    name = port_set_name(network, strength)
    if name is None:
        return []
    return [
        (name, network.address + bytes((protocol, 0, 0, 0)) + port.to_bytes(2) + bytes(2))
        for protocol, port in unpack(network.ports)
    ]


class PortBans:
    """What is held for which ban: by element, the ends of the bans that want it."""

    def __init__(self) -> None:
        """Know of none."""
        self._held: dict[PortKey, dict[bytes, float]] = {}
        self._prune_at = _PRUNE_EACH

    def forget(self) -> None:
        """Know of none any more: the table was deleted."""
        self._held.clear()

    def put(self, link: NetlinkSocket, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Put bans into force until their end, also an earlier one than before; return those that were refused."""
        failures = [_impossible(ban) for ban in bans if not keys_of(ban.network, ban.strength)]
        known = [key for ban in bans for key in keys_of(ban.network, ban.strength) if key in self._held]
        counts = _read_counts(link, known)
        items = []
        for ban in bans:
            if keys := keys_of(ban.network, ban.strength):
                for key in keys:
                    self._held.setdefault(key, {})[ban.key] = ban.until_s
                requests = [
                    request
                    for key in keys
                    for request in _written(key, max(self._held[key].values()) - now_s, counts.get(key, (0, 0)))
                ]
                items.append(Item(ban.network, ban.strength, tuple(requests)))
        for item, code in commit(link, items, lambda refused: self._demand_table(link, refused)):
            self._drop(ban_key(item.network, item.strength), keys_of(item.network, item.strength))
            failures.append(failure(item.network, item.strength, code))
        self._prune(now_s)
        return failures

    def remove(self, link: NetlinkSocket, places: Iterable[tuple[Network, Strength]], now_s: float) -> None:
        """Lift bans; what another ban wants as well stays as long as that. A missing element is not an error."""
        items = []
        for network, strength in places:
            keys = keys_of(network, strength)
            self._drop(ban_key(network, strength), keys)
            requests = []
            for key in keys:
                until_s = max(self._held.get(key, {}).values(), default=0.0)
                requests += list(_written(key, until_s - now_s, (0, 0)))[: None if until_s > now_s else 2]
            items.append(Item(network, strength, tuple(requests)))
        for item, code in commit(link, items):
            if code != errno.ENOENT:
                raise TemporaryError(f"the ban of {item.network} was not lifted: {errno.errorcode.get(code, code)}")

    def lookup(self, link: NetlinkSocket, network: Network, strength: Strength) -> Element | None:
        """Read what a ban has dropped and how long it lasts; None unless all of its elements are there."""
        keys = keys_of(network, strength)
        found = _read(link, keys)
        if not keys or len(found) < len(keys):
            return None
        left_ms = [one.remaining_ms for one in found.values() if one.remaining_ms is not None]
        packets, octets = (sum(getattr(one, name) for one in found.values()) for name in ("packets", "bytes"))
        return Element(network, strength, min(left_ms) / 1000 if left_ms else None, packets, octets)

    def _drop(self, ban: bytes, keys: Iterable[PortKey]) -> None:
        for key in keys:
            self._held.get(key, {}).pop(ban, None)
            if not self._held.get(key, True):
                del self._held[key]

    def _prune(self, now_s: float) -> None:
        """Forget bans that have ended in the kernel by themselves."""
        if len(self._held) < self._prune_at:
            return
        for key, ends in list(self._held.items()):
            for ban in [ban for ban, until_s in ends.items() if until_s <= now_s]:
                self._drop(ban, [key])
        self._prune_at = 2 * len(self._held) + _PRUNE_EACH

    def _demand_table(self, link: NetlinkSocket, refused: Refused) -> None:
        demand_table(link, refused)


def _impossible(ban: Ban) -> Failure:
    reason = f"prefixes of length {ban.network.prefix_length} cannot be banned by port"
    return Failure(ban.network, ban.strength, FailureCause.OTHER, reason)


def _written(key: PortKey, left_s: float, count: tuple[int, int]) -> Iterator[netlink.NetlinkRequest]:
    """Yield what adds an element, deletes it, and adds it with this time: kernels before 6.12 change no timeout.

    The first makes the second succeed; without the third it is gone.
    """
    name, data = key
    add = netlink.encode_key(data, timeout_ms=milliseconds(left_s), count=count)
    yield ENCODERS[name].request(NEW_ELEMENTS, add)
    yield ENCODERS[name].request(DEL_ELEMENTS, netlink.encode_key(data))
    yield ENCODERS[name].request(NEW_ELEMENTS, add)


def _read_counts(link: NetlinkSocket, keys: Sequence[PortKey]) -> dict[PortKey, tuple[int, int]]:
    return {key: (one.packets, one.bytes) for key, one in _read(link, keys).items() if one.packets}


def _read(link: NetlinkSocket, keys: Sequence[PortKey]) -> dict[PortKey, netlink.RawElement]:
    """Read elements; those that are missing are left out."""
    found = {}
    for start in range(0, len(keys), _QUESTIONS):
        part = keys[start : start + _QUESTIONS]
        answers = link.query([ENCODERS[name].request(GET_ELEMENTS, netlink.encode_key(data)) for name, data in part])
        for key, answer in zip(part, answers, strict=True):
            if not isinstance(answer, int):
                for one in netlink.decode_elements(answer.body):
                    if one.key == key[1]:
                        found[key] = one
    return found
