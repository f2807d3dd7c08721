"""The audit: time and memory with 12,000 rules, and whether it finds what is open and nothing else."""

import sys
import time
from collections.abc import Iterator

import msgspec

from bench.process import memory_mb
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.audit.findings import Finding
from tests.support.audit_cases import compare, names, read_case
from tests.support.audit_node import audit_node
from tests.support.lab import Host
from tests.support.processes import descendants

_LARGE = "large"
_LIMIT_S, _LIMIT_MB = 5.0, 200.0
_AUDIT = (sys.executable, "-c", "from monitor.cli.main import cli; cli()", "audit", "--json")
_ROUNDS = 3


@benchmark("audit_12k_rules_s", "audit_12k_rules_rss_mb")
def audit_12k_rules() -> Iterator[Figure]:
    """Audit a node with 12,000 rules of kube-proxy: time from start to report, and memory.

    The best of three runs of `nodewarden audit`, and the largest sum of the resident memory of its process and all
    its children, polled every 10 ms. Peer: `nft -j list ruleset` alone, which prints the rules and judges nothing.
    Fails at 5 s or 200 MB.
    """
    with audit_node(read_case(_LARGE)) as node:
        peers = [_measure(node, ("nft", "-j", "list", "ruleset")) for _ in range(_ROUNDS)]
        runs = [_measure(node, _AUDIT) for _ in range(_ROUNDS)]
    spent_s, peak_mb = min(run[0] for run in runs), max(run[1] for run in runs)
    progress(f"{spent_s:.2f} s, {peak_mb:.0f} MB")
    if spent_s >= _LIMIT_S or peak_mb >= _LIMIT_MB:
        raise BenchmarkError(
            f"{spent_s:.1f} s and {peak_mb:.0f} MB, expected less than {_LIMIT_S} s and {_LIMIT_MB} MB"
        )
    yield Figure.with_peer("audit_12k_rules_s", spent_s, "s", min(peer[0] for peer in peers))
    yield Figure.with_peer("audit_12k_rules_rss_mb", peak_mb, "MB", max(peer[1] for peer in peers))


def _measure(node: Host, command: tuple[str, ...]) -> tuple[float, float]:
    """Return how long a command took, in seconds, and the peak of the memory of it and its children, in MB."""
    start_s, peak_mb = time.monotonic(), 0.0
    process = node.start(*command)
    while process.poll() is None:
        peak_mb = max(peak_mb, sum(map(_rss_mb, (process.pid, *descendants(process.pid)))))
        time.sleep(0.01)
    return time.monotonic() - start_s, peak_mb


def _rss_mb(pid: int) -> float:
    try:
        return memory_mb(pid, "VmRSS")
    except (OSError, ValueError, IndexError):  # it ended
        return 0.0


@benchmark("audit_missed", "audit_invented")
def audit_findings() -> Iterator[Figure]:
    """Audit all test rulesets: expected findings that are not there, and findings that nobody expects."""
    missed = invented = 0
    for name in names():
        case = read_case(name)
        with audit_node(case) as node:
            done = node.run(sys.executable, "-m", "tests.support.audit_run", *case.accepted)
        compared = compare(case, msgspec.json.decode(done.stdout, type=list[Finding]))
        missed += len(compared.missed)
        invented += len(compared.invented)
        if str(compared):
            progress(f"{name}\n{compared}")
    yield Figure("audit_missed", missed, "findings")
    yield Figure("audit_invented", invented, "findings")
