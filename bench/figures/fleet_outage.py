"""A fleet whose server vanishes: in a black hole, and killed with all that it remembered."""

import random
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.fleet.watch import KernelWatch
from bench.offenders import percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.model.addresses import Network, parse_network
from tests.support.daemon import wait_for
from tests.support.fleet_site import FleetSite, Member

_NODES = 10
_HOLE_S, _DOWN_S = 60.0, 3.0
_LATENCIES = 100
_TIMEOUT_S = 60.0
_SETTLE_S = 2.0


@benchmark("fleet_heal_s", "fleet_wipe_s", "fleet_lost", "fleet_ban_apply_p99_ms")
def fleet_outage() -> Iterator[Figure]:
    """Take the server away from ten real daemons, ban on all of them, give it back.

    `fleet_heal_s`: the packets of all nodes to and from the server vanish for 60 s (nftables on its host); from the end
    of that to all bans in all kernels. `fleet_wipe_s`: the server is killed, stays away for three seconds and comes
    back empty; from there to all bans in all kernels and on the server. `fleet_lost`: bans that are missing anywhere
    after a minute. `fleet_ban_apply_p99_ms`: during both, from a line in a node's log to the kernel's notification, in
    that node. Peer: a daemon without a fleet on the same switch, in turn with ours.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        FleetSite(Path(directory), _NODES + 1, maxretry=1, per_minute=100_000) as site,
    ):
        alone = site.members.pop()
        site.start(alone, is_member=False)
        site.start_daemons()
        time.sleep(_SETTLE_S)
        outage = _Outage(site, alone)
        heal_s, heal_lost = outage.black_hole()
        wipe_s, wipe_lost = outage.wipe()
        ours, theirs = (percentiles(latencies)[1] for latencies in (outage.ours, outage.theirs))
        yield Figure("fleet_heal_s", heal_s, "s")
        yield Figure("fleet_wipe_s", wipe_s, "s")
        yield Figure("fleet_lost", heal_lost + wipe_lost, "bans")
        yield Figure.with_peer("fleet_ban_apply_p99_ms", ours, "ms", theirs)


class _Outage:
    def __init__(self, site: FleetSite, alone: Member) -> None:
        self._site, self._alone = site, alone
        self._numbers = count(1)
        self._expected: set[Network] = set()
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def black_hole(self) -> tuple[float, int]:
        """Return how long it took until all nodes were equal, and what was lost."""
        self._site.cut_off()
        start_s = time.monotonic()
        self._ban_everywhere()
        self._measure(_LATENCIES)
        time.sleep(max(0.0, start_s + _HOLE_S - time.monotonic()))
        self._site.heal()
        return self._equal("60 s of black hole")

    def wipe(self) -> tuple[float, int]:
        """Return how long it took until nodes and server were equal, and what was lost."""
        self._site.server.kill()
        start_s = time.monotonic()
        self._ban_everywhere()
        self._measure(_LATENCIES)
        time.sleep(max(0.0, start_s + _DOWN_S - time.monotonic()))
        self._site.server.start()
        return self._equal("a kill")

    def _ban_everywhere(self) -> None:
        for one in self._site.members:
            one.attacked_by(address := self._next())
            self._expected.add(parse_network(address))

    def _measure(self, times: int) -> None:
        """Ban on a node of the fleet and on the one without, in turn."""
        pause, member = random.Random(times), self._site.members[0]
        with KernelWatch([member.host]) as ours, KernelWatch([self._alone.host]) as theirs:
            for _ in range(times):
                for one, watch, latencies in ((member, ours, self.ours), (self._alone, theirs, self.theirs)):
                    start_s = one.attacked_by(address := self._next())
                    (end_s,) = watch.wait_for(address, _TIMEOUT_S)
                    latencies.append((end_s - start_s) * 1e3)
                    if one is member:
                        self._expected.add(parse_network(address))
                    time.sleep(pause.uniform(0.01, 0.03))

    def _equal(self, after: str) -> tuple[float, int]:
        start_s = time.monotonic()
        try:
            wait_for(lambda: self._missing() == 0, "equal nodes", timeout_s=_TIMEOUT_S)
        except RuntimeError:
            progress(f"after {after}: {self._missing()} bans are missing")
        took_s, lost = time.monotonic() - start_s, self._missing()
        progress(f"after {after}: equal {took_s:.2f} s later, {len(self._expected)} bans, {lost} lost")
        return took_s, lost

    def _missing(self) -> int:
        """Return how many bans are missing, in kernels and on the server."""
        missing = sum(len(self._expected - one.kernel()) for one in self._site.members)
        return missing + max(0, len(self._expected) - self._site.remembered())

    def _next(self) -> str:
        number = next(self._numbers)
        if number >> 16:
            raise BenchmarkError("too many offenders")
        return f"198.18.{number >> 8}.{number & 255}"
