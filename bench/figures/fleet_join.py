"""A node that joins a fleet with many bans."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.many_bans import write_bans
from bench.process import memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon, wait_for
from tests.support.fleet_attack import TakenOver
from tests.support.fleet_site import FleetSite, Member

_OWNERS, _EACH = 5, 20_000
_BANS = _OWNERS * _EACH
_TIMEOUT_S = 120.0
_SETTLE_S = 5.0
_ROOM = "  max_bans: 200000\n"
"""Bans of peers take three quarters of it at most: 98,304 by default."""


@benchmark("fleet_join_100k_s", "fleet_join_rss_mb", "fleet_join_slowest_ms")
def fleet_join() -> Iterator[Figure]:
    """Let a node join a fleet in which five nodes have 20,000 live bans each.

    The five nodes are the daemon's own engine without a daemon around it; the sixth is a real daemon, to which a reload
    gives `fleet.url`. `fleet_join_100k_s`: from that command to 100,000 bans in its kernel. `fleet_join_rss_mb`: its
    VmRSS five seconds later, minus that of a daemon without a fleet that has 100,000 bans from its store.
    `fleet_join_slowest_ms`: the slowest answer of the daemon to `status` in the meantime, which waits for the same
    thread as a local ban does. No peer.
    """
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        FleetSite(Path(directory), _OWNERS + 1, others=("alone",), bans=_ROOM) as site,
    ):
        alone_mb = _alone_mb(site, Path(directory) / "alone")
        joiner = site.members[-1]
        site.start(joiner, is_member=False)
        with ExitStack() as stack:
            for number, owner in enumerate(site.members[:-1]):
                _own(stack.enter_context(TakenOver(site, owner)), number)
            wait_for(lambda: site.remembered() == _BANS, "the bans of all owners", timeout_s=_TIMEOUT_S)
            progress(f"the server remembers {_BANS} bans: {memory_mb(site.server.pid, 'VmRSS'):.0f} MB")
            time.sleep(_SETTLE_S)
            took_s, slowest_s = _join(site, joiner)
        time.sleep(_SETTLE_S)
        joined_mb = memory_mb(joiner.daemon.pid, "VmRSS")
        peak_mb = memory_mb(joiner.daemon.pid, "VmHWM")
        progress(f"joined: {joined_mb:.1f} MB, at most {peak_mb:.1f} MB; without a fleet {alone_mb:.1f} MB")
        if len(joiner.kernel()) != _BANS:
            raise BenchmarkError(f"{len(joiner.kernel())} bans are in the kernel, {_BANS} were published")
        yield Figure("fleet_join_100k_s", took_s, "s")
        yield Figure("fleet_join_rss_mb", joined_mb - alone_mb, "MB")
        yield Figure("fleet_join_slowest_ms", slowest_s * 1e3, "ms")


def _own(owner: TakenOver, number: int) -> None:
    owner.ban(*(f"{20 + number}.{index >> 16}.{index >> 8 & 255}.{index & 255}" for index in range(_EACH)))


def _join(site: FleetSite, joiner: Member) -> tuple[float, float]:
    """Return how long joining took, and the slowest answer in the meantime, in seconds."""
    joiner.daemon.configure(site.configuration(joiner))
    start_s, slowest_s, told_s, bans = time.monotonic(), 0.0, 2, 0
    if (done := joiner.daemon.run("reload")).returncode:
        raise BenchmarkError(f"reload: {done.stderr}")
    while True:
        if time.monotonic() - start_s > told_s:
            told_s += 2
            progress(f"{time.monotonic() - start_s:.1f} s: {bans} bans")
        asked_s = time.monotonic()
        bans = _held(joiner.daemon)
        slowest_s = max(slowest_s, time.monotonic() - asked_s)
        if bans >= _BANS:
            return time.monotonic() - start_s, slowest_s
        if asked_s - start_s > _TIMEOUT_S:
            raise BenchmarkError(f"{bans} of {_BANS} bans after {_TIMEOUT_S:.0f} s\n{joiner.daemon.log[-2000:]}")
        time.sleep(0.05)


def _alone_mb(site: FleetSite, directory: Path) -> float:
    """Return the memory of a daemon with as many bans of its own."""
    write_bans(directory / "state", _BANS)
    daemon = Daemon(site.lab["alone"], directory, f"bans:\n{_ROOM}")
    daemon.start()
    wait_for(lambda: _held(daemon) == _BANS, "the restored bans", lambda: daemon.log, _TIMEOUT_S)
    time.sleep(_SETTLE_S)
    rss_mb = memory_mb(daemon.pid, "VmRSS")
    daemon.stop()
    return rss_mb


def _held(daemon: Daemon) -> int:
    """Return how many bans are in force."""
    bans = daemon.ask("status")["bans"]
    return int(bans["ban"] + bans["shun"])
