"""Puts bans into the sets of the table `inet nodewarden`.

The table and its elements are written with our own netlink messages, which read nothing: their cost does not depend on
the rules and sets of other programs, and what those contain cannot harm us. Calls are synchronous and wait only for the
kernel. One instance belongs to one thread; only `elements` may be called from another.
"""

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS
from monitor.enforcers.netlink_socket import NetlinkSocket, TooMuchAtOnce
from monitor.enforcers.nftables import batch as bulk
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.commit import (
    ENCODERS,
    Item,
    Refused,
    TableMissing,
    adding,
    commit,
    deleting,
    demand_table,
    failure,
    refreshing,
    running,
)
from monitor.enforcers.nftables.definition import allowed
from monitor.enforcers.nftables.frame import TableFrame
from monitor.enforcers.nftables.port_bans import PortBans
from monitor.enforcers.nftables.prefix_bans import PrefixBans
from monitor.enforcers.nftables.ruleset import TABLE, Element, set_name
from monitor.enforcers.nftables.setup import remove_table
from monitor.enforcers.nftables.witness import Witness, WitnessedSocket
from monitor.enforcers.protocol import Failure, ForeignElement, Stopped, Stored
from monitor.model.addresses import Address, Network, collapse
from monitor.model.alerts import Strength
from monitor.model.bans import Action, Ban
from monitor.model.errors import TemporaryError

__all__ = ["NftablesEnforcer", "TableMissing"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_PORTS = 16
"""How many of our ports are remembered: notifications of changes from a closed socket may still be on their way."""


class NftablesEnforcer:
    """The table `inet nodewarden` of one network namespace, in which all calls must be made.

    Every call raises PermanentError if CAP_NET_ADMIN or nf_tables is missing, and TemporaryError for other errors.
    """

    def __init__(self, *, max_bans: int, action: Action = Action.DROP) -> None:
        """`max_bans` limits each of the six sets of single addresses; opens nothing yet."""
        self.frame = TableFrame(max_bans, action)
        """What the table is besides its bans."""
        self._opened: NetlinkSocket | None = None
        self._prefixes = PrefixBans()
        self._port_bans = PortBans()
        self._clock: tuple[float, float] | None = None
        self._ports: deque[int] = deque(maxlen=_PORTS)
        self._witness = Witness()

    def setup(self, allowlist: Sequence[Network]) -> None:
        """Create the table, or complete an existing one, in one transaction; bans that are in force stay.

        A table with another definition (an older schema, another `max_bans`) is replaced; its bans, their remaining
        times and all counters are kept. If `max_bans` was reduced, the bans that expire first are dropped. So is one in
        which other programs left chains, sets or objects, or what completing does not correct.
        """
        self._prefixes.forget()
        self.frame.set_up(self._socket(), collapse(list(allowlist)))

    def differences(self) -> list[str]:
        """Say how the table is defined otherwise than after the last `setup`; empty if it is not.

        May be called from another thread. TemporaryError if others change nf_tables all the time meanwhile.
        """
        return self.frame.differences()

    def set_allowlist(self, networks: Sequence[Network]) -> None:
        """Replace both allow sets in one transaction; networks may overlap. TableMissing if there is no table."""
        disjoint = collapse(list(networks))
        requests = [step.request for step in allowed(disjoint)]
        try:
            failed = self._socket().transact(requests)
        except TooMuchAtOnce:
            raise TemporaryError(
                f"{len(disjoint)} networks are too many for one transaction; the previous allowlist stays in force"
            ) from None
        if errno.ENOENT in failed.values():
            raise TableMissing(f"table inet {TABLE} or one of its allow sets is missing")
        if failed:
            code = next(iter(failed.values()))
            raise TemporaryError(f"the allowlist was not replaced: {os.strerror(code)}")

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Put bans in force until `until_s`; `now_s` is wall time in seconds; expired bans are skipped.

        An address that is already banned keeps its timeout on kernels before 6.12 and gets the new one on later
        kernels: use `refresh` for it. Prefixes may overlap: each address is banned until the latest expiry of all
        prefixes that contain it. Returns the bans that the kernel refused; the others are in force. Raises
        TableMissing if there is no table: then some of the bans may have been added.
        """
        hosts, prefixes, of_ports = running(bans, now_s)
        if len(hosts) >= bulk.WORTHWHILE:
            hosts = bulk.add_hosts(self._socket(), hosts, now_s)
        failures = self._commit_hosts([adding(ban, now_s) for ban in hosts])
        return failures + self._put_prefixes(prefixes, now_s) + self._put_port_bans(of_ports, now_s)

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Give active bans a new expiry (or add them) without interrupting them.

        The new expiry replaces the old one even if it is earlier: pass max(old, new) to never shorten a ban. Packet
        and byte counters continue, except where a prefix is split differently. Returns and raises as `add` does.
        """
        hosts, prefixes, of_ports = running(bans, now_s)
        counts = {
            strength: listing.read_counts(
                self._socket(), [b.network for b in hosts if b.strength is strength], strength
            )
            for strength in {ban.strength for ban in hosts}
        }
        items = [refreshing(ban, now_s, counts[ban.strength].get(ban.network, (0, 0))) for ban in hosts]
        failures = self._commit_hosts(items) + self._put_prefixes(prefixes, now_s)
        return failures + self._put_port_bans(of_ports, now_s)

    def remove(self, networks: Sequence[tuple[Network, Strength]]) -> None:
        """Lift bans; a missing ban or table is not an error. Other bans that overlap stay complete."""
        items = []
        prefixes: dict[Strength, dict[Network, float | None]] = {}
        if of_ports := [place for place in networks if place[0].ports]:
            self._port_bans.remove(self._socket(), of_ports, self._now())
        for network, strength in (place for place in networks if not place[0].ports):
            if not network.is_host:
                prefixes.setdefault(strength, {})[network] = None
                continue
            encoder = ENCODERS[set_name(network, strength)]
            element = netlink.encode_element(network, interval=False)
            items.append(Item(network, strength, (encoder.request(DEL_ELEMENTS, element),)))
        for item, code in commit(self._socket(), items):
            if code != errno.ENOENT:
                raise TemporaryError(f"the ban of {item.network} was not lifted: {os.strerror(code)}")
        try:
            for strength, wanted in prefixes.items():
                for failed in self._prefixes.change(self._socket(), strength, wanted, self._now()):
                    raise TemporaryError(f"the ban of {failed.network} was not lifted: {failed.reason}")
        except TableMissing:
            self._prefixes.forget()

    def delete(self, elements: Iterable[ForeignElement], now_s: float) -> None:
        """Delete elements that other programs added, as they are in the kernel; one that is gone is not an error."""
        for item, code in commit(self._socket(), [deleting(one) for one in elements]):
            if code != errno.ENOENT:
                raise TemporaryError(f"the element {item.network} was not deleted: {os.strerror(code)}")
        self.reread_prefixes(now_s)

    def empty(self, name: str, now_s: float) -> None:
        """Delete all elements of a set."""
        if code := self._socket().transact([ENCODERS[name].request(DEL_ELEMENTS, b"")]).get(0, 0):
            raise TemporaryError(f"set {name} was not emptied: {os.strerror(code)}")
        self.reread_prefixes(now_s)

    def reread_prefixes(self, now_s: float) -> None:
        """Read the sets of prefixes again, after others changed them: `add` and `refresh` send only what differs."""
        self._needing_table(lambda: self._prefixes.reread(now_s))

    def elements(self) -> list[Element]:
        """Read all bans in force; overlapping prefixes appear as disjoint pieces.

        Takes time proportional to their number; may be called from another thread. TableMissing if there is no table.
        """
        return self._needing_table(listing.read_elements)

    def ends(self, stored: Stored = MappingProxyType({})) -> Iterator[tuple[Network, Strength, float | None]]:
        """Read the networks with their strength and remaining seconds (None: no timeout), faster than `elements`.

        A large set of addresses is left out if nearly all of it is `stored` (`sizes.is_known`). A table of an older
        schema is read too, before `setup` replaces it. TableMissing if there is no table.
        """
        try:
            yield from listing.read_ends(self._socket(), stored)
        except FileNotFoundError as error:
            raise TableMissing(f"table inet {TABLE} is missing") from error

    def lookup(self, network: Network, strength: Strength) -> Element | None:
        """Read one ban without a listing; None if exactly this network is not banned with this strength.

        For a prefix that overlaps others: the sum over its pieces, or the counters of the wider piece that covers it,
        and the shortest of their remaining times.
        """
        if network.ports:
            return self._port_bans.lookup(self._socket(), network, strength)
        found = listing.lookup(self._socket(), network, strength)
        if found is not None or network.is_host:
            return found
        return self._prefixes.lookup(self._socket(), network, strength)

    def lookup_many(self, networks: Sequence[Network], strength: Strength) -> dict[Network, float | None]:
        """Return the remaining seconds (None: no timeout) of those single addresses that are in their set."""
        found = self._needing_table(lambda: listing.lookup_many(self._socket(), networks, strength))
        return {element.network: element.timeout_s for element in found}

    def interval_at(self, address: Address, strength: Strength) -> Address | None:
        """Return the first address of the interval around an address in a set of prefixes; None without one."""
        return self._needing_table(lambda: listing.interval_at(self._socket(), address, strength))

    def counters(self) -> Mapping[str, Stopped]:
        """Read what the rules of each set have dropped, by set name; TableMissing if there is no table."""
        return self._needing_table(lambda: listing.read_counters(self._socket()))

    def leaks(self) -> Mapping[str, Stopped]:
        """Read how much banned traffic still got through, by hook: `input` and `forward`.

        Packets in transit when a ban starts are counted too. TableMissing if there is no table.
        """
        return self._needing_table(lambda: listing.read_leaks(self._socket()))

    def leaked(self, address: Address) -> tuple[str, ...]:
        """Return the hooks (`input`, `forward`) that a packet of this address reached within the last ten minutes
        although it was banned; empty without a table. Each hook remembers 1,024 addresses per family.
        """
        return tuple(listing.leaked(self._socket(), address))

    @property
    def ports(self) -> Collection[int]:
        """The netlink ports from which this instance changes the table; `DriftWatch` ignores their changes."""
        return self._ports

    def others_changed(self) -> bool:
        """Whether others changed nf_tables, or may have, since the first call of all; later answers are no.

        Call it when notifications are listened to: they tell what comes after.
        """
        return self._witness.is_watching and self._witness.end(self._socket())

    def exists(self) -> bool:
        """Whether the table exists, whatever its content."""
        return listing.exists(self._socket())

    def flush(self) -> None:
        """Delete the table with every ban; a missing table is not an error."""
        self._prefixes.forget()
        self._port_bans.forget()
        remove_table(self._socket(), TABLE)

    def close(self) -> None:
        """Close the socket; table and bans stay in force. The next call reopens it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _socket(self) -> NetlinkSocket:
        if self._opened is None:
            self._opened = WitnessedSocket(self._witness)
            self._ports.append(self._opened.port)
        return self._opened

    def _commit_hosts(self, items: list[Item]) -> list[Failure]:
        if not items:
            return []
        refused = commit(self._socket(), items, self._demand_table)
        return [failure(item.network, item.strength, code) for item, code in refused]

    def _put_port_bans(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        self._clock = (now_s, time.monotonic())
        return self._port_bans.put(self._socket(), bans, now_s) if bans else []

    def _put_prefixes(self, bans: Iterable[Ban], now_s: float) -> list[Failure]:
        self._clock = (now_s, time.monotonic())
        wanted: dict[Strength, dict[Network, float | None]] = {}
        for ban in bans:
            wanted.setdefault(ban.strength, {})[ban.network] = ban.until_s
        try:
            parts = [self._prefixes.change(self._socket(), strength, part, now_s) for strength, part in wanted.items()]
        except TableMissing:
            self._prefixes.forget()
            raise
        return [failed for part in parts for failed in part]

    def _now(self) -> float:
        """Return the wall time on the clock of the caller of `add` and `refresh`."""
        if self._clock is None:
            return time.time()
        now_s, read_at_s = self._clock
        return now_s + time.monotonic() - read_at_s

    def _demand_table(self, refused: Refused) -> None:
        demand_table(self._socket(), refused)

    def _needing_table(self, read: Callable[[], _T]) -> _T:
        try:
            return read()
        except FileNotFoundError as error:
            raise TableMissing(f"table inet {TABLE} is missing") from error
