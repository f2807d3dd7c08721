"""Duration of a scrape, and its effect on the latency of bans."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.many_bans import write_bans
from bench.offenders import Attacker, measure, percentiles
from bench.registry import BenchmarkError, Figure, benchmark, progress
from bench.set_watch import SetWatch
from tests.support.daemon import Daemon, wait_for
from tests.support.everything import everything_on
from tests.support.firewall import counting_only, logging_firewall
from tests.support.lab import Host, Lab

_BANS, _PREFIXES = 100_000, 10_000
_START_S = 60.0
_SCRAPES = 200
_ROUNDS = 4
_OFFENDERS = 100
_LIMIT_MS, _LIMIT_KB = 50.0, 200.0
_MOST_DELAY_MS = 5.0


@benchmark("scrape_ms", "scrape_p99_ms", "scrape_kb", "scraped_ban_p50_ms", "scraped_ban_p99_ms")
def scrape() -> Iterator[Figure]:
    """Scrapes of the daemon with 100,000 bans and all detectors, and the latency of bans during scrapes (ms, kB).

    The real daemon has 90,000 addresses and 10,000 prefixes in the kernel, all detectors of packets, flows, drops and
    senders (including XDP), and one for each built-in filter. `scrape_ms` is the median and `scrape_p99_ms` the 99th
    percentile of 200 consecutive scrapes on one connection, from the request to the last byte of the response, which is
    not compressed; `scrape_kb` is the largest response. Then offenders as in `ban_latency`, alternating without
    scrapes, which is the peer, and with a process that scrapes continuously: medians of the percentiles of each round.
    Fails at 50 ms (median) or 200 kB, or if the median ban is delayed by more than 5 ms.
    """
    prefix = f"nw-bench-{os.getpid()}: "
    with Lab("node", "attacker", label="bench") as lab, tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        host, work = lab["node"], Path(directory)
        log = work / "application.log"
        log.touch()
        host.nft(logging_firewall(prefix))
        write_bans(work / "state", _BANS, prefixes=_PREFIXES)
        daemon = Daemon(host, work, counting_only(prefix) + everything_on(log))
        _start(daemon)
        times_ms, size_kb = _scrapes(host)
        progress(f"{_SCRAPES} scrapes: median {median(times_ms):.1f} ms, max {max(times_ms):.1f} ms, {size_kb:.1f} kB")
        if median(times_ms) >= _LIMIT_MS or size_kb >= _LIMIT_KB:
            raise BenchmarkError(f"a scrape takes {median(times_ms):.1f} ms and {size_kb:.1f} kB")
        alone, beside = _bans(lab, host)
    if beside[0] - alone[0] > _MOST_DELAY_MS:
        raise BenchmarkError(f"scrapes delay the median ban from {alone[0]:.1f} to {beside[0]:.1f} ms")
    p99_ms = percentiles(times_ms)[1]
    yield Figure("scrape_ms", median(times_ms), "ms")
    yield Figure("scrape_p99_ms", p99_ms, "ms")
    yield Figure("scrape_kb", size_kb, "kB")
    yield Figure.with_peer("scraped_ban_p50_ms", beside[0], "ms", alone[0])
    yield Figure.with_peer("scraped_ban_p99_ms", beside[1], "ms", alone[1])


def _start(daemon: Daemon) -> None:
    process = daemon.launch()
    for told in (f"{_BANS} bans are in force", "XDP drops on eth0"):
        wait_for(lambda: told in daemon.log or process.poll() is not None, told, lambda: daemon.log, _START_S)  # noqa: B023
    wait_for(lambda: daemon.run("status").returncode == 0, "the daemon to answer", lambda: daemon.log)


def _scrapes(host: Host) -> tuple[list[float], float]:
    """Return the duration of each scrape in milliseconds, and the size of the largest in kB."""
    done = host.run(sys.executable, "-m", "bench.scraper", str(_SCRAPES))
    times_s, sizes = zip(*(map(float, line.split()) for line in done.stdout.splitlines()), strict=True)
    return [1e3 * took_s for took_s in times_s], max(sizes) / 1e3


def _bans(lab: Lab, host: Host) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the 50th and 99th percentile of the latency of bans without scrapes, and during scrapes."""
    rounds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    attacker = Attacker(lab["attacker"], host)
    with SetWatch(host) as watch:
        for number in range(2 * _ROUNDS):
            is_scraped = bool(number % 2)
            scraper = host.start(sys.executable, "-m", "bench.scraper", "0") if is_scraped else None
            try:
                rounds[is_scraped].append(percentiles(measure(attacker, watch, number, _OFFENDERS)))
            finally:
                if scraper:
                    scraper.terminate()
                    scraper.wait()
            p50_ms, p99_ms = rounds[is_scraped][-1]
            kind = "scraped" if is_scraped else "alone"
            progress(f"round {number + 1}/{2 * _ROUNDS}, {kind}: p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms")
    alone, beside = ([median(ranks) for ranks in zip(*rounds[kind], strict=True)] for kind in (False, True))
    return (alone[0], alone[1]), (beside[0], beside[1])
