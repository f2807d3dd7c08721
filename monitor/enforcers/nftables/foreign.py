"""The elements of our sets that other programs added: known, explained and lifted, but otherwise left alone.

They are no bans of ours: no claim, no offence, no share of the budget. Notifications and comparisons report them. The
first MAX_FOREIGN are kept one by one, the rest is only counted: somebody may add as many as a set takes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from monitor.enforcers.nftables import contents
from monitor.enforcers.nftables.contents import MAX_FOREIGN, Found
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.ruleset import BAN_SETS, set_name
from monitor.enforcers.protocol import Foreign, ForeignElement, InForce
from monitor.model.addresses import Address, Network, host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode

UNKNOWN_AUTHOR = "a program"

_Key: TypeAlias = tuple[Address, Address]


class ForeignElements(Foreign):
    """Those of one table."""

    def __init__(
        self,
        enforcer: NftablesEnforcer,
        in_force: InForce,
        is_doubtful: Callable[[Network, Strength], bool],
        is_up: Callable[[], bool],
    ) -> None:
        """`is_doubtful`: whether the kernel may still hold a ban that was lifted; `is_up`: whether there is a table."""
        self._enforcer = enforcer
        self._is_up = is_up
        self._in_force = in_force
        self._is_doubtful = is_doubtful
        self._known: dict[str, dict[_Key, ForeignElement]] = {name: {} for name in BAN_SETS}
        self._more: Counter[str] = Counter()

    def counts(self) -> Mapping[str, int]:
        """Return how many there are in each set, as last known."""
        return {name: len(known) + self._more[name] for name, known in self._known.items()}

    def listed(self, now_s: float) -> list[ForeignElement]:
        """Return those that are known one by one: at most MAX_FOREIGN."""
        for known in self._known.values():
            for key in [key for key, one in known.items() if one.until_s is not None and one.until_s <= now_s]:
                del known[key]
        return [one for known in self._known.values() for one in known.values()]

    def around(self, network: Network, now_s: float) -> list[ForeignElement]:
        """Return those with addresses of this network, as the kernel has them now.

        Inside a prefix, those that are known one by one. TemporaryError or PermanentError if they cannot be read.
        """
        if not self._is_up():
            return []
        found = [one for one in self.listed(now_s) if one.overlaps(network)] if not network.is_host else []
        for strength in Strength:
            if network.is_host:
                found += self._host(network, strength, now_s)
            found += [one for one in self._interval(network, strength, now_s) if one not in found]
        return found

    def lift(self, elements: Iterable[ForeignElement], now_s: float) -> None:
        """Delete elements; one that is gone is not an error. TemporaryError or PermanentError if that fails."""
        if not (elements := list(elements)):
            return
        self._enforcer.delete(elements, now_s)
        for one in elements:
            self.forget(one.set, one.first, one.last)
        # an interval that the bans of ours around it shared
        prefixes = [
            ban
            for ban in self._in_force.bans()
            if not (ban.network.is_host or ban.network.ports) and ban.mode is Mode.ENFORCE
        ]
        strengths = {one.strength for one in elements if one.set.endswith("_nets")}
        shared = [
            ban
            for ban in (prefixes if strengths else ())
            if ban.strength in strengths and any(one.overlaps(ban.network) for one in elements)
        ]
        self._enforcer.refresh(shared, now_s)

    def lift_all(self, now_s: float) -> list[ForeignElement]:
        """Delete all; of a set with more than are known one by one only those, unless no ban of ours is in it.

        Returns those that were known one by one. TemporaryError or PermanentError if that fails.
        """
        elements = self.listed(now_s)
        emptied = [
            name for name in BAN_SETS if self._more[name] and not contents.bans_in(name, self._in_force.bans(), now_s)
        ]
        for name in emptied:
            self._enforcer.empty(name, now_s)
            self._known[name].clear()
            self._more[name] = 0
        self.lift([one for one in elements if one.set not in emptied], now_s)
        return elements

    def forget_all(self) -> None:
        """Forget them: the table was deleted."""
        for known in self._known.values():
            known.clear()
        self._more.clear()

    def note(self, name: str, found: Found, author: str, now_s: float) -> bool:
        """Note an element that was added; return whether it was unknown."""
        first, last, until_s = found
        known = self._known[name]
        is_new = (first, last) not in known
        if not is_new or sum(map(len, self._known.values())) < MAX_FOREIGN:
            known[first, last] = ForeignElement(name, first, last, BAN_SETS[name], until_s, now_s, author)
        else:
            self._more[name] += 1
        return is_new

    def forget(self, name: str, first: Address, last: Address) -> None:
        """Note that an element is gone."""
        if self._known[name].pop((first, last), None) is None and self._more[name]:
            self._more[name] -= 1

    def replace(self, name: str, found: Sequence[Found], more: int, now_s: float) -> int:
        """Take what a set was found to hold; return how many of these were unknown. `more` are only counted."""
        before, self._known[name] = self._known[name], {}
        more_before, self._more[name] = self._more[name], more
        for first, last, until_s in found:
            earlier = before.get((first, last))
            author, seen_s = (earlier.author, earlier.seen_s) if earlier else (UNKNOWN_AUTHOR, now_s)
            self.note(name, (first, last, until_s), author, seen_s)
        if more or more_before:
            return max(0, self.counts()[name] - len(before) - more_before)
        return sum((first, last) not in before for first, last, _ in found)

    def _host(self, network: Network, strength: Strength, now_s: float) -> list[ForeignElement]:
        """Return the element of an address, unless it is a ban of ours."""
        if _is_enforced(self._in_force.get(network, strength), now_s):
            return []
        left_s = self._enforcer.lookup_many([network], strength)
        name = set_name(network, strength)
        return [self._element(name, (network.address,) * 2, left_s[network], now_s)] if left_s else []

    def _interval(self, network: Network, strength: Strength, now_s: float) -> list[ForeignElement]:
        """Return the interval around a network or its first address, unless a ban of ours explains it."""
        name = f"{set_name(host(network.address), strength)}_nets"
        first = self._enforcer.interval_at(network.address, strength)
        around = (ban for ban in self._in_force.covering(network) if ban.strength is strength)
        if first is None or any(
            _is_enforced(ban, now_s) and not (ban.network.is_host or ban.network.ports) for ban in around
        ):
            return []
        known = [one for one in self._known[name].values() if one.first == first]
        if known:
            return known
        ours = contents.bans_in(name, self._in_force.bans(), now_s)
        _, strangers = contents.compare_prefixes(ours, contents.read_intervals(name, must_be_exact=False), now_s)
        return [
            self._element(name, one[:2], None if one[2] is None else one[2] - now_s, now_s)
            for one in strangers
            if one[0] == first
        ]

    def _element(self, name: str, key: _Key, left_s: float | None, now_s: float) -> ForeignElement:
        known = self._known[name].get(key)
        until_s = None if left_s is None else now_s + left_s
        strength = BAN_SETS[name]
        author = known.author if known else UNKNOWN_AUTHOR
        if key[0] == key[1] and self._is_doubtful(host(key[0]), strength):
            author = "nodewarden, which could not lift it yet"
        return ForeignElement(name, *key, strength, until_s, known.seen_s if known else now_s, author)


def _is_enforced(ban: Ban | None, now_s: float) -> bool:
    return ban is not None and ban.mode is Mode.ENFORCE and ban.until_s > now_s
