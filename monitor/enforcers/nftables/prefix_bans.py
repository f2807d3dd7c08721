"""Updates the interval sets to match the prefix bans: one transaction per cluster of overlapping prefixes."""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS, NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import batch as bulk
from monitor.enforcers.nftables import listing
from monitor.enforcers.nftables.commit import (
    ENCODERS,
    SET_FULL,
    Item,
    TableMissing,
    commit,
    demand_table,
    failure,
    milliseconds,
)
from monitor.enforcers.nftables.prefix_set import Change, PrefixSet
from monitor.enforcers.nftables.prefixes import TooManyPieces
from monitor.enforcers.nftables.ruleset import TABLE, Element, set_name
from monitor.enforcers.protocol import Failure
from monitor.model.addresses import Network, host
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES
from monitor.model.parts import in_parts

_Part: TypeAlias = dict[Network, float | None]
_FOREVER_S = float("inf")
_BATCH = 512


class PrefixBans:
    """The prefix bans of all interval sets; a set is read from the kernel on first use."""

    def __init__(self) -> None:
        self._sets: dict[str, PrefixSet] = {}

    def forget(self) -> None:
        """Read the sets again on next use: another program may have replaced them."""
        self._sets.clear()

    def reread(self, now_s: float) -> None:
        """Read the known sets again: what others changed is not known. TableMissing if a set does not exist."""
        for name, known in self._sets.items():
            known.reread(_read(name, now_s))

    def change(
        self, link: NetlinkSocket, strength: Strength, wanted: Mapping[Network, float | None], now_s: float
    ) -> list[Failure]:
        """Give prefixes a new expiry (wall time, seconds), or lift those with None; return those that failed.

        A refused ban stays unchanged. Raises TableMissing if the set does not exist.
        """
        by_set: dict[str, _Part] = {}
        for network, end in wanted.items():
            by_set.setdefault(set_name(network, strength), {})[network] = end
        failures: list[Failure] = []
        for name, given in by_set.items():
            part = self._without_simple(link, name, given, now_s) if len(given) >= bulk.WORTHWHILE else given
            for batch in _batches(self._known(link, name, now_s).clusters(part)):
                failures += self._change_set(link, name, strength, batch, now_s)
        return failures

    def lookup(self, link: NetlinkSocket, network: Network, strength: Strength) -> Element | None:
        """Add up the kernel's pieces of a ban that is not a single element; None if there is no such ban."""
        known = self._sets.get(set_name(network, strength))
        covering = known.covering(network) if known else []
        found = listing.lookup_many(link, covering, strength)
        if not found:
            return None
        times = [element.timeout_s for element in found if element.timeout_s is not None]
        packets, octets = sum(e.packets for e in found), sum(e.bytes for e in found)
        return Element(network, strength, min(times, default=None), packets, octets)

    def _known(self, link: NetlinkSocket, name: str, now_s: float) -> PrefixSet:
        if name not in self._sets:
            _clear_ended(link, name)
            self._sets[name] = PrefixSet(_read(name, now_s), limit=MAX_PREFIXES)
        return self._sets[name]

    def _without_simple(self, link: NetlinkSocket, name: str, wanted: _Part, now_s: float) -> _Part:
        """Add the prefixes that overlap nothing, hundreds at once; return the others, and those that were refused.

        After a restart most are in the kernel already, and stay as they are.
        """
        known = self._known(link, name, now_s)
        agreed = frozenset(known.agree(wanted))
        left = {network: end for network, end in wanted.items() if network not in agreed}
        for some in in_parts(known.lone(left), _BATCH):
            ends = {network: end for network in some if (end := left[network]) is not None}
            if bulk.add_prefixes(link, name, ends, now_s):
                known.accept_lone(ends)
                for network in some:
                    del left[network]
        return left

    def _change_set(
        self, link: NetlinkSocket, name: str, strength: Strength, wanted: _Part, now_s: float
    ) -> list[Failure]:
        known = self._known(link, name, now_s)
        changes, too_large = _planned(known, known.clusters(wanted), now_s)
        is_reread = any(netlink.interval_end(change.root) is None for change in changes)
        if is_reread:
            # The kernel does not detect that an interval without an end overlaps others and would truncate it at the
            # first of them, so the content of the set must be known.
            known.reread(_read(name, now_s))
            changes, too_large = _planned(known, known.clusters(wanted), now_s)
        full, conflicting = self._carry_out(link, strength, known, changes, now_s, is_careful=is_reread)
        failures: list[Failure] = []
        if conflicting:
            known.reread(_read(name, now_s))
        for part, _ in conflicting:
            full += self._retry(link, strength, known, part, now_s, failures)
        self._fit(link, strength, known, too_large + full, now_s, failures)
        return failures

    def _retry(
        self, link: NetlinkSocket, strength: Strength, known: PrefixSet, part: _Part, now_s: float, out: list[Failure]
    ) -> list[_Part]:
        """Retry bans separately; return those for which the set is full, append other failures to `out`."""
        changes, too_large = _planned(known, known.clusters(part), now_s)
        full, conflicting = self._carry_out(link, strength, known, changes, now_s, is_careful=True)
        out += [failure(network, strength, code) for part, code in conflicting for network in part]
        return too_large + full

    def _fit(
        self,
        link: NetlinkSocket,
        strength: Strength,
        known: PrefixSet,
        parts: Iterable[_Part],
        now_s: float,
        out: list[Failure],
    ) -> None:
        """Add as many bans as fit: try halves, and stop once a single ban does not fit."""
        pending = list(parts)[::-1]
        is_full = False
        while pending:
            part = pending.pop()
            if is_full or len(part) == 1:
                is_full = True
                out += [failure(network, strength, errno.ENFILE) for network in part]
                continue
            items = list(part.items())
            halves = [dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])]
            pending += [left for half in halves for left in self._retry(link, strength, known, half, now_s, out)][::-1]

    def _carry_out(
        self,
        link: NetlinkSocket,
        strength: Strength,
        known: PrefixSet,
        changes: Sequence[Change],
        now_s: float,
        *,
        is_careful: bool,
    ) -> tuple[list[_Part], list[tuple[_Part, int]]]:
        """Commit planned changes; return the requests for which the set is full, and those that failed otherwise."""
        counts = _kept_counts(link, strength, changes)
        requests = ((change, _requests(change, strength, counts, now_s, is_careful=is_careful)) for change in changes)
        items = [Item(change.root, strength, parts) for change, parts in requests if parts]
        refused = {item.network: code for item, code in commit(link, items, lambda new: demand_table(link, new))}
        for change in changes:
            if change.root not in refused:
                known.accept(change)
        met = [(change.wanted, refused[change.root]) for change in changes if change.root in refused]
        return [part for part, code in met if code in SET_FULL], [met_ for met_ in met if met_[1] not in SET_FULL]


def _clear_ended(link: NetlinkSocket, name: str) -> None:
    """Make the kernel remove expired intervals of a set that are unknown here: it does so when the set changes.

    For that, the unspecified address is added and deleted, which no host can have.
    """
    nobody = netlink.encode_element(host(bytes(4 if "4" in name else 16)), interval=True)
    for kind in (NEW_ELEMENTS, DEL_ELEMENTS):
        link.transact([ENCODERS[name].request(kind, nobody)])


def _batches(parts: Iterable[_Part]) -> Iterator[_Part]:
    """Join disjoint clusters to batches of limited size: plans for ten thousand at once take 20 MB."""
    batch: _Part = {}
    for part in parts:
        batch |= part
        if len(batch) >= _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _planned(known: PrefixSet, parts: Iterable[_Part], now_s: float) -> tuple[list[Change], list[_Part]]:
    """Plan each cluster; return the changes, and the clusters that do not fit even without expired bans."""
    changes: list[Change] = []
    too_large: list[_Part] = []
    for part in parts:
        try:
            changes.append(known.plan(part, now_s))
        except TooManyPieces:
            too_large.append(part)
    if not too_large or not known.prune(now_s):
        return changes, too_large
    # expired bans are in no plan, so the plans made so far remain valid
    more, too_large = _planned(known, too_large, now_s)
    return changes + more, too_large


def _read(name: str, now_s: float) -> dict[Network, float]:
    try:
        held = listing.read_elements([name])
    except FileNotFoundError as error:
        raise TableMissing(f"table inet {TABLE} or its set {name} is missing") from error
    return {e.network: _FOREVER_S if e.timeout_s is None else now_s + e.timeout_s for e in held}


def _kept_counts(link: NetlinkSocket, strength: Strength, changes: Iterable[Change]) -> dict[Network, tuple[int, int]]:
    """Read the counters of the pieces that only get a new expiry."""
    kept = [network for change in changes for network in change.removed if network in change.added]
    return listing.read_counts(link, kept, strength)


def _requests(
    change: Change, strength: Strength, counts: Mapping[Network, tuple[int, int]], now_s: float, *, is_careful: bool
) -> tuple[NetlinkRequest, ...]:
    """Encode a change as messages: first the removals, then the additions."""
    encoder = ENCODERS[set_name(change.root, strength)]
    gone = [netlink.encode_element(network, interval=True) for network in change.removed]
    # The kernel keeps expired intervals for a while without listing them. A wider interval added over them is refused
    # or silently truncated (seen on 6.18). Adding the expired ones again and deleting them avoids that.
    over = [netlink.encode_element(network, interval=True) for network in change.ended]
    requests = [*encoder.requests(NEW_ELEMENTS, over), *encoder.requests(DEL_ELEMENTS, over)]
    # A piece may expire between reading and writing: an element that was just added can always be deleted.
    requests += encoder.requests(NEW_ELEMENTS, gone) if is_careful else []
    requests += encoder.requests(DEL_ELEMENTS, gone)
    requests += encoder.requests(
        NEW_ELEMENTS,
        [
            netlink.encode_element(
                network, interval=True, timeout_ms=milliseconds(end - now_s), count=counts.get(network, (0, 0))
            )
            for network, end in change.added.items()
        ],
    )
    return tuple(requests)
