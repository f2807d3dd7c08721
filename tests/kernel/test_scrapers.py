"""A guard that bans its own Prometheus: reported while it may, prevented where the setting says so; and its health."""

import time
from collections.abc import Callable

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel

_CONFIGURATION = """
metrics: {{listen: '0.0.0.0:9843'}}
bans: {{internal: {{networks: [192.0.2.0/24], connected: false}}, protect: {{scrapers: {}}}}}
"""


def _configure(site: Site, scrapers: str) -> None:
    site.configure(_CONFIGURATION.format(scrapers))


def _ask(site: Site, page: str, *options: str) -> str:
    """Return the status code and what is served, as a client on the wire sees it."""
    url = f"http://{site.node.address4}:9843{page}"
    return site.attacker.run("curl", "-s", "-m", "5", "-w", "%{http_code}", *options, url, check=False).stdout


def _scrape_until(site: Site, noticed: Callable[[], bool]) -> None:
    """Scrape at even intervals, three times and until it was noticed: a busy daemon may see uneven ones at first."""
    due_s = time.monotonic()
    for number in range(20):
        assert _ask(site, "/metrics", "-o", "/dev/null") == "200"
        due_s += 1.2
        time.sleep(max(0.0, due_s - time.monotonic()))
        if number >= 2 and noticed():
            return
    raise AssertionError(f"a client that scrapes was not noticed\n{site.daemon.log}")


def test_who_scrapes_is_protected_or_reported(site: Site) -> None:
    """A stranger that scrapes and is banned: a problem that leaves the guard healthy; then the setting protects it."""
    site.node.nft("insert rule inet firewall input tcp dport 9843 accept\n")
    _configure(site, "internal")
    site.daemon.start()
    assert _ask(site, "/healthz") == _ask(site, "/livez") == "ok\n200"
    assert _ask(site, "/") == "not found; served are /metrics, /healthz, /livez\n404"
    assert _ask(site, "/healthz", "-X", "POST").endswith("405")
    assert _ask(site, "/metrics", "-I").startswith("HTTP/1.1 200 OK\n")
    time.sleep(2)
    address = site.attacker.address4

    def status(key: str) -> str:
        return "\n".join(site.daemon.ask("status")[key])

    _scrape_until(site, lambda: address in status("notices"))
    site.daemon.run("ban", address)  # a scan of a client with recent connections is only observed
    wait_for(lambda: "scraper_banned" in status("problem_kinds"), "a problem", lambda: site.daemon.log)
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_problem{kind="scraper_banned"}'] == metrics['nodewarden_scrapers{state="banned"}'] == 1
    assert site.daemon.ask("why", address)["scraper"]["is_banned"]
    assert "and cannot now" in site.daemon.run("why", address).stdout
    assert f"a client that monitors this node is banned: {address} (manual)" in site.daemon.run("doctor").stdout
    assert site.node.run("curl", "-s", "http://127.0.0.1:9843/healthz").stdout == "ok\n"

    _configure(site, "all")
    assert site.daemon.run("reload").returncode == 0
    wait_for(lambda: not site.in_kernel(address), "the ban to be lifted", lambda: site.daemon.log)
    site.scan()
    wait_for(lambda: site.daemon.metrics()['nodewarden_harm_signs_total{sign="allowlisted"}'], "an alert about it")
    assert (site.banned(), _ask(site, "/livez")) == ([], "ok\n200")
    assert "it scrapes the metrics of this node" in site.daemon.run("why", address).stdout
    assert site.daemon.metrics()['nodewarden_scrapers{state="protected"}'] == 1
