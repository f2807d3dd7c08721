"""After a restart: what the store remembers and what the kernel holds become one ledger, whichever was ahead."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec

from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Held, Mode, ban_key, read_ban_key

RESTORED = "restored"
"""The detector name of a ban that only the kernel knew of."""

_SAME_S = 2.0


def is_restored(claim: Ban) -> bool:
    """Whether only the kernel knew of it; a peer or a list may have the same name."""
    return claim.detector == RESTORED and claim.origin is ClaimOrigin.DETECTOR


class Merged(msgspec.Struct, frozen=True, gc=False):
    """A claim that continues: whether the store must learn of it, and whether the kernel holds it as it is."""

    ban: Ban
    is_news: bool
    is_held: bool


class Plain(NamedTuple):
    """Bans of single addresses that continue as they are stored, each the only claim of its address and strength."""

    bans: list[Ban]
    keys: list[bytes]
    """The `ban_key` of each."""
    missing: list[Ban]
    """Those that the kernel is not known to hold."""


def merge(stored: Iterable[Ban], held: Iterable[Held], now_s: float) -> Iterator[Merged]:
    """Yield every claim that is in force or observed; `stored` has the claims of one network one after another.

    The kernel is written first and the store soon after, so after a kill the kernel may know bans and later ends that
    the store does not. Only the store knows bans after a reboot. Nothing is lost, and nothing lasts longer than either
    of the two says, nor than it was meant to where the clock is behind. Prefixes are held as disjoint pieces: a piece
    inside a stored prefix is no ban of its own. Of several claims the last to end stands for what the kernel holds.
    """
    merging = Merging(held, now_s)
    yield from merging.claims(stored)
    yield from merging.rest()


class Merging:
    """Does what `merge` does, batch by batch; all claims of one network must be in one batch."""

    def __init__(self, held: Iterable[Held], now_s: float) -> None:
        """Read what the kernel holds."""
        self._now_s = now_s
        self._kernel = {one.key: one.until_s for one in held}
        self._prefixes: dict[bytes, Ban] = {}

    def split(self, batch: Sequence[Ban]) -> tuple[Plain, list[Ban]]:
        """Take the plain bans out of a batch; return them, and the others in their order, for `claims`."""
        keys = [ban_key(ban.network, ban.strength) for ban in batch]
        repeated = frozenset[bytes]()
        if len(frozenset(keys)) < len(keys):
            repeated = frozenset(key for key, count in Counter(keys).items() if count > 1)
        now_s, latest_s, kernel = self._now_s, self._now_s + _SAME_S, self._kernel
        plain, others = Plain([], [], []), []
        for ban, key in zip(batch, keys, strict=True):
            network = ban.network
            if (
                ban.mode is not Mode.ENFORCE
                or ban.until_s <= now_s
                or ban.since_s > latest_s
                or network.ports
                or network.prefix_length != 8 * len(network.address)
                or key in repeated
                or (kernel and kernel.get(key, 0.0) > ban.until_s + _SAME_S)
            ):
                others.append(ban)
                continue
            plain.bans.append(ban)
            plain.keys.append(key)
            if not kernel or kernel.pop(key, None) is None:
                plain.missing.append(ban)
        return plain, others

    def claims(self, stored: Iterable[Ban]) -> Iterator[Merged]:
        """Yield the claims that are in force or observed; prefixes are kept for `rest`."""
        kernel = self._kernel
        for ban, is_last in _running(stored, self._now_s):
            if not is_last:
                yield Merged(ban, is_news=False, is_held=ban.mode is Mode.ENFORCE)
            elif ban.network.is_host:
                yield _later(ban, kernel.pop(ban.key, None) if kernel else None)
            else:
                self._prefixes[ban.key] = ban

    def rest(self) -> Iterator[Merged]:
        """Yield the prefixes, and what only the kernel knew; once, after all batches."""
        prefixes = self._prefixes
        lengths = {(ban.network.bits, ban.network.prefix_length) for ban in prefixes.values()}
        unexplained = {
            key: until_s
            for key, until_s in self._kernel.items()
            if not _is_explained(*read_ban_key(key), until_s, prefixes, lengths)
        }
        for key, ban in prefixes.items():
            yield _later(ban, unexplained.pop(key, None))
        for key, until_s in unexplained.items():
            network, strength = read_ban_key(key)
            ban = Ban(network, strength, self._now_s, until_s, RESTORED, "was in force when the daemon started")
            yield Merged(ban, is_news=True, is_held=True)


def _running(stored: Iterable[Ban], now_s: float) -> Iterator[tuple[Ban, bool]]:
    """Yield the claims that have not ended, and whether each is its network's last enforced one to end."""
    last: Ban | None = None
    for recorded in stored:
        ban = _started(recorded, now_s)
        if ban.until_s <= now_s:
            continue
        if ban.mode is not Mode.ENFORCE:
            yield ban, False
        elif last is None or ban.network != last.network or ban.strength is not last.strength:
            if last is not None:
                yield last, True
            last = ban
        else:
            last, shorter = (ban, last) if ban.until_s > last.until_s else (last, ban)
            yield shorter, False
    if last is not None:
        yield last, True


def _is_explained(
    network: Network, strength: Strength, until_s: float, prefixes: Mapping[bytes, Ban], lengths: Set[tuple[int, int]]
) -> bool:
    """Whether a stored prefix says that this is in force as long as that."""
    if network.is_host:
        return False
    for bits, length in lengths:
        if bits == network.bits and length <= network.prefix_length:
            ban = prefixes.get(ban_key(network_of(network.address, length), strength))
            if ban is not None and ban.until_s + _SAME_S >= until_s:
                return True
    return False


def _started(ban: Ban, now_s: float) -> Ban:
    """Return the ban as one that starts now at the latest: a machine without a real-time clock boots in the past."""
    ahead_s = ban.since_s - now_s
    if ahead_s <= _SAME_S:
        return ban
    return msgspec.structs.replace(ban, since_s=now_s, until_s=ban.until_s - ahead_s)


def _later(ban: Ban, until_s: float | None) -> Merged:
    """Return the ban with a later end, if the kernel knows one that the store does not."""
    if until_s is not None and until_s > ban.until_s + _SAME_S:
        return Merged(msgspec.structs.replace(ban, until_s=until_s), is_news=True, is_held=True)
    return Merged(ban, is_news=False, is_held=until_s is not None)
