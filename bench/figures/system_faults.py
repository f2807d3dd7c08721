"""Bans during faults of the daemon and the machine, in five rounds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark, progress
from tests.support.faults import FAULTS
from tests.support.installed import install
from tests.support.lab import Lab
from tests.support.node import Node
from tests.support.siege import Losses, Siege

_ROUNDS = 5


@benchmark("system_bans_lost", "system_bans_doubled", "system_packets_leaked")
def system_faults() -> Iterator[Figure]:
    """Lost bans, duplicate bans, and packets of a banned source that passed, over all faults and five rounds.

    Each fault of `tests.support.faults` (restart, stop, reload, reload of a faulty configuration, kill -9, a stuck
    loop, a reboot, a full disk, a jumping clock, a rotating journal) is applied to nodewarden, installed in a booted
    Debian 12, with 200 bans, while one banned source sends 500 packets per second. A ban is lost if it is missing
    afterwards in the daemon's list or the kernel's sets, and duplicate if one of them has it twice; packets are counted
    by a separate table directly after nodewarden's first chain. All three figures must be 0, otherwise the benchmark
    fails. No peer.
    """
    total = {"lost": 0, "doubled": 0, "passed": 0}
    with (
        tempfile.TemporaryDirectory(prefix="nw-bench-") as directory,
        Lab("node", "attacker", "neighbour", label="bench") as lab,
        Node(lab, install(Path(directory) / "layer")) as node,
    ):
        for number in range(_ROUNDS):
            for name, fault in FAULTS.items():
                with Siege(node, seed=number) as siege:
                    fault(node, siege)
                    losses = siege.losses()
                progress(f"round {number + 1}, {name}: {losses.lost}, {losses.doubled}, {losses.passed}")
                _add(total, losses)
    if any(total.values()):
        raise BenchmarkError(f"bans were lost, duplicated or leaked: {total}")
    yield Figure("system_bans_lost", total["lost"], "bans")
    yield Figure("system_bans_doubled", total["doubled"], "bans")
    yield Figure("system_packets_leaked", total["passed"], "packets")


def _add(total: dict[str, int], losses: Losses) -> None:
    for key in total:
        total[key] += getattr(losses, key)
