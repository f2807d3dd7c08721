"""Brings the interval sets in line with the prefix bans: one transaction for each cluster of overlapping ones."""

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from monitor.enforcers import netlink
from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS, Request
from monitor.enforcers.netlink_socket import NetlinkSocket
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

_Part: TypeAlias = dict[Network, float | None]
_FOREVER_S = float("inf")
_BATCH = 512


class PrefixBans:
    """The prefix bans of all four interval sets; a set is read from the kernel when it is first needed."""

    def __init__(self) -> None:
        self._sets: dict[str, PrefixSet] = {}

    def forget(self) -> None:
        """Read the sets anew when they are next needed: somebody may have replaced them."""
        self._sets.clear()

    def change(
        self, link: NetlinkSocket, strength: Strength, wanted: Mapping[Network, float | None], now_s: float
    ) -> list[Failure]:
        """Give prefixes another end (wall time, seconds), or lift those with None; return what is not in force.

        What was refused stays as it was. Raises TableMissing when the set is not there.
        """
        by_set: dict[str, _Part] = {}
        for network, end in wanted.items():
            by_set.setdefault(set_name(network, strength), {})[network] = end
        failures: list[Failure] = []
        for name, part in by_set.items():
            for batch in _batches(self._known(link, name, now_s).clusters(part)):
                failures += self._change_set(link, name, strength, batch, now_s)
        return failures

    def lookup(self, link: NetlinkSocket, network: Network, strength: Strength) -> Element | None:
        """Add up what the kernel holds for a ban that is not one piece of its own; None when there is no such ban."""
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

    def _change_set(
        self, link: NetlinkSocket, name: str, strength: Strength, wanted: _Part, now_s: float
    ) -> list[Failure]:
        known = self._known(link, name, now_s)
        changes, too_large = _planned(known, known.clusters(wanted), now_s)
        is_reread = any(netlink.interval_end(change.root) is None for change in changes)
        if is_reread:
            # The kernel does not see that an interval without an end overlaps others, and would cut it short at the
            # first of them: so it must be known what is there.
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
        """Try bans apart from others; return those without room, append to `out` those that met something else."""
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
        """Put in as much as there is room for: by halves, and nothing more once a single ban did not fit."""
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
        """Commit planned changes; return the wishes for which there is no room, and those that met something else."""
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
    """Make the kernel drop ended intervals of a set that nobody remembers: it does when the set changes.

    What is added and deleted for that is an address that nobody can have.
    """
    nobody = netlink.encode_element(host(bytes(4 if "4" in name else 16)), interval=True)
    for kind in (NEW_ELEMENTS, DEL_ELEMENTS):
        link.transact([ENCODERS[name].request(kind, nobody)])


def _batches(parts: Iterable[_Part]) -> Iterator[_Part]:
    """Join clusters, which do not touch each other, to handfuls: plans for ten thousand at once take 20 MB."""
    batch: _Part = {}
    for part in parts:
        batch |= part
        if len(batch) >= _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


def _planned(known: PrefixSet, parts: Iterable[_Part], now_s: float) -> tuple[list[Change], list[_Part]]:
    """Plan each of these clusters; return those for which there is no room, even without what has ended, apart."""
    changes: list[Change] = []
    too_large: list[_Part] = []
    for part in parts:
        try:
            changes.append(known.plan(part, now_s))
        except TooManyPieces:
            too_large.append(part)
    if not too_large or not known.prune(now_s):
        return changes, too_large
    # what has ended is in no plan, so those that were made still hold
    more, too_large = _planned(known, too_large, now_s)
    return changes + more, too_large


def _read(name: str, now_s: float) -> dict[Network, float]:
    try:
        held = listing.read_elements([name])
    except FileNotFoundError as error:
        raise TableMissing(f"table inet {TABLE} or its set {name} is gone") from error
    return {e.network: _FOREVER_S if e.timeout_s is None else now_s + e.timeout_s for e in held}


def _kept_counts(link: NetlinkSocket, strength: Strength, changes: Iterable[Change]) -> dict[Network, tuple[int, int]]:
    """Read the counters of the pieces that only get another end."""
    kept = [network for change in changes for network in change.removed if network in change.added]
    return listing.read_counts(link, kept, strength)


def _requests(
    change: Change, strength: Strength, counts: Mapping[Network, tuple[int, int]], now_s: float, *, is_careful: bool
) -> tuple[Request, ...]:
    """Write a change as messages: first all that goes, then all that comes."""
    encoder = ENCODERS[set_name(change.root, strength)]
    gone = [netlink.encode_element(network, interval=True) for network in change.removed]
    # The kernel keeps ended intervals for a while, does not list them, and mistakes a wider one that is added over them
    # (6.18: it refuses it, or cuts it short without a word). Adding them anew and deleting them clears the ground.
    over = [netlink.encode_element(network, interval=True) for network in change.ended]
    requests = [*encoder.requests(NEW_ELEMENTS, over), *encoder.requests(DEL_ELEMENTS, over)]
    # A piece may end between the reading and the writing: what is added first can always be deleted.
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
