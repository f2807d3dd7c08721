"""True offenders in a mixed attack."""

from collections.abc import Iterator

from bench.registry import Figure, benchmark, progress
from tests.soak.runner import run

_DURATION_S = 300.0


@benchmark("soak_found_percent", "soak_ban_p99_ms", "soak_rss_growth_mb")
def soak() -> Iterator[Figure]:
    """Let 120 offenders of six kinds offend within five minutes, in a mixed attack (`tests/soak`, `make soak`).

    Which share was banned; the 99th percentile from the last offence to the kernel's notification of the element; and
    what the daemon's memory grew by in the last three minutes. The noise uses most of the machine's time. No peer.
    """
    outcome = run(_DURATION_S, progress)
    yield Figure("soak_found_percent", outcome.found_percent, "%")
    yield Figure("soak_ban_p99_ms", outcome.ban_p99_ms, "ms")
    yield Figure("soak_rss_growth_mb", outcome.growth_mb, "MB")
