"""Time to restore all bans."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.many_bans import write_bans
from bench.peers import fail2ban
from bench.peers.fail2ban_server import Fail2banServer
from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.daemon import Daemon
from tests.support.lab import Host, Lab

_ROUNDS = 3
_BANS = 100_000
_PREFIXES = 10_000
_PEER_BANS = 2000
_PEER_TIMEOUT_S = 300.0


@benchmark("restore_100k_s", "restart_100k_s")
def restore() -> Iterator[Figure]:
    """Start the daemon with 100,000 bans, without a table (after a reboot) and with one (a restart) (seconds).

    A process on a node of the lab starts the daemon's Service with a store of 45,000 IPv4 and 45,000 IPv6 addresses and
    10,000 IPv6 /64 prefixes. The time is that of `Service.open`: from before opening the store until every ban is in
    the kernel, without the start and imports of Python. For `restart` the table exists with all bans, as when only the
    daemon was stopped: they are in force all the time. All bans must be in ledger and kernel at the end. Medians of
    three rounds. Peer of both, measured once: the server of fail2ban, which restores in the same way after a reboot and
    a restart, with 2,000 bans in its database and its action nftables-allports; its time from start to the first ban in
    the set, plus the time from the first to the last ban times 50, for 100,000: a linear extrapolation.
    """
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        write_bans(Path(directory) / "state", _BANS, prefixes=_PREFIXES)
        daemon = Daemon(lab["node"], Path(directory))
        restores, restarts = [], []
        for number in range(_ROUNDS):
            lab["node"].nft("flush ruleset\n")
            restores.append(_start_s(lab["node"], daemon))
            restarts.append(_start_s(lab["node"], daemon))
            progress(f"round {number + 1}/{_ROUNDS}: restore {restores[-1]:.2f} s, restart {restarts[-1]:.2f} s")
    peer_s = _peer_s() if fail2ban.fetch() else None
    yield Figure.with_peer("restore_100k_s", median(restores), "s", peer_s)
    yield Figure.with_peer("restart_100k_s", median(restarts), "s", peer_s)


def _start_s(host: Host, daemon: Daemon) -> float:
    done = host.run(sys.executable, "-m", "bench.start_run", daemon.configuration_path, timeout_s=120)
    took_s, in_force, held = done.stdout.split()
    if (int(in_force), int(held)) != (_BANS, _BANS):
        raise BenchmarkError(f"{in_force} bans in the ledger, {held} in the kernel, expected {_BANS}\n{done.stderr}")
    return float(took_s)


def _peer_s() -> float:
    """Return the seconds that fail2ban would take for as many bans, extrapolated from 2,000."""
    with Lab("node", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        server = Fail2banServer(lab["node"], Path(directory))
        server.write_bans(_PEER_BANS)
        first_s, last_s = server.restore_s(_PEER_BANS, _PEER_TIMEOUT_S)
    extrapolated_s = first_s + (last_s - first_s) * _BANS / _PEER_BANS
    progress(
        f"fail2ban: first ban in the kernel after {first_s:.2f} s, {_PEER_BANS} after {last_s:.2f} s; "
        f"extrapolated to {_BANS}: {extrapolated_s:.0f} s"
    )
    return extrapolated_s
