"""The real daemon with the LAPI of Debian 12: decisions in the kernel's sets, a large database, restarts of both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.conftest import Site
from tests.support.crowdsec import LapiServer
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel

MANY = 2000


@pytest.fixture
def lapi(site: Site, tmp_path: Path) -> Iterator[LapiServer]:
    """A LAPI in the node's network namespace."""
    server = LapiServer(tmp_path / "lapi", "ip", "netns", "exec", site.node.namespace)
    server.add_machine("operator", "secret")
    server.add_machine("node", "password of node")
    yield server
    server.stop()


def test_decisions_are_in_force_whatever_restarts(site: Site, lapi: LapiServer, tmp_path: Path) -> None:
    """Thousands are in the kernel, people ban and pardon, LAPI and the daemon may be away, and the end is clean."""
    for name, content in (("key", lapi.add_bouncer("node")), ("password", "password of node")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    lapi.start()
    lapi.stop()
    lapi.fill(MANY)
    lapi.start()
    exchange = (
        f"crowdsec: {{url: '{lapi.url}', bouncer_key_file: {tmp_path}/key, mode: enforce, every: 1s, push: true, "
        f"machine: node, password_file: {tmp_path}/password}}\n"
    )
    site.configure(exchange)
    site.daemon.start()
    wait_for(lambda: held(site) == MANY, "all decisions to be in force", lambda: site.daemon.log)
    assert is_in(site, "shun4", "11.0.7.207")
    lapi.cscli("decisions", "add", "--ip", site.attacker.address4, "--duration", "20m", "--reason", "a person")
    wait_for(lambda: is_in(site, "ban4", site.attacker.address4), "the order of a person", lambda: site.daemon.log)
    told = site.daemon.run("why", site.attacker.address4).stdout
    assert "crowdsec/lapi" in told
    assert "a person (cscli)" in told
    lapi.cscli("decisions", "delete", "--ip", site.attacker.address4)
    wait_for(lambda: not is_in(site, "ban4", site.attacker.address4), "the pardon of a person", lambda: site.daemon.log)

    lapi.stop()
    site.daemon.stop()
    site.daemon.start()
    wait_for(lambda: site.daemon.metrics()['nodewarden_crowdsec_up{task="pull"}'] == 0, "LAPI to be missed")
    assert held(site) == MANY, "LAPI gone, all stays"
    assert "crowdsec" in site.daemon.run("doctor").stdout
    lapi.start()
    lapi.cscli("decisions", "delete", "--ip", "11.0.0.1")
    wait_for(lambda: held(site) == MANY - 1, "what was deleted in the meantime", lambda: site.daemon.log)
    assert any("CrowdSec's LAPI" in one for one in site.daemon.ask("status")["notices"])

    site.configure()
    assert site.daemon.run("reload").returncode == 0
    wait_for(lambda: held(site) == 0, "claims of a LAPI that is no longer asked to end", lambda: site.daemon.log)
    assert "Traceback" not in site.daemon.log


def held(site: Site) -> int:
    """Return how many bans the daemon holds because of LAPI: no other peer is there."""
    bans = 'nodewarden_bans{detector="peer",mode="enforce",'
    return sum(int(value) for series, value in site.daemon.metrics().items() if series.startswith(bans))


def is_in(site: Site, set_name: str, address: str) -> bool:
    """Whether a set of the kernel has an address."""
    words = ("nft", "get", "element", "inet", "nodewarden", set_name, f"{{ {address} }}")
    return site.node.run(*words, check=False).returncode == 0
