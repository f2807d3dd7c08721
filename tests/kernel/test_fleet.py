"""A small fleet: three real daemons and a real redis-server, through all that `make fleet` shows with ten."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.fleet_attack import TakenOver
from tests.support.fleet_site import ALLOWED, FleetSite, Member

pytestmark = pytest.mark.kernel

_SHARED, _PARDONED, _LOCAL, _REMOTE, _MEANWHILE = (f"198.51.100.{number}" for number in range(1, 6))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FleetSite]:
    """Three nodes with daemons that know each other."""
    with FleetSite(tmp_path, 3, maxretry=1) as site:
        site.start_daemons()
        yield site


def test_a_fleet_shares_forgives_and_survives(site: FleetSite) -> None:
    """One set-up, since daemons take seconds to start: shared, pardoned, cut off, wiped, poisoned."""
    first, second, third = site.members
    first.attacked_by(_SHARED, _PARDONED)
    site.wait_until_all_hold(_SHARED, _PARDONED)
    assert "node-1" in third.daemon.run("why", _SHARED).stdout, "the node whose ban it is"

    done = second.daemon.run("unban", "--fleet", _PARDONED)
    assert done.returncode == 0, done.stderr
    site.wait_until_none_holds(_PARDONED)

    site.cut_off(third)
    first.attacked_by(_REMOTE)
    third.attacked_by(_LOCAL)
    site.wait_until_all_hold(_REMOTE, members=[first, second])
    site.wait_until_all_hold(_LOCAL, _SHARED, members=[third])
    assert not third.holds(_REMOTE)
    site.heal()
    site.wait_until_all_hold(_REMOTE, _LOCAL, _SHARED)

    site.server.kill()
    third.attacked_by(_MEANWHILE)
    site.wait_until_all_hold(_MEANWHILE, _REMOTE, _LOCAL, _SHARED, members=[third])
    site.server.start()
    site.wait_until_all_hold(_MEANWHILE, _REMOTE, _LOCAL, _SHARED)
    wait_for(lambda: site.remembered() == 4, "all owners to publish again", lambda: first.daemon.log)
    site.wait_until_none_holds(_PARDONED)

    third.daemon.stop()
    _poisoned(site, third, [first, second])


def _poisoned(site: FleetSite, culprit: Member, others: list[Member]) -> None:
    """The node that turned against the others is refused by the server, and then by its peers."""
    with TakenOver(site, culprit) as attacker:
        assert all(attacker.is_refused(*command) for command in attacker.forbidden())
        attacker.ban(*ALLOWED[:3])
        wait_for(
            lambda: all(site.has_tripped(one, culprit) for one in others), "the breakers", lambda: others[0].daemon.log
        )
        attacker.ban("198.51.100.200", *(f"198.18.1.{number}" for number in range(200)))
        time.sleep(0.5)
    for one in others:
        assert not one.holds(ALLOWED[0])
        assert not one.holds("198.51.100.200"), "it is only observed from then on"
        assert not one.holds(_MEANWHILE), "what it had banned before is let go"
        assert one.holds(_SHARED, _REMOTE), "bans of others stay"
        assert culprit.name in one.daemon.run("status").stdout
