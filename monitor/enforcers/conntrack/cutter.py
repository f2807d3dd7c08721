"""Cuts the established connections of a proven offender: deletes their entries in the kernel's connection table.

The ban itself drops the packets of the offender. Without its entry, no rule accepts the rest of a connection as
"established" any more, and its slot in the table is free. Not for the hot path: each request walks the whole table.
One instance belongs to one thread.
"""

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from monitor.enforcers.conntrack import messages
from monitor.enforcers.conntrack.messages import Direction, Entry
from monitor.enforcers.netlink import NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.addresses import Address, Network
from monitor.model.errors import PermanentError, TemporaryError
from monitor.model.parts import in_parts

_MAX_ENTRIES = 65536
_MAX_TIME_S = 1.0
_FEW = 8
"""Up to this many IPv4 addresses are requested one by one; for more, listing all entries costs less."""
_SMALL_TABLE = 2048
"""Up to this many entries, listing all of them costs less than a request for each direction of an address: either walks
all buckets of the machine, 12 ms for the usual 262,144."""
_DELETES = 256
_NO_FILTER = (errno.EINVAL, errno.EOPNOTSUPP)


class ConntrackCutter:
    """Deletes entries in the network namespace of the first call."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._link: NetlinkSocket | None = None
        self._can_filter = True
        self._small_table = _SMALL_TABLE
        self.is_available = True
        """Whether this kernel has ctnetlink; set by the first `cut`."""
        self.is_incomplete = False
        """Whether the last `cut` stopped early: after 65,536 entries or a second of listing."""

    def cut(self, networks: Sequence[Network]) -> int:
        """Delete the entries whose original source or reply source is in one of the networks; return how many.

        Returns 0 if the kernel has no ctnetlink.
        Raises TemporaryError for any other failure; entries deleted before it stay deleted.
        """
        self.is_incomplete = False
        try:
            entries = self._entries()
            return self._cut(networks, entries) if entries else 0
        except PermanentError as error:
            raise TemporaryError(f"connections were not cut: {_explain(error)}") from error
        except TemporaryError as error:
            raise TemporaryError(f"connections were not cut: {_explain(error)}") from error

    def close(self) -> None:
        """Close the socket; the next call reopens it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _socket(self) -> NetlinkSocket:
        if self._link is None:
            self._link = NetlinkSocket()
        return self._link

    def _entries(self) -> int:
        """Return how many connections there are."""
        (answer,) = self._socket().query([messages.get_statistics()])
        # an unregistered subsystem gives EINVAL (nfnetlink_rcv_msg in net/netfilter/nfnetlink.c)
        self.is_available = answer != errno.EINVAL
        if isinstance(answer, int):
            return 0
        return messages.decode_statistics(answer.body)

    def _cut(self, networks: Sequence[Network], entries: int) -> int:
        deleted = 0
        for size in {len(network.address) for network in networks}:
            wanted = [network for network in networks if len(network.address) == size]
            hosts = {network.address for network in wanted if network.is_host}
            prefixes = [network for network in wanted if not network.is_host]
            is_small = entries <= self._small_table
            if size == 4 and not prefixes and len(hosts) <= _FEW and self._can_filter and not is_small:
                for address in hosts:
                    deleted += self._cut_address(address)
            else:
                deleted += self._cut_listed(size, hosts, prefixes)
        return deleted

    def _cut_address(self, address: Address) -> int:
        """Have the kernel search for one address; list all entries where it cannot."""
        entries: list[Entry] = []
        for direction in Direction:
            try:
                entries += self._list(messages.list_from(address, direction), address.__eq__)
            except (PermanentError, TemporaryError) as error:
                if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _NO_FILTER:
                    raise
                self._can_filter = False
                return self._cut_listed(4, {address}, [])
        return self._delete({entry.identity: entry for entry in entries}.values())

    def _cut_listed(self, size: int, hosts: set[Address], prefixes: Sequence[Network]) -> int:
        """List one family and select the entries here."""

        def is_wanted(address: Address) -> bool:
            return address in hosts or any(network.contains(address) for network in prefixes)

        return self._delete(list(self._list(messages.list_family(size), is_wanted)))

    def _delete(self, entries: Collection[Entry]) -> int:
        parts = in_parts(map(messages.delete_entry, entries), _DELETES)
        return sum(answer == 0 for requests in parts for answer in self._socket().query(requests))

    def _list(self, request: NetlinkRequest, is_wanted: Callable[[Address], bool]) -> Iterable[Entry]:
        """Yield wanted entries up to the end of the listing, the limit on entries or the limit on time."""
        link = NetlinkSocket()  # a listing that is not read to the end leaves its socket unusable
        try:
            until_s = time.monotonic() + _MAX_TIME_S
            count = 0
            for reply in link.dump(request):
                if time.monotonic() > until_s or count >= _MAX_ENTRIES:
                    self.is_incomplete = True
                    return
                if (entry := messages.decode_entry(reply.body, is_wanted)) is not None:
                    count += 1
                    yield entry
        finally:
            link.close()


def _explain(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.EPERM, errno.EACCES):
        return "it needs CAP_NET_ADMIN in this network namespace"
    return os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(error)
