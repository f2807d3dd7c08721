"""What a recording costs a ban: its latency with the recorder and without."""

from collections.abc import Iterator
from statistics import median

from bench.offenders import attacked_node, measure, percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress

_ROUNDS = 4
_OFFENDERS = 100


@benchmark("record_ban_p50_ms")
def recorded_latency() -> Iterator[Figure]:
    """Latency of a ban while the daemon records (milliseconds), as `ban_latency_p50_ms` measures it.

    "Peer" is the same daemon after `record stop`: rounds of 100 offenders with and without the recorder take turns, so
    that both meet the same machine. Medians of the medians of four rounds each.
    """
    medians: dict[str, list[float]] = {"start": [], "stop": []}
    with attacked_node() as (daemon, attacker, watch):
        for number in range(2 * _ROUNDS):
            action = "start" if number % 2 else "stop"
            if (done := daemon.run("record", action)).returncode:
                raise BenchmarkError(f"record {action}: {done.stderr}")
            medians[action].append(percentiles(measure(attacker, watch, number, _OFFENDERS))[0])
            progress(f"record {action}: p50 {medians[action][-1]:.2f} ms")
    yield Figure.with_peer("record_ban_p50_ms", median(medians["start"]), "ms", median(medians["stop"]))
