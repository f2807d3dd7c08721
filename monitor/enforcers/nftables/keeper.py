"""Reverts what other programs change in the table: by notifications, and by comparisons that need none.

Notifications arrive at once but may be lost: the buffer overruns, the socket fails. So each part of the table is also
compared with what it should be, again and again (`PARTS`). `read` takes the time that a listing takes and may run in
another thread; `judge` runs on the loop, in slices, and asks the kernel about every suspicion again before it acts.

Elements that others added are no bans of ours and stay: see `foreign`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from monitor.enforcers.nftables import contents
from monitor.enforcers.nftables.contents import ENDING_S, Found, Reading
from monitor.enforcers.nftables.drift import Drift, DriftKind
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.fingerprint import summary
from monitor.enforcers.nftables.foreign import UNKNOWN_AUTHOR
from monitor.enforcers.nftables.large_sets import LargeSets
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_SETS
from monitor.enforcers.nftables.table import NftablesTable
from monitor.enforcers.protocol import InForce
from monitor.model.addresses import Network, collapse, host
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Mode
from monitor.model.errors import SYSTEM_FAULTS, TemporaryError
from monitor.model.parts import in_parts

_SLICE = 512
DEFINITION, ALLOWLIST, PORT_BANS = "definition", "allowlist", "port bans"
PARTS = (DEFINITION, ALLOWLIST, PORT_BANS, *BAN_SETS)
"""What is compared: rules and definitions, the allow sets, the bans of some ports, each set of bans."""


class TableKeeper:
    """Keeps one table as it should be."""

    def __init__(self, table: NftablesTable, enforcer: NftablesEnforcer, in_force: InForce) -> None:
        """`in_force` has the bans that should be in the table."""
        self._table = table
        self._enforcer = enforcer
        self._in_force = in_force
        self.suspects: dict[str, None] = {}
        """The parts that should be compared at once; after lost notifications, all of them."""
        self._large = LargeSets()

    @property
    def is_needed(self) -> bool:
        """Whether there is a table to keep."""
        return self._table.is_wanted

    @property
    def allowlist(self) -> Sequence[Network]:
        """The networks that should be in the allow sets; another object whenever they were changed."""
        return self._table.allowlist

    def others_changed(self) -> bool:
        """Whether others changed nf_tables while a start wrote the table, so that no notification told it.

        It answers once, right after notifications are listened to.
        """
        try:
            return self._enforcer.others_changed() and self.is_needed
        except SYSTEM_FAULTS:
            return self.is_needed

    def list_large_sets(self) -> None:
        """Have the next comparison of each large set list it."""
        self._large.distrust()

    def fault(self, part: str, text: str) -> None:
        """Note what keeps changes from being noticed; without a text it is over."""
        self._table.note_fault(part, text)

    def revert(self, drifts: Sequence[Drift], now_s: float) -> None:
        """Revert changes that were notified; an expired element is no change."""
        if not self._table.is_wanted:
            return
        gone: dict[bytes, Ban] = {}
        changes: Counter[tuple[str, str]] = Counter()
        kinds = {drift.kind for drift in drifts}
        for drift in drifts:
            if self._is_change(drift, gone, now_s):
                changes[drift.kind.value, str(drift.author or UNKNOWN_AUTHOR)] += 1
        if DriftKind.OVERRUN in kinds:
            self.suspects |= dict.fromkeys(PARTS)
        self._table.drifted(changes)
        if DriftKind.TABLE_GONE in kinds:
            self._table.foreign.forget_all()
        if kinds & {DriftKind.TABLE_GONE, DriftKind.RULES_CHANGED} or not self._table.is_up:
            self._table.rebuild(now_s)
        else:
            if DriftKind.ALLOW_CHANGED in kinds:
                self._table.reallow(now_s)
            if gone:
                self._table.put_back(list(gone.values()), now_s)

    def _is_change(self, drift: Drift, gone: dict[bytes, Ban], now_s: float) -> bool:
        """Return whether a change counts; add bans that it removed, and note elements that it added."""
        if drift.set in PORT_SETS:
            self.suspects[PORT_BANS] = None
            return True
        if drift.set not in BAN_SETS:
            return True
        network = drift.network
        if network is None or drift.strength is None:  # a range, or the half of one
            self.suspects[drift.set] = None
            return True
        bans = self._bans_of(drift, now_s)
        if drift.kind is DriftKind.ELEMENT_GONE:
            self._table.foreign.forget(drift.set, network.address, network.last())
            gone |= {ban.key: ban for ban in bans}
            return bool(bans)
        if bans:
            self._table.doubt(bans)  # it may end at another time now
        else:
            until_s = None if drift.left_s is None else now_s + drift.left_s
            found = (network.address, network.last(), until_s)
            self._table.foreign.note(drift.set, found, str(drift.author or UNKNOWN_AUTHOR), now_s)
        return True

    def _bans_of(self, drift: Drift, now_s: float) -> list[Ban]:
        """Return the bans that an element of a set stands for."""
        if drift.network is None:
            return []
        is_prefix = drift.set.endswith("_nets")
        around = self._in_force.covering(drift.network)
        bans = [
            ban
            for ban in around
            if ban.strength is drift.strength and not ban.network.ports and ban.network.is_host is not is_prefix
        ]
        return [ban for ban in bans if ban.mode is Mode.ENFORCE and ban.until_s > now_s + ENDING_S]

    def snapshot(self) -> tuple[Ban, ...]:
        """Return the bans to compare with; on the loop, before `read`."""
        return tuple(self._in_force.bans())

    def read(
        self, part: str, bans: Sequence[Ban], clock: Callable[[], float] = time.time, *, is_suspect: bool = True
    ) -> list[str] | Reading:
        """Read a part and compare it; in any thread. A large set is not listed unless it is suspect, or it is time.

        TemporaryError or PermanentError if the kernel cannot be asked, as while others keep changing nf_tables.
        """
        try:
            if part == PORT_BANS:
                return Reading(contents.read_port_bans(bans, clock), [], 0, is_exact=False)
            if part not in BAN_SETS:
                return self._read_other(part)
            foreign = self._table.foreign.counts()[part]
            if not is_suspect and self._large.is_alike(part, contents.bans_in(part, bans, clock()), foreign):
                return []
            reading = contents.read_set(part, bans, clock)
        except FileNotFoundError:
            return [f"set {part} is missing"]
        self._large.note(part)
        return reading

    def _read_other(self, part: str) -> list[str]:
        return self._read_allowed() if part == ALLOWLIST else self._enforcer.differences()

    def _read_allowed(self) -> list[str]:
        wanted = [(network.address, network.last()) for network in collapse(list(self._table.allowlist))]
        found = [one[:2] for name in ("allow4", "allow6") for one in contents.read_intervals(name)]
        return [] if contents.union(wanted) == contents.union(found) else ["the allow sets differ from the allowlist"]

    def judge(self, part: str, reading: list[str] | Reading, now_s: float) -> Iterator[None]:
        """Revert what a reading found, on the loop; yields between slices of work."""
        if not (self._table.is_wanted and self._table.is_up):
            return
        if part == PORT_BANS:
            if isinstance(reading, Reading):
                yield from self._judge_port_bans(reading, now_s)
            else:
                self._table.rebuild(now_s)  # a set is missing
        elif isinstance(reading, Reading):
            yield from self._judge_set(part, reading, now_s)
        elif reading and (still := self._read_other(part)):  # it may have been read while we changed it
            kind = DriftKind.ALLOW_CHANGED if part == ALLOWLIST else DriftKind.RULES_CHANGED
            kind = kind if self._table.exists() else DriftKind.TABLE_GONE
            self._found(kind, 1, summary(still))
            if kind is DriftKind.ALLOW_CHANGED:
                self._table.reallow(now_s)
            else:
                self._table.rebuild(now_s)

    def rewrite(self, part: str, now_s: float) -> None:
        """Write a part anew that may have changed and cannot be read: others keep changing nf_tables."""
        if not (self._table.is_wanted and self._table.is_up):
            return
        if part == DEFINITION:
            self._table.rebuild(now_s)
        elif part == ALLOWLIST:
            self._table.reallow(now_s)
        elif part == PORT_BANS:
            self._table.put_back([ban for ban in self._in_force.bans() if self._is_of_ports(ban, now_s)], now_s)
        elif part.endswith("_nets"):
            self._table.put_back(contents.bans_in(part, self._in_force.bans(), now_s), now_s)

    def _judge_set(self, name: str, reading: Reading, now_s: float) -> Iterator[None]:
        if name.endswith("_nets"):
            yield from self._judge_prefixes(name, reading, now_s)
            return
        gone = changed = 0
        for part in in_parts(reading.wrong, _SLICE):
            missing, others = self._wrong_hosts(name, part, now_s)
            gone, changed = gone + len(missing), changed + len(others)
            if missing:
                self._table.put_back_missing(missing, now_s)
            if others:
                self._table.put_back(others, now_s)
            yield
        strangers: list[Found] = []
        for some in in_parts(reading.strangers, _SLICE):
            candidates = {network: one for one in some if not self._is_ours(network := host(one[0]), BAN_SETS[name])}
            held = self._enforcer.lookup_many(list(candidates), BAN_SETS[name])
            strangers += [one for network, one in candidates.items() if network in held]
            yield
        added = self._table.foreign.replace(name, strangers, reading.more, now_s)
        self._found(DriftKind.ELEMENT_GONE, gone, f"{gone} elements of set {name} were missing")
        self._found(DriftKind.ELEMENT_CHANGED, changed, f"{changed} elements of set {name} had another time")
        self._found(DriftKind.ELEMENT_ADDED, added, f"{added} elements of set {name} are foreign")

    def _is_of_ports(self, ban: Ban, now_s: float) -> bool:
        return bool(ban.network.ports) and ban.mode is Mode.ENFORCE and ban.until_s > now_s + ENDING_S

    def _judge_port_bans(self, reading: Reading, now_s: float) -> Iterator[None]:
        """Write anew what was wrong and still is; elements that no ban explains stay until they end."""
        if reading.wrong:
            wrong = contents.read_port_bans(self.snapshot(), lambda: now_s)
            wrong = [ban for ban in wrong if self._is_due(ban, now_s)]
            for part in in_parts(wrong, _SLICE):
                self._table.put_back(part, now_s)
                yield
            self._found(DriftKind.ELEMENT_GONE, len(wrong), f"{len(wrong)} bans of some ports were not in force")

    def _wrong_hosts(self, name: str, suspected: Sequence[Ban], now_s: float) -> tuple[list[Ban], list[Ban]]:
        """Return of suspected bans those that are missing in the kernel now, and those that end at another time."""
        bans = [ban for ban in suspected if self._is_due(ban, now_s)]
        held = self._enforcer.lookup_many([ban.network for ban in bans], BAN_SETS[name])
        ends = {network: None if left_s is None else now_s + left_s for network, left_s in held.items()}
        there = [ban for ban in bans if ban.network in ends]
        missing = [ban for ban in bans if ban.network not in ends]
        return missing, [ban for ban in there if not contents.ends_alike(ends[ban.network], ban.until_s, now_s)]

    def _judge_prefixes(self, name: str, reading: Reading, now_s: float) -> Iterator[None]:
        """Revert what was read exactly and is still so now that nothing else runs."""
        wrong = [ban for ban in reading.wrong if self._is_due(ban, now_s)]
        if wrong:
            reading = contents.read_set(name, self.snapshot(), lambda: now_s)
            wrong = [ban for ban in reading.wrong if self._is_due(ban, now_s)]
        if not reading.is_exact:
            raise TemporaryError(f"set {name} kept changing while it was read")
        strangers = [one for one in reading.strangers if not self._is_explained(one, BAN_SETS[name], now_s)]
        added = self._table.foreign.replace(name, strangers, reading.more, now_s)
        for index, part in enumerate(in_parts(wrong, _SLICE)):
            bans = [ban for ban in part if self._is_due(ban, now_s)]
            write = self._table.put_back_missing if index else self._table.put_back  # the first one reads the set again
            write(bans, now_s)
            yield
        self._found(DriftKind.ELEMENT_GONE, len(wrong), f"{len(wrong)} bans of set {name} were not in force")
        self._found(DriftKind.ELEMENT_ADDED, added, f"{added} elements of set {name} are foreign")

    def _is_due(self, ban: Ban, now_s: float) -> bool:
        """Whether a ban that was suspected to be wrong in the kernel is still the one that should be there."""
        is_same = self._in_force.get(ban.network, ban.strength) is ban
        return is_same and ban.until_s > now_s + ENDING_S and not self._table.is_doubtful(ban.network, ban.strength)

    def _is_ours(self, network: Network, strength: Strength) -> bool:
        """Whether the element of an address is that of a ban, or of one that is still being lifted."""
        ban = self._in_force.get(network, strength)
        return (ban is not None and ban.mode is Mode.ENFORCE) or self._table.is_doubtful(network, strength)

    def _is_explained(self, found: Found, strength: Strength, now_s: float) -> bool:
        """Whether a ban of a prefix that is newer than the reading is around an interval, and ends no earlier."""
        first, _, end_s = found
        for ban in self._in_force.covering(host(first)):
            if ban.strength is strength and not (ban.network.is_host or ban.network.ports) and ban.mode is Mode.ENFORCE:
                is_later = end_s is not None and ban.until_s >= end_s
                if is_later or contents.ends_alike(end_s, ban.until_s, now_s):
                    return True
        return False

    def _found(self, kind: DriftKind, count: int, what: str) -> None:
        if count:
            self._table.drifted(Counter({(kind.value, UNKNOWN_AUTHOR): count}), f"{what} (found by comparison)")
