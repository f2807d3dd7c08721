"""A running daemon and what it was configured with: what reload refuses, what a start loses, what is too wide."""

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel
_SOUND = "detectors: {failures: {web: {filter: nginx-auth, files: [/etc/passwd]}}}\n"


def test_a_reload_refuses_what_cannot_run(site: Site) -> None:
    """A misspelt filter is refused with exit code 2 and its place, `status` and `doctor` say so, and what ran runs."""
    site.configure(_SOUND)
    site.daemon.start()
    site.configure(_SOUND.replace("nginx-auth", "nginx-aut"))
    done = site.daemon.run("reload")
    assert done.returncode == 2
    assert "more.yaml:2:38: detectors.failures.web.filter: there is no filter 'nginx-aut'; did you mean" in done.stderr
    (problem,) = site.daemon.ask("status")["problems"]
    assert "an older one is in force since " in problem
    assert "more.yaml:2:38" in problem
    assert [one["detector"] for one in site.daemon.ask("status")["filters"] if one["state"] == "down"] == []
    assert site.daemon.metrics()["nodewarden_config_last_reload_successful"] == 0
    assert site.daemon.metrics()["nodewarden_config_in_force"] == 0
    doctor = site.daemon.run("doctor")
    assert doctor.returncode == 1
    assert "missing         service configuration" in doctor.stdout
    site.configure(_SOUND)
    wait_for(
        lambda: not site.daemon.ask("status")["problems"], "the files to be those in force", lambda: site.daemon.log
    )
    assert site.daemon.metrics()["nodewarden_config_in_force"] == 1


def test_an_allowed_network_ends_bans_by_name_and_all_of_them_is_a_problem(site: Site) -> None:
    """`allow add` says which bans it ended; half of the Internet twice is told by `status`, metric and `doctor`."""
    site.daemon.start()
    assert site.daemon.run("ban", "192.0.2.7", "198.51.100.0/24").returncode == 0
    (answer,) = site.daemon.ask("allow", "add", "192.0.2.0/24")
    assert answer["text"] == "allowed; ended: ban of 192.0.2.7 (manual)"
    assert site.daemon.ask("status")["problems"] == []
    first, second = site.daemon.ask("allow", "add", "0.0.0.0/1", "128.0.0.0/1")
    assert first["text"].startswith("allowed; PROBLEM: 100 % of all IPv4 addresses are on the allowlist")
    assert second["text"].startswith("allowed; ended: ban of 198.51.100.0/24 (manual); PROBLEM: 100 %")
    assert "100 % of all IPv4 addresses" in site.daemon.ask("status")["problems"][0]
    assert site.daemon.metrics()['nodewarden_allowlist_share{family="ipv4"}'] == 1
    assert "missing         protection allowlist" in site.daemon.run("doctor").stdout
    assert site.daemon.run("allow", "remove", "0.0.0.0/1", "128.0.0.0/1").returncode == 0
    assert site.daemon.ask("status")["problems"] == []
