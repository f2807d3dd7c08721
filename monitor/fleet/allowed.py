"""The fleet's allowlist, as its administrator wrote it. Pure.

Losing it must not have nodes ban what it protects, and the server may lose everything at any time. So the list carries
an id: while that is the same, the list is the truth, deletions included. Without one, the server has lost the list, and
what is known of it stays. With another one it was made anew: what only the former had stays for a week.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from monitor.fleet.records import MAX_REASON
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import AllowEntry
from monitor.model.printable import printable
from monitor.model.saved_rows import SavedRow

LIST_ID = b"list"
"""The field of the list's id; all others are networks."""
MAX_ENTRIES = 1024
SHORTEST_PREFIX = {32: 8, 128: 19}
"""By bits of an address: nothing wider than this is taken from a server."""
_KEPT_S = 7 * 86400.0
_MAX_ID = 64
_MAX_TEXT = 64


class FleetAllowlist:
    """The entries in force, at most MAX_ENTRIES."""

    def __init__(self) -> None:
        """Start empty."""
        self._id = b""
        self._entries: dict[Network, str] = {}
        self._former: dict[Network, tuple[str, float]] = {}
        """Entries of a former list, until when they are kept."""
        self.is_lost = False
        """Whether the server has no list although there was one."""
        self.refused = 0
        """Entries of the last list that are none, too wide, or beyond the bound."""

    @property
    def entries(self) -> list[AllowEntry]:
        """What is allowed, with the administrator's reason."""
        known = {**{network: reason for network, (reason, _) in self._former.items()}, **self._entries}
        return [AllowEntry(network, f"fleet: {reason}") for network, reason in list(known.items())[:MAX_ENTRIES]]

    @property
    def former(self) -> int:
        """How many entries are only of a former list."""
        return len(self._former)

    def follow(self, listed: Mapping[bytes, bytes], now_s: float) -> None:
        """Take the list as the server has it."""
        list_id = listed.get(LIST_ID, b"")[:_MAX_ID]
        new = self._read(listed)
        if not list_id:
            self.is_lost = bool(self._id)
            self._entries = dict(islice({**self._entries, **new}.items(), MAX_ENTRIES))
            return
        if self._id and list_id != self._id:
            former = {network: (reason, now_s + _KEPT_S) for network, reason in self._entries.items()}
            self._former = dict(islice({**self._former, **former}.items(), MAX_ENTRIES))
        self._id, self._entries, self.is_lost = list_id, new, False
        for network in new:
            self._former.pop(network, None)

    def tick(self, now_s: float) -> None:
        """Drop entries of former lists after their time."""
        for network in [one for one, (_, until_s) in self._former.items() if until_s <= now_s]:
            del self._former[network]

    def _read(self, listed: Mapping[bytes, bytes]) -> dict[Network, str]:
        self.refused = 0
        found: dict[Network, str] = {}
        for name, reason in listed.items():
            if name == LIST_ID:
                continue
            network = _network(name)
            if network is None or len(found) >= MAX_ENTRIES:
                self.refused += 1
            else:
                found[network] = printable(reason[: 4 * MAX_REASON].decode(errors="replace"))[:MAX_REASON]
        return found

    def problems(self) -> list[str]:
        """Say what is wrong."""
        found = []
        if self.is_lost:
            text = f"the server has lost the fleet's allowlist: its {len(self._entries)} entries stay in force here"
            found.append(f"{text}; add them again (`nodewarden allow add --fleet`)")
        if self.refused:
            found.append(
                f"{self.refused} entries of the fleet's allowlist are not in force: they are no networks, wider than "
                f"/8 (IPv6 /19), or beyond the first {MAX_ENTRIES}"
            )
        return found

    def notices(self) -> list[str]:
        """Say what people should know."""
        if not self._former:
            return []
        text = f"the fleet's allowlist was made anew: {len(self._former)} entries of the former one stay for a week"
        return [f"{text}; add those that are still wanted (`nodewarden allow list`)"]

    def export(self, limit: int) -> list[SavedRow]:
        """Return the list, at most `limit` entries; see `SavedWindow`."""
        rows = [(LIST_ID, self._id, 0.0)] if self._id else []
        rows += [(str(network).encode(), reason.encode(), 0.0) for network, reason in self._entries.items()]
        rows += [(str(network).encode(), reason.encode(), end_s) for network, (reason, end_s) in self._former.items()]
        return rows[:limit]

    def resume(self, rows: Iterable[SavedRow], now_s: float) -> None:
        """Know the list of an earlier run; what cannot be read is left out."""
        for name, reason, until_s in rows:
            if name == LIST_ID:
                self._id = reason
            elif (network := _network(name)) is not None and len(self._entries) + len(self._former) < MAX_ENTRIES:
                text = reason.decode(errors="replace")
                if not until_s:
                    self._entries[network] = text
                elif until_s > now_s:
                    self._former[network] = text, until_s


def _network(name: bytes) -> Network | None:
    """Return an entry's network; None if it is none, or too wide."""
    if len(name) > _MAX_TEXT:
        return None
    try:
        network = parse_network(name.decode("ascii"))
    except ValueError:
        return None
    return network if network.prefix_length >= SHORTEST_PREFIX[network.bits] else None
