"""A long random walk over bans: whatever happens, kernel and ledger hold what a simple model says."""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.bans_model import faults
from tests.support.bans_walk import walking
from tests.support.lab import Lab

pytestmark = pytest.mark.kernel

_STEPS = 20_000
_CHECK_EVERY = 1000


def test_kernel_and_ledger_follow_the_model(tmp_path: Path) -> None:
    """Orders, ends, lost rulesets, restarts and kills in any order: nobody is banned too long, too short, or wrongly.

    NODEWARDEN_WALK_SEED takes another walk; `make bench` walks a million steps.
    """
    seed = int(os.environ.get("NODEWARDEN_WALK_SEED", "20240602"))
    with Lab("node", label="model") as lab, walking(lab["node"], tmp_path, seed, max_batch=80) as walk:
        walk.run(_STEPS, _CHECK_EVERY)
    assert {"order", "unban", "restart", "kill", "flush ruleset"} <= set(walk.done)


def test_a_later_end_of_a_prefix_outlives_a_kill(tmp_path: Path) -> None:
    """A ban of a prefix that was made longer, but not yet saved when the daemon was killed, keeps its later end."""
    network = parse_network("198.51.100.0/24")
    with Lab("node", label="model") as lab, walking(lab["node"], tmp_path, 1, max_batch=2) as walk:
        stages = walk.stages
        now_s = time.time()
        for bantime_s in (1000.0, 5000.0):
            draft = stages.pipeline.policy.draft(now_s)
            stages.pipeline.policy.order(draft, network, Strength.PROVEN, bantime_s, "test")
            assert [one.failure for one in stages.pipeline.bans.carry_out(draft)] == [""]
            if bantime_s == 1000:
                stages.save()
        stages.kill()
        stages.start()
        assert stages.in_ledger()[network, Strength.PROVEN] == pytest.approx(now_s + 5000, abs=2)


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("numbers", [range(12), (1, 3, 4, 9, 10, 11, 13, 14, 15), (0, 1, 3, 4, 8, 10, 12, 13, 14, 15)])
def test_a_prefix_is_banned_over_others_that_have_ended(numbers: Iterable[int], is_restarted: bool) -> None:
    """The kernel keeps ended intervals until the set changes; they neither refuse nor cut short a wider ban.

    Nor do they after a restart, when nobody remembers them and the kernel does not list them.
    """
    inside = [parse_network(f"2001:db8:0:{number:x}::/64") for number in numbers]
    wide = parse_network("2001:db8::/60")
    with Lab("node", label="model") as lab, lab["node"].entered():
        first, second = NftablesEnforcer(max_bans=100), NftablesEnforcer(max_bans=100)
        with contextlib.closing(first), contextlib.closing(second):
            enforcer = first
            enforcer.setup([])
            now_s = time.time()
            assert enforcer.add([_ban(network, now_s + 0.05) for network in inside], now_s) == []
            time.sleep(1.2 if is_restarted else 0.1)
            if is_restarted:
                enforcer = second
                enforcer.setup([])
            assert enforcer.add([_ban(wide, now_s + 1000)], time.time()) == []
            assert [element.network for element in enforcer.elements()] == [wide]


def _ban(network: Network, until_s: float) -> Ban:
    return Ban(network, Strength.PROVEN, 0, until_s, "test", "test")


def test_the_comparison_sees_what_is_wrong() -> None:
    """A missing, an additional, a shortened and a half covered ban are each found; split prefixes are none."""
    one, wide, low, high = map(parse_network, ("192.0.2.1", "198.51.100.0/24", "198.51.100.0/25", "198.51.100.128/25"))
    proven = Strength.PROVEN
    assert faults({(one, proven): 100.0}, {}, 0.0)
    assert faults({}, {(one, proven): 100.0}, 0.0)
    assert faults({(one, proven): 100.0}, {(one, proven): 90.0}, 0.0)
    assert faults({(one, proven): 100.0}, {(one, Strength.SPOOFABLE): 100.0}, 0.0)
    assert faults({(wide, proven): 100.0}, {(low, proven): 100.0}, 0.0)
    assert faults({(wide, proven): 100.0}, {(low, proven): 100.0, (high, proven): 50.0}, 0.0)
    assert not faults({(wide, proven): 100.0}, {(low, proven): 101.0, (high, proven): 99.0}, 0.0)
    assert not faults({(one, proven): 1.5}, {}, 0.0)
