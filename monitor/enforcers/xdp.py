"""Keeps the bans of the XDP program equal to the `ban` sets of nftables; it drops only what those drop too."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from monitor.ebpf.xdp import XdpProgram
from monitor.enforcers.protocol import Enforcer, Failure, InForce, Stopped
from monitor.model.addresses import Network, collapse
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Held, Mode
from monitor.model.errors import TemporaryError
from monitor.model.parts import in_parts

_log = logging.getLogger(__name__)
_AT_ONCE = 5000
"""Bans that are copied before the loop runs other tasks."""


class XdpEnforcer(Enforcer):
    """A following enforcer: a ban that does not fit here is still in force in nftables.

    The runner of its source loads and attaches the program, and calls `take` and `release`.
    """

    name = "xdp"

    def __init__(self, in_force: InForce, allowlist: Sequence[Network]) -> None:
        """Start without bans; a program gets those of `in_force`, except for `allowlist`."""
        self._in_force = in_force
        self._allowlist = allowlist
        self._program: XdpProgram | None = None
        self._copying: asyncio.Task[None] | None = None
        self.generation = 0
        self.on_lost: Callable[[list[Failure]], None] = lambda _: None
        self.missing_total = 0
        """The number of bans that did not fit."""
        self._missing: dict[bytes, Ban] = {}
        """Those that are in force in nftables only, by `ban_key`."""
        self.reload: Callable[[], None] = lambda: None
        """Reloads the program: a ban that cannot be removed from it must not stay."""

    @property
    def missing(self) -> int:
        """How many bans in force did not fit into the program that is loaded."""
        now_s = time.time()
        self._missing = {key: ban for key, ban in self._missing.items() if ban.until_s > now_s}
        return len(self._missing)

    def take(self, program: XdpProgram) -> None:
        """Use a program that was just loaded: copy all active bans, then apply changes. Needs a running loop.

        TemporaryError if the allowlist does not fit: such a program has no bans and must not be attached.
        """
        self.generation += 1
        self._missing.clear()
        program.allow(collapse(self._allowlist))
        self._program = program
        self._copying = asyncio.get_running_loop().create_task(self._copy(program))

    def refill(self) -> None:
        """Try again to add what did not fit: bans end, and the kernel may have lacked memory for a moment only."""
        if self._program:
            waiting = [ban for ban in self._missing.values() if self._in_force.get(ban.network, ban.strength) is ban]
            self._missing = {ban.key: ban for ban in waiting}
            self._put(self._program, waiting, time.time())

    def release(self) -> None:
        """Stop using the program; it is about to be unloaded."""
        self._program = None
        if self._copying:
            self._copying.cancel()
            self._copying = None

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Add proven bans; one that does not fit is counted but not a failure, because nftables has it."""
        held = [ban for ban in bans if _is_held(ban)]
        if self._program and held:
            self._put(self._program, held, now_s)
        return []

    refresh = add

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:  # noqa: ARG002 - the protocol's
        """Lift proven bans. If that fails the program is reloaded rather than drop packets wrongly."""
        for ban in bans:
            self._missing.pop(ban.key, None)
            if self._program is None or not _is_followed(ban):
                continue
            try:
                self._program.remove(ban.network)
            except TemporaryError as error:
                _log.error("the ban of %s cannot be removed from XDP (%s); reloading the program", ban.network, error)
                self.reload()

    def allow(self, networks: Sequence[Network], now_s: float) -> None:  # noqa: ARG002 - the protocol's
        """Replace the allowlist. If it does not fit, the program is loaded again, which ends and explains its use."""
        self._allowlist = networks
        if self._program:
            try:
                self._program.allow(collapse(networks))
            except TemporaryError as error:
                _log.error("XDP cannot hold the allowlist (%s); loading the program again", error)
                self.reload()

    def counters(self) -> Mapping[str, Stopped]:
        """Return what each of its maps has stopped, by the name of the corresponding set."""
        if self._program is None:
            return {}
        return {name: Stopped(packets, octets) for name, (packets, octets) in self._program.totals().items()}

    def stopped(self, ban: Ban) -> Stopped | None:
        """Return what a ban has stopped here; None if it is not in force here."""
        if self._program is None or not _is_followed(ban):
            return None
        return Stopped(*self._program.stopped(ban.network))

    def held(self, clock: Callable[[], float]) -> Iterator[Held]:
        """Yield the bans of the program; takes time proportional to their number."""
        if self._program:
            for network, left_s in self._program.held().items():
                yield Held(network, Strength.PROVEN, clock() + left_s)

    def flush(self) -> None:
        """Lift all bans."""
        self.reload()

    def close(self) -> None:
        """Release the program."""
        self.release()

    def _put(self, program: XdpProgram, bans: Sequence[Ban], now_s: float) -> None:
        try:
            program.put([(ban.network, ban.until_s) for ban in bans], now_s)
        except TemporaryError as error:
            if not self.missing_total:
                _log.warning("not all bans fit into XDP (%s); nftables has them", error)
            self.missing_total += sum(ban.key not in self._missing for ban in bans)
            self._missing |= {ban.key: ban for ban in bans}
        else:
            for ban in bans if self._missing else ():
                self._missing.pop(ban.key, None)

    async def _copy(self, program: XdpProgram) -> None:
        """Copy active bans, some at a time; changes in the meantime arrive through `add` and `remove`."""
        count = 0
        for part in in_parts([ban for ban in self._in_force.bans() if _is_held(ban)], _AT_ONCE):
            current = [ban for ban in part if self._in_force.get(ban.network, ban.strength) is ban]
            self._put(program, current, time.time())
            count += len(current)
            await asyncio.sleep(0)
        shown = ", ".join(f"{interface} ({mode})" for interface, mode in program.modes.items())
        _log.info("XDP drops on %s: %d bans", shown or "no interface", count)


def _is_held(ban: Ban) -> bool:
    """Whether a ban is in one of the `ban` sets: the others let some packets through, by connection tracking."""
    return ban.mode is Mode.ENFORCE and _is_followed(ban)


def _is_followed(ban: Ban) -> bool:
    """Whether it drops every packet of a source: what is limited to shuns or to ports stays in nftables."""
    return ban.strength is Strength.PROVEN and not ban.network.ports
