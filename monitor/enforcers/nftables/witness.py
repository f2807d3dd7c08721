"""Notices that other programs changed nf_tables while nobody listens to notifications: as long as a start takes.

A start writes all bans, and notifications of hundreds of thousands of elements would overrun any buffer. But the kernel
numbers its transactions (`kernel_generation`): before and after each of ours, the number says whether somebody else
made one in between. What they changed it does not say, so everything is compared then.
"""

from collections.abc import Sequence

from monitor.enforcers.netlink import NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.kernel_generation import read_generation

_NUMBERS = 1 << 32


class Witness:
    """Follows the number from the first look to `end`. It belongs to one thread at a time."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.is_watching = True
        self._known: int | None = None
        self._has_begun = False
        self._has_others = False

    def look(self, link: NetlinkSocket, ours: int = 0) -> None:
        """Read the number. Since the last look it may have grown by `ours`: more, or no answer, means others."""
        number = read_generation(link)
        if self._has_begun and (
            number is None or self._known is None or (number - self._known) % _NUMBERS not in range(ours + 1)
        ):
            self._has_others = True
        self._has_begun = True
        self._known = number

    def end(self, link: NetlinkSocket) -> bool:
        """Return whether others changed anything, or may have, since the first look; once, then look no more."""
        if not self.is_watching:
            return False
        self.look(link)
        self.is_watching = False
        return self._has_others


class WitnessedSocket(NetlinkSocket):
    """A socket for our transactions, which a witness follows while it is watching."""

    def __init__(self, witness: Witness) -> None:
        """Open it, and look for the first time."""
        super().__init__()
        self._witness = witness
        if witness.is_watching:
            witness.look(self)

    def transact(self, requests: Sequence[NetlinkRequest]) -> dict[int, int]:
        """Execute all requests as one transaction, or none, as every `NetlinkSocket` does."""
        if not self._witness.is_watching:
            return super().transact(requests)
        self._witness.look(self)
        ours = 0  # after an error as well: whether it was executed is unknown, and what others did would pass for it
        try:
            failed = super().transact(requests)
            ours = 0 if failed else 1
        finally:
            self._witness.look(self, ours)
        return failed
