"""The daemon's table in the kernel: created on first use, and created again if it is missing."""

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from monitor.enforcers.nftables.enforcer import NftablesEnforcer, TableMissing
from monitor.enforcers.nftables.faults import TableFaults, of_unknown_outcome
from monitor.enforcers.nftables.foreign import ForeignElements
from monitor.enforcers.nftables.leak_watch import LeakWatch
from monitor.enforcers.nftables.ruleset import Element
from monitor.enforcers.protocol import Failure, FailureCause, InForce, Leader, Stopped, Stored
from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import Action, Ban, Held, Mode
from monitor.model.errors import NodewardenError, TemporaryError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_FOREVER_S = 100 * 365 * 86400.0


class NftablesTable(TableFaults, Leader):
    """The leading enforcer; it creates nothing in the kernel before the first enforced ban, or before it is wanted."""

    name = "nftables"

    def __init__(self, enforcer: NftablesEnforcer, in_force: InForce, allowlist: Sequence[Network]) -> None:
        """Use this enforcer; a new table is filled from `in_force`, its allow sets from `allowlist`."""
        super().__init__()
        self._enforcer = enforcer
        self._in_force = in_force
        self._allowlist = allowlist
        self.on_lost: Callable[[list[Failure]], None] = lambda _: None
        self.is_up = False
        self.is_wanted = False
        """Whether the table should exist: a ban was enforced since it was deleted on purpose, or tracking needs it."""
        self.generation = 0
        """How often the table was set up."""
        self._leak_watch = LeakWatch()
        self._doubtful: set[tuple[Network, Strength]] = set()
        """Bans for which the kernel may differ from `in_force`: `repair` corrects it."""
        self.foreign = ForeignElements(enforcer, in_force, self.is_doubtful, lambda: self.is_up)

    @property
    def needs_repair(self) -> bool:
        """Whether it is missing, or may differ in bans."""
        return super().needs_repair or bool(self._doubtful)

    def exists(self) -> bool:
        """Whether the table exists in the kernel, whichever process created it."""
        return self._enforcer.exists()

    def held(self, clock: Callable[[], float], stored: Stored = MappingProxyType({})) -> Iterator[Held]:
        """Yield the bans in the kernel's sets, from an earlier daemon or added with nft.

        A large set with hardly more than is `stored` is not read. What it has in addition is found by the next
        comparison, and stays as a foreign element until it ends.
        """
        if not self.exists():
            return
        for network, strength, left_s in self._enforcer.ends(stored):
            # An element without a timeout was added by hand: it is listed, and ends when it is unbanned.
            yield Held(network, strength, clock() + (_FOREVER_S if left_s is None else left_s))

    def make(self) -> None:
        """Create or complete the table; bans in it stay."""
        self.is_wanted = True
        self._enforcer.setup(self._allowlist)
        self.note_unanswered(self._enforcer.frame.why_not_refused)
        self.note_fault("allowlist", "")
        self.is_up = True
        self.generation += 1

    def set_up(self, now_s: float) -> None:
        """Create or complete the table and add all bans that should be in force; `on_lost` gets the refused ones."""
        self.make()
        try:
            lost = self.fill([ban for ban in self._in_force.bans() if ban.mode is Mode.ENFORCE], now_s)
        except BaseException:
            self.is_up = False  # a table without its bans counts as missing
            raise
        self.give_up(lost, now_s)

    def fill(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Add bans to the table that was just created; return those that the kernel refused."""
        return self._enforcer.add(bans, now_s)

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Put new bans into force; return those that are not in force."""
        failures = self._writing(lambda: self._enforcer.add(bans, now_s), bans, now_s)
        if unknown := of_unknown_outcome(failures):
            self._doubtful |= unknown
            self._clear_doubts(now_s)
            in_line = {key for key in unknown - self._doubtful if self._is_in_force(*key, now_s)}
            failures = [one for one in failures if (one.network, one.strength) not in in_line]
        return failures

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Give active bans a later expiry; return those that kept the old one."""
        failures = self._writing(lambda: self._enforcer.refresh(bans, now_s), bans, now_s)
        if unknown := of_unknown_outcome(failures):
            self._doubtful |= unknown
            self._clear_doubts(now_s)
        return failures

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift bans; TemporaryError or PermanentError if that fails twice: then `repair` tries again."""
        keys = [(ban.network, ban.strength) for ban in bans if ban.mode is Mode.ENFORCE]
        if keys:
            self._doubtful.update(keys)
            try:
                self._repairing(lambda: self._enforcer.remove(keys), now_s)
            except (NodewardenError, OSError) as error:
                self._note_doubts(str(error))
                raise
            self._doubtful.difference_update(keys)

    def doubt(self, bans: Iterable[Ban]) -> None:
        """Mark bans whose expiry in the kernel may be wrong; `repair` corrects them."""
        self._doubtful.update((ban.network, ban.strength) for ban in bans)

    def give_up(self, failures: list[Failure], now_s: float) -> None:
        """Report active bans that the kernel refused to add again; `repair` corrects those of unknown outcome."""
        if failures:
            self.on_lost(failures)
        if unknown := of_unknown_outcome(failures):
            self._doubtful |= unknown
            self._clear_doubts(now_s)

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Apply a changed allowlist; if that fails for good, it is raised, and `repair` tries again."""
        self._allowlist = networks
        if self.is_up:
            try:
                self._repairing(self._write_allowlist, now_s)
            except (NodewardenError, OSError) as error:
                self._note_former_allowlist(error)
                raise

    def act(self, action: Action, now_s: float) -> None:
        """Drop or refuse what banned sources send, from now on."""
        if self._enforcer.frame.act(action) and self.is_up:
            self._keeping(self.make, now_s)

    def stopped(self, ban: Ban) -> Stopped | None:
        """Return what a ban has stopped; None if it is not in the kernel."""
        element = self.lookup(ban)
        return None if element is None else Stopped(element.packets, element.bytes)

    def lookup(self, ban: Ban) -> Element | None:
        """Return the kernel's element for a ban; None if there is none."""
        return self._reading(lambda: self._enforcer.lookup(ban.network, ban.strength), None)

    def counters(self) -> Mapping[str, Stopped]:
        """Return what each set has stopped; empty without a table."""
        return self._reading(self._enforcer.counters, {})

    def leaks(self) -> Mapping[str, Stopped]:
        """Return how much traffic of banned sources got through, by hook."""
        return self._reading(self._enforcer.leaks, {})

    def leaking(self, now_s: float) -> dict[str, int]:
        """Return how many packets leaked in about the last minute, by hook; a few in transit at a ban do not count.

        Must be called about once a second: it compares with the counters of a minute ago.
        """
        return self._leak_watch.grown(self.leaks(), now_s)

    def leaked(self, network: Network) -> tuple[str, ...]:
        """Return the hooks that packets of this address reached recently although it is banned."""
        return self._reading(lambda: self._enforcer.leaked(network.address), ()) if network.is_host else ()

    @property
    def ports(self) -> Container[int]:
        """The netlink ports of our own changes to the table."""
        return self._enforcer.ports

    def rebuild(self, now_s: float) -> None:
        """Set the table up again from the bans that should be in force; if that fails, `repair` tries again."""
        self.is_up = False
        self.repair(now_s)

    def put_back(self, bans: Sequence[Ban], now_s: float) -> None:
        """Put bans that should be in force back into the kernel; if that fails, `repair` sets the table up again."""

        def write() -> None:
            if any(not (ban.network.is_host or ban.network.ports) for ban in bans):
                self._enforcer.reread_prefixes(now_s)
            self.give_up(self._enforcer.refresh(bans, now_s), now_s)

        self._keeping(write, now_s)

    def put_back_missing(self, bans: Sequence[Ban], now_s: float) -> None:
        """Do the same, faster, for bans that are not in the kernel at all, which of prefixes must be known already."""
        self._keeping(lambda: self.give_up(self._enforcer.add(bans, now_s), now_s), now_s)

    def reallow(self, now_s: float) -> None:
        """Put the allowlist back into the kernel; if that fails, `repair` sets the table up again."""
        self._keeping(self._write_allowlist, now_s)

    def is_doubtful(self, network: Network, strength: Strength) -> bool:
        """Whether the kernel may differ from what should be in force, which `repair` corrects."""
        return (network, strength) in self._doubtful

    @property
    def allowlist(self) -> Sequence[Network]:
        """The networks that always pass."""
        return self._allowlist

    def flush(self) -> None:
        """Delete the table with its content; after an error it is set up again with all bans."""
        self.is_up = False
        self._enforcer.flush()
        self.is_wanted = False
        self._doubtful.clear()
        self.faults.clear()
        self.foreign.forget_all()

    def close(self) -> None:
        """Close the socket; the table and its bans stay."""
        self._enforcer.close()

    def repair(self, now_s: float) -> None:
        """Set the table up again if it should exist and is missing, and correct bans that may differ in the kernel.

        A failure is logged; the next call tries again.
        """
        if self.is_wanted and not self.is_up:
            try:
                is_first = self.generation == 0
                self.set_up(now_s)
                if not is_first:
                    _log.warning("the table inet nodewarden was set up again with all bans")
            except (NodewardenError, OSError) as error:
                self.note_fault("set_up", f"cannot be set up: {error}")
        if self.is_up:
            self.note_fault("set_up", "")
        if self.is_up and "allowlist" in self.faults:
            try:
                self._write_allowlist()
            except (NodewardenError, OSError) as error:
                self.is_up = not isinstance(error, TableMissing)
                self._note_former_allowlist(error)
        self._clear_doubts(now_s)

    def _write_allowlist(self) -> None:
        self._enforcer.set_allowlist(self._allowlist)
        self.note_fault("allowlist", "")

    def _note_former_allowlist(self, error: Exception) -> None:
        self.note_fault("allowlist", f"may have the former allowlist, the new one cannot be written: {error}")

    def _keeping(self, write: Callable[[], None], now_s: float) -> None:
        """Do as `_repairing` does; after an error the table counts as missing, so that `repair` sets it up again."""
        try:
            self._repairing(write, now_s)
        except (NodewardenError, OSError) as error:
            self.is_up = False
            self.note_fault("set_up", f"cannot be changed: {error}")

    def _reading(self, read: Callable[[], _T], nothing: _T) -> _T:
        """Read from the table; return `nothing` if it does not exist."""
        if not self.is_up:
            return nothing
        try:
            return read()
        except TableMissing:
            self.is_up = False
            return nothing

    def _repairing(self, write: Callable[[], None], now_s: float) -> None:
        """Write changes that `in_force` already has; if the table is missing or writing fails, set it up from there."""
        try:
            if not self.is_up:
                self.set_up(now_s)
            write()
        except (TemporaryError, OSError) as error:
            _log.warning("writing to the table inet nodewarden failed (%s); setting it up again", error)
            self.is_up = False
            self.set_up(now_s)
            write()  # the setup does not change bans in the table

    def _writing(self, write: Callable[[], list[Failure]], bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Write changes that `in_force` does not have yet; a missing table is set up first. Returns failures."""
        try:
            if not self.is_up:
                self.set_up(now_s)
            try:
                return write()
            except (TemporaryError, OSError) as error:
                _log.warning("writing to the table inet nodewarden failed (%s); setting it up again", error)
                self.is_up = False
                self.set_up(now_s)
                return write()
        except (NodewardenError, OSError) as error:
            self.is_up = False
            self.note_fault("set_up", f"cannot be changed: {error}")
            return [Failure(ban.network, ban.strength, FailureCause.NO_MEMORY, str(error)) for ban in bans]

    def _is_in_force(self, network: Network, strength: Strength, now_s: float) -> bool:
        ban = self._in_force.get(network, strength)
        return ban is not None and ban.mode is Mode.ENFORCE and ban.until_s > now_s

    def _clear_doubts(self, now_s: float) -> None:
        """Correct bans that may differ in the kernel to those of `in_force`; the next call retries failed ones."""
        if not (self.is_up and self._doubtful):
            return
        held = {key for key in self._doubtful if self._is_in_force(*key, now_s)}
        bans = [ban for key in held if (ban := self._in_force.get(*key))]
        reason = ""
        try:
            self._enforcer.remove(list(self._doubtful - held))
            failures = self._enforcer.refresh(bans, now_s)
        except (NodewardenError, OSError) as error:
            reason = str(error)
        else:
            self._doubtful = {(one.network, one.strength) for one in failures}
            reason = failures[0].reason if failures else ""
        self._note_doubts(reason)

    def _note_doubts(self, reason: str) -> None:
        """Note why bans in the kernel may differ from those that should be in force."""
        count = len(self._doubtful)
        self.note_fault("bans", f"may differ in {count} bans, which could not be corrected: {reason}" if count else "")
