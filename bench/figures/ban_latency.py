"""Latency of a ban."""

from collections.abc import Iterator
from statistics import median

from bench.offenders import attacked_node, measure, percentiles
from bench.registry import Figure, benchmark, progress

_ROUNDS = 3


@benchmark("ban_latency_p50_ms", "ban_latency_p99_ms")
def ban_latency() -> Iterator[Figure]:
    """From the packet that crosses the threshold to the offender in the kernel's set, end to end (milliseconds).

    The real daemon on a node of the lab reads the real /dev/kmsg; 200 offenders per round, IPv4 and IPv6 in turn, each
    with maxretry - 1 probes, then a pause, then the packet that crosses the threshold. The clock (CLOCK_MONOTONIC of
    one thread) starts just before that packet is sent and stops when the kernel's notification of the new element
    arrives. Medians of the percentiles of each round. No peer: fail2ban has no filter for the kernel log.
    """
    rounds = []
    with attacked_node() as (_, attacker, watch):
        for number in range(_ROUNDS):
            rounds.append(measure(attacker, watch, number))
            p50, p99 = percentiles(rounds[-1])
            progress(f"round {number + 1}/{_ROUNDS}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max(rounds[-1]):.2f}")
    p50s, p99s = zip(*map(percentiles, rounds), strict=True)
    yield Figure("ban_latency_p50_ms", median(p50s), "ms")
    yield Figure("ban_latency_p99_ms", median(p99s), "ms")
