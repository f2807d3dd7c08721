"""The daemon follows connections: scans that nobody logs are found, and working clients are left alone."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.daemon import wait_for
from tests.support.open_site import OpenSite, connect, serving, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("kind", ["-sS", "-sT"])
def test_a_scan_that_nobody_logs_is_shunned(site: OpenSite, kind: str) -> None:
    """The node refuses the attempts by itself; forgeable as they are, only new connections are refused."""
    site.start()
    site.attacker.run("nmap", "-n", "-Pn", kind, "-T5", "--max-retries", "0", "-p", "100-159", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"))
    answer = site.daemon.ask("why", site.attacker.address4)
    assert len(answer["history"][0]["sample"]) == 15
    assert site.daemon.metrics()["nodewarden_handshakes_incomplete_total"] >= 15


_OBSERVE = (
    "detectors: {port_scan: {mode: observe}, host_sweep: {mode: observe}, half_open: {mode: observe}, "
    "stealth_scan: {mode: observe}, failures: {sshd: {mode: observe}}}\n"
)


def _tables(site: OpenSite) -> str:
    return site.node.run("nft", "list", "tables").stdout


def test_observing_sees_a_scan_without_a_firewall(site: OpenSite) -> None:
    """Nothing else tracks connections; nothing is dropped. What a killed daemon leaves ends with the next one."""
    assert _tables(site) == ""
    site.start(_OBSERVE)
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-159", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"), observed=True)
    with serving(site.node, range(8000, 8001)):
        connect(site.attacker, site.node.address4, 8000)
    dropped = [v for name, v in site.daemon.metrics().items() if name.startswith("nodewarden_set_dropped_packets")]
    assert dropped
    assert not any(dropped)
    assert site.daemon.process
    site.daemon.process.kill()
    site.daemon.process.wait()
    assert "nodewarden" in _tables(site)
    site.daemon.start()
    site.daemon.stop()
    assert _tables(site) == ""
    assert "is removed: nodewarden only observed" in site.daemon.log


def test_connections_that_are_not_tracked_are_a_problem(site: OpenSite) -> None:
    """Another program exempts everything from tracking: what TCP accepts shows that nothing is reported."""
    chains = ("prerouting", "output")
    site.node.nft(
        "table inet raw {\n"
        + "".join(f"chain {name} {{ type filter hook {name} priority -300\n notrack\n }}\n" for name in chains)
        + "}\n"
    )
    site.start()
    with serving(site.node, range(8000, 8001)):
        for _ in range(60):
            connect(site.client, site.node.address4, 8000)
    told = "connection tracking reports nothing, although"
    wait_for(lambda: told in site.daemon.run("status").stdout, told)
    assert site.daemon.metrics()["nodewarden_conntrack_unreported_connections"] >= 50
    site.node.run("nft", "delete", "table", "inet", "raw")
    site.attacker.run("ping", "-c1", site.node.address4)
    wait_for(lambda: told not in site.daemon.run("status").stdout, "the problem to end")


def test_sysctls_that_evidence_depends_on_are_followed(site: OpenSite) -> None:
    """Without events a scan is unseen, which is a problem in status, doctor and metrics until they are back."""
    name = "net.netfilter.nf_conntrack_events"
    site.node.run("sysctl", "-qw", f"{name}=0", "net.netfilter.nf_conntrack_checksum=0")
    site.start()
    status = site.daemon.run("status").stdout
    assert f"PROBLEM: {name} is 0: connection tracking reports nothing" in status
    assert "note: net.netfilter.nf_conntrack_checksum is 0" in status
    doctor = site.daemon.run("doctor")
    assert doctor.returncode == 1
    assert f"needs {name} = 1 or 2: it is 0, so connection tracking reports nothing" in doctor.stdout
    series = f'nodewarden_sysctl_fault{{sysctl="{name}"}}'
    assert site.daemon.metrics()[series] == 1
    site.node.run("sysctl", "-qw", f"{name}=2")
    wait_for(lambda: site.daemon.metrics()[series] == 0, "the value to be read again")
    assert name not in site.daemon.run("status").stdout
    site.node.run("sysctl", "-qw", f"{name}=0")
    wait_for(lambda: f"PROBLEM: {name} is 0" in site.daemon.run("status").stdout, "the change to be reported")


def test_a_sweep_is_shunned(site: OpenSite) -> None:
    """One port on two hundred addresses of the node."""
    site.node.run("ip", "route", "add", "local", "10.99.7.0/24", "dev", "lo")
    site.attacker.run("ip", "route", "add", "10.99.7.0/24", "via", site.node.address4)
    site.start()
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "23", "10.99.7.1-200")
    site.until((site.attacker.address4, "shun", "host_sweep"))


def test_working_clients_are_left_alone(site: OpenSite) -> None:
    """Many connections, at once and one by one, to one port and to forty: none of them is an attempt that failed."""
    site.start()
    with serving(site.node, range(8000, 8040)):
        for port in range(8000, 8040):
            connect(site.client, site.node.address4, port)
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: connect(site.client, site.node.address4, 8000), range(500)))
    site.wait_for_completed(540)
    time.sleep(2.5)  # longer than an attempt may take
    assert site.daemon.metrics()["nodewarden_handshakes_incomplete_total"] == 0
    assert site.bans() == []


def test_a_flood_with_a_tiny_buffer_blames_nobody_who_works(site: OpenSite) -> None:
    """Events are lost and that is said; the client who completes handshakes all the while is not banned."""
    site.start(buffer="64KiB")
    flood = site.attacker.start("hping3", "-q", "--flood", "-S", "-p", "++1", "--rand-source", site.node.address4)
    try:
        wait_for(lambda: int(str(site.source()["lost"])) > 0, "events to be lost", lambda: site.daemon.log)
        with serving(site.node, range(8000, 8001)):
            for _ in range(100):
                connect(site.client, site.node.address4, 8000)
    finally:
        flood.terminate()
        flood.wait()
    assert site.client.address4 not in [network for network, _, _ in site.bans()]
    assert site.source()["state"] == "up"
    told = "connection events are lost"
    wait_for(lambda: told in site.daemon.run("status").stdout, told)
    resyncs = 'nodewarden_source_resyncs_total{source="conntrack"}'
    wait_for(lambda: site.daemon.metrics()[resyncs] >= 1, "a list", lambda: str(site.source()), 30)


def test_the_table_is_watched(site: OpenSite) -> None:
    """Its size and limit and what happened to it are metrics."""
    site.start()
    metrics = site.daemon.metrics()
    assert metrics["nodewarden_conntrack_entries_limit"] > metrics["nodewarden_conntrack_entries"] >= 0
    assert 'nodewarden_conntrack_table_total{event="early_drop"}' in metrics


def test_switched_off_it_is_not_read(site: OpenSite) -> None:
    """It can be switched off by a reload; then `status` names the detectors that find nothing without it."""
    site.start()
    assert site.source()["state"] == "up"
    assert not any("find nothing" in notice for notice in site.daemon.ask("status")["notices"])
    site.daemon.configure("sources: {kernel_log: {enabled: false}, conntrack: {enabled: false}}\n")
    assert site.daemon.run("reload").returncode == 0
    assert site.source()["state"] == "off"
    starved = [notice for notice in site.daemon.ask("status")["notices"] if "find nothing" in notice]
    assert [notice.split(" find nothing: ")[1] for notice in starved] == [
        "sources.kernel_log.enabled is off and sources.conntrack.enabled is off",
        "sources.conntrack.enabled is off",
    ]
