"""Time to apply a ban on a node with the rules of Kubernetes."""

import contextlib
import time
from collections.abc import Iterator
from statistics import median, quantiles

from bench.kube_rules import RULES_PER_SERVICE, kube_proxy_rules
from bench.peers.libnftables import Libnftables
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.bans.decision import Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.model.addresses import Address, host, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import AllowEntry, Mode
from tests.support.lab import Host, Lab

_SERVICES = (0, 3000, 10_000)
_JUDGED = 3000
_LIMIT_MS = 1.0
_ROUNDS = 3
_BANS = 2000
_PEER_BANS = 200
_EVIDENCE = Evidence(15, 15, 600.0, 0.0, 60.0, "distinct ports", ("22/tcp", "23/tcp", "80/tcp"))


@benchmark(*(f"ban_apply_p99_ms_{services}_services" for services in _SERVICES))
def ban_apply() -> Iterator[Figure]:
    """One ban, from the alert to the kernel's set, on nodes with the rules of 0, 3,000 and 10,000 services (ms, p99).

    A node of the lab has kube-proxy's rules, seven per service. The measured time includes the policy's proposal,
    `NftablesEnforcer.add` of the one ban, in force when the call returns, and its settlement. 2,000 bans per round,
    IPv4 and IPv6 in turn; medians of the 99th percentiles of three rounds. Fails if that at 3,000 services is 1 ms or
    more in all rounds, because a single round may have noise. Peer, in rounds interleaved with ours: libnftables in one
    long-lived context, 200 commands `add element` with one address each, for a set of the same kind.

    Our part of the time does not depend on other rules, but the kernel's does: each commit walks all chains of all
    tables (`nf_tables_commit`, net/netfilter/nf_tables_api.c), here three per service. That takes about 15 ns per
    chain, and ten times as long for the first bans after another program, such as the peer, has replaced the CPU
    caches.
    """
    for services in _SERVICES:
        ours, peers = _rounds(services)
        if services == _JUDGED and min(ours) >= _LIMIT_MS:
            raise BenchmarkError(f"p99 {min(ours):.2f} ms in the best of {_ROUNDS} rounds, {_LIMIT_MS} ms is the limit")
        yield Figure.with_peer(f"ban_apply_p99_ms_{services}_services", median(ours), "ms", median(peers))


def _rounds(services: int) -> tuple[list[float], list[float]]:
    """Return the 99th percentiles of ours and the peer for each round, in milliseconds."""
    ours, peers = [], []
    with Lab("node", label="bench") as lab, contextlib.closing(NftablesEnforcer(max_bans=131_072)) as enforcer:
        node = lab["node"]
        node.nft(kube_proxy_rules(services))
        guard = Guard([AllowEntry(parse_network("10.0.0.0/8"), "pods and services")])
        with node.entered():
            enforcer.setup(guard.networks())
        peer = Libnftables(node)
        for number in range(_ROUNDS):
            took = _ban_s(node, enforcer, guard, number)
            peer_took = peer.add_s(_offenders(number, _PEER_BANS))
            ours.append(_p99_ms(took))
            peers.append(_p99_ms(peer_took))
            progress(
                f"{services} services ({services * RULES_PER_SERVICE} rules), round {number + 1}/{_ROUNDS}: "
                f"first {took[0] * 1e3:.3f} ms, p50 {median(took) * 1e3:.3f}, p99 {ours[-1]:.3f}, "
                f"max {max(took) * 1e3:.3f}; "
                f"libnftables p50 {median(peer_took) * 1e3:.3f}, p99 {peers[-1]:.3f}"
            )
    return ours, peers


def _ban_s(node: Host, enforcer: NftablesEnforcer, guard: Guard, number: int) -> list[float]:
    """Decide and enforce bans one by one; return the time that each took, in seconds."""
    rules = Rules({"port_scan": DetectorPolicy(Mode.ENFORCE, 3600.0)}, bans_per_minute=1_000_000)
    policy = Policy(guard, Ledger(max_bans=131_072), rules)
    took = []
    with node.entered():
        for address in _offenders(number, _BANS):
            now_s = time.time()
            alert = Alert(
                "port_scan",
                now_s,
                address,
                host(address),
                is_alone=True,
                strength=Strength.SPOOFABLE,
                evidence=_EVIDENCE,
            )
            start_s = time.perf_counter()
            draft = policy.draft(now_s)
            policy.propose(draft, alert)
            failures = enforcer.add(draft.changes().new, now_s)
            (decision,) = policy.settle(draft, {}).decisions
            took.append(time.perf_counter() - start_s)
            if decision.verdict is not Verdict.BAN or failures:
                raise BenchmarkError(f"{decision.network} was not banned: {decision.verdict} {failures}")
        if len(enforcer.elements()) != (number + 1) * _BANS:
            raise BenchmarkError("some bans are missing in the kernel")
    return took


def _offenders(number: int, count: int) -> Iterator[Address]:
    """Yield unused addresses, new ones for each round (RFC 2544 and RFC 3849 ranges)."""
    for index in range(count):
        low = f"{index >> 8}.{index & 0xFF}"
        yield parse_address(f"198.{18 + number}.{low}" if index % 2 else f"2001:db8:{number:x}::{index:x}")


def _p99_ms(took_s: list[float]) -> float:
    return quantiles(took_s, n=100, method="inclusive")[98] * 1e3
