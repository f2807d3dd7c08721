"""A million decisions against the allowlist."""

import time
from collections.abc import Iterator

from bench.allow_attack import AllowAttack, Breach
from bench.registry import BenchmarkError, Figure, benchmark, progress
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from tests.support.lab import Lab

_DECISIONS = 1_000_000
_CHUNK = 100_000
_SEED = 20_240_603


@benchmark("allowlist_decisions_survived")
def allowlist_decisions() -> Iterator[Figure]:
    """Decisions that never banned an address of the allowlist (decisions; all of them).

    Input: alerts of both detectors, proven and spoofable, with escalation, repeat offenders and all steps of the prefix
    ladder enabled, and orders of prefixes of any length. Half of all sources are inside, next to or around one of 60
    allowed networks, including the built-in ones. Each ban is compared with the allowlist by address ranges, without
    the code of the guard. After every 100,000 decisions the bans in force are added to the kernel of a node in the lab,
    and its sets are read back and compared in the same way. A breach reports seed and decision. No peer.
    """
    with Lab("node", label="bench") as lab, lab["node"].entered():
        attack = AllowAttack(_SEED, time.time())
        enforcer = NftablesEnforcer(max_bans=attack.max_bans)
        try:
            enforcer.setup(attack.guard.networks())
            while attack.decided < _DECISIONS:
                attack.run(_CHUNK)
                now_s = attack.now_s
                if refused := enforcer.add(list(attack.in_force()), now_s):
                    raise BenchmarkError(f"the kernel refused {len(refused)} bans, the first: {refused[0]}")
                held = [element.network for element in enforcer.elements()]
                attack.check(held)
                progress(f"{attack.decided:,} decisions, {len(held):,} bans in the kernel; {attack.verdicts()}")
                enforcer.remove([(ban.network, ban.strength) for ban in attack.in_force()])
                attack.lift_all()
        except Breach as error:
            raise BenchmarkError(str(error)) from error
        finally:
            enforcer.close()
    yield Figure("allowlist_decisions_survived", attack.decided, "decisions")
