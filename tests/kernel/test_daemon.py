"""The daemon's life on a real kernel: bans, restarts, reloads, repairs."""

import signal

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel


def test_a_scan_is_shunned_and_explained(site: Site) -> None:
    """A real scan ends in the kernel's shun set; `why` and the metrics tell the same story; the neighbour is free."""
    site.daemon.start()
    site.scan()
    wait_for(site.banned, "a ban", lambda: site.daemon.log)
    assert site.banned() == [site.attacker.address4]
    assert site.in_kernel(site.attacker.address4)
    site.scan()  # the first may have been over before the ban
    answer = site.daemon.ask("why", site.attacker.address4)
    assert [(ban["set"], ban["detector"]) for ban in answer["bans"]] == [("shun", "port_scan")]
    assert answer["bans"][0]["kernel"]["packets"] > 0
    assert len(answer["history"][0]["sample"]) == 15
    assert answer["history"][0]["what"] == "ban"
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_bans{detector="port_scan",mode="enforce",strength="spoofable"}'] == 1
    assert metrics['nodewarden_set_dropped_packets_total{set="shun4"}'] > 0
    assert metrics["nodewarden_ban_latency_seconds_count"] == 1
    assert metrics['nodewarden_detector_alerts_total{detector="port_scan",mode="enforce",strength="spoofable"}'] >= 1
    assert metrics['nodewarden_detector_busiest_ratio{detector="port_scan"}'] == 1
    assert metrics['nodewarden_detector_busiest_ratio{detector="connection_rate"}'] < 1


def test_observing_drops_nothing(site: Site) -> None:
    """With every detector in observe mode the scan is counted as a would-be ban; the table has no bans, and ends."""
    site.configure(
        "detectors: {port_scan: {mode: observe}, host_sweep: {mode: observe}, half_open: {mode: observe}, "
        "stealth_scan: {mode: observe}, "
        "failures: {sshd: {mode: observe}}}"
    )
    site.daemon.start()
    site.scan()
    wait_for(lambda: site.daemon.ask("list", "--observed"), "an observed ban", lambda: site.daemon.log)
    assert site.banned() == []
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_decisions_total{detector="port_scan",verdict="observe"}'] == 1
    assert sum(value for name, value in metrics.items() if name.startswith("nodewarden_set_dropped_packets")) == 0
    site.daemon.stop()
    assert not site.has_table()


def test_bans_outlive_the_daemon(site: Site) -> None:
    """SIGTERM ends it with 0; the ban goes on, the next daemon lists it, and it reads what was logged meanwhile."""
    site.daemon.start()
    site.scan()
    wait_for(site.banned, "a ban", lambda: site.daemon.log)
    assert site.daemon.stop() == 0
    assert site.in_kernel(site.attacker.address4)
    site.scan(site.lab["neighbour"])
    site.daemon.start()
    wait_for(lambda: len(site.banned()) == 2, "the scan during the restart to be seen", lambda: site.daemon.log)
    assert set(site.banned()) == {site.attacker.address4, site.lab["neighbour"].address4}


def test_a_good_reload_takes_hold_and_a_bad_one_changes_nothing(site: Site) -> None:
    """SIGHUP with a typo keeps the old configuration and says where the typo is; with a sound one it takes hold."""
    site.daemon.start()
    site.configure("detectors: {port_scan: {maxrety: 20}}")
    site.daemon.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    wait_for(lambda: site.daemon.ask("status")["problems"], "the refused reload", lambda: site.daemon.log)
    problem = site.daemon.ask("status")["problems"][0]
    assert "more.yaml:2:" in problem
    assert "did you mean maxretry?" in problem
    assert site.daemon.run("reload").returncode == 2
    site.configure("detectors: {port_scan: {maxretry: 20}}")
    assert site.daemon.run("reload").returncode == 0
    status = site.daemon.ask("status")
    assert status["problems"] == []
    thresholds = {detector["name"]: detector["maxretry"] for detector in status["detectors"]}
    assert (thresholds["port_scan"], thresholds["host_sweep"], thresholds["sshd"]) == (20, 10, 5)
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_config_reloads_total{result="failure"}'] == 2
    assert metrics['nodewarden_config_reloads_total{result="success"}'] == 1


def test_an_allowlisted_scanner_is_left_alone(site: Site) -> None:
    """What the configuration allows is not banned by a scan, nor by hand; a reload that allows it lifts its ban."""
    site.configure(f"bans: {{allowlist: [{site.attacker.address4}/32]}}")
    site.daemon.start()
    site.scan()
    metric = 'nodewarden_decisions_total{detector="port_scan",verdict="allowlisted"}'
    wait_for(lambda: site.daemon.metrics()[metric], "the refusal", lambda: site.daemon.log)
    assert site.banned() == []
    done = site.daemon.run("ban", site.attacker.address4)
    assert done.returncode == 1
    assert "is on the allowlist (bans.allowlist in the configuration)" in done.stderr
    neighbour = site.lab["neighbour"].address4
    assert site.daemon.run("ban", neighbour).returncode == 0
    site.configure(f"bans: {{allowlist: [{neighbour}]}}")
    assert site.daemon.run("reload").returncode == 0
    assert site.banned() == []
    assert not site.in_kernel(neighbour)
    assert site.daemon.metrics()['nodewarden_bans_ended_total{cause="allowlisted"}'] == 1


def test_the_allowlist_follows_the_node(site: Site) -> None:
    """A new address, a new default gateway: both protected within moments, in the guard and in the kernel's set."""
    site.daemon.start()
    site.node.run("ip", "addr", "add", "10.88.0.77/24", "dev", "eth0")
    site.node.run("ip", "route", "add", "default", "via", "10.88.0.254")

    def reasons() -> dict[str, str]:
        return {entry["network"]: entry["reason"] for entry in site.daemon.ask("allow", "list")}

    wait_for(lambda: {"10.88.0.77", "10.88.0.254"} <= set(reasons()), "the allowlist to follow")
    assert reasons()["10.88.0.254"] == "a default gateway of this node"
    allowed = site.node.run("nft", "list", "set", "inet", "nodewarden", "allow4").stdout
    assert "10.88.0.77" in allowed
    assert "10.88.0.254" in allowed


def test_a_vanished_table_comes_back_with_its_bans(site: Site) -> None:
    """Somebody flushes the whole ruleset: the next ban brings the table back, earlier bans included."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1", "--for", "10m")
    site.node.run("nft", "flush", "ruleset")
    assert site.daemon.run("ban", "192.0.2.2", "--for", "10m").returncode == 0
    assert site.in_kernel("192.0.2.1")
    assert site.in_kernel("192.0.2.2")
    assert site.daemon.metrics()["nodewarden_table_setups_total"] == 2


def test_flush_ends_every_ban(site: Site) -> None:
    """The daemon's table comes back without bans, for tracking; without the daemon flush leaves no table."""
    site.daemon.start()
    site.daemon.run("ban", "192.0.2.1")
    assert site.daemon.metrics()['nodewarden_set_elements{set="ban4"}'] == 1
    assert site.daemon.ask("flush") == {"ended": 1}
    metrics = site.daemon.metrics()
    assert metrics['nodewarden_bans_ended_total{cause="lifted"}'] == 1
    assert metrics['nodewarden_set_elements{set="ban4"}'] == 0
    assert site.banned() == []
    wait_for(site.has_table, "connections to be tracked again")
    assert not site.in_kernel("192.0.2.1")
    site.daemon.run("ban", "192.0.2.2")
    assert site.in_kernel("192.0.2.2")
    site.daemon.stop()
    assert site.has_table()
    assert site.daemon.run("flush").returncode == 0
    assert not site.has_table()


def test_orders_are_answered_one_by_one(site: Site) -> None:
    """In one command the good are banned and each bad one is refused with a sentence; what is no network stops all."""
    site.daemon.start()
    for unreadable, told in (("nonsense", "not an IP address"), ("192.0.2.9/24", "did you mean 192.0.2.0/24")):
        done = site.daemon.run("ban", "192.0.2.1", unreadable)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
    assert site.banned() == []
    done = site.daemon.run("ban", "192.0.2.1", "127.0.0.1", "2001:db8::/64", "192.0.2.1")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["192.0.2.1: banned", "2001:db8::/64: banned"]
    assert "loopback" in done.stderr
    assert "192.0.2.1: nothing to do" in done.stderr
    assert site.in_kernel("192.0.2.1")
    assert "not banned" in site.daemon.run("unban", "192.0.2.7").stderr
    assert site.daemon.run("unban", "192.0.2.1", "2001:db8::/64").returncode == 0
    assert site.banned() == []
    assert not site.in_kernel("192.0.2.1")
