"""What a recording costs a ban: its latency with the recorder and without."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.offenders import Attacker, measure, percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from tests.support.daemon import Daemon
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Lab

_ROUNDS = 4
_OFFENDERS = 100


@benchmark("record_ban_p50_ms")
def recorded_latency() -> Iterator[Figure]:
    """Latency of a ban while the daemon records (milliseconds), as `ban_latency_p50_ms` measures it.

    "Peer" is the same daemon after `record stop`: rounds of 100 offenders with and without the recorder take turns, so
    that both meet the same machine. Medians of the medians of four rounds each.
    """
    prefix = f"nw-bench-{os.getpid()}: "
    medians: dict[str, list[float]] = {"start": [], "stop": []}
    with Lab("node", "attacker", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        host = lab["node"]
        host.nft(logging_firewall(prefix))
        budget = "bans: {budget: {bans_per_minute: 1000000}}\n"  # the ban budget must not limit the measurement
        daemon = Daemon(host, Path(directory), counting_only(prefix) + budget)
        daemon.start()
        with SetWatch(host) as watch:
            attacker = Attacker(lab["attacker"], host)
            for number in range(2 * _ROUNDS):
                action = "start" if number % 2 else "stop"
                if (done := daemon.run("record", action)).returncode:
                    raise BenchmarkError(f"record {action}: {done.stderr}")
                medians[action].append(percentiles(measure(attacker, watch, number, _OFFENDERS))[0])
                progress(f"record {action}: p50 {medians[action][-1]:.2f} ms")
    yield Figure.with_peer("record_ban_p50_ms", median(medians["start"]), "ms", median(medians["stop"]))
