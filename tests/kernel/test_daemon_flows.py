"""Real attacks that no firewall logs, each found and named; and what they must not bring about."""

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.packets import syn_frame
from tests.support.daemon import wait_for
from tests.support.lab import Host
from tests.support.open_site import LOG_PREFIX, OpenSite, connect, holding, serving, site

__all__ = ["site"]

pytestmark = pytest.mark.kernel


def flood(host: Host, address: str, *more: str) -> subprocess.Popen[str]:
    """Flood port 8000 with first packets until the returned process is ended."""
    return host.start("hping3", "-q", "--flood", "-S", "-p", "8000", *more, address)


def test_who_floods_is_shunned(site: OpenSite) -> None:
    """One host sends first packets as fast as it can: it is shunned, and that ends the flood for us."""
    site.start()
    with serving(site.node, range(8000, 8001)):
        attack = flood(site.attacker, site.node.address4)
        try:
            site.until((site.attacker.address4, "shun", "half_open"))
        finally:
            attack.terminate()
            attack.wait()
    bans = {name: count for name, count in site.daemon.metrics().items() if name.startswith("nodewarden_bans{")}
    assert not any(count for name, count in bans.items() if 'mode="enforce",strength="proven"' in name)


def test_a_flood_of_forged_sources_bans_nobody_for_good(site: OpenSite) -> None:
    """It is named; no address is in `ban`, and the client's connections go on working."""
    site.start()
    with serving(site.node, range(8000, 8001)):
        attack = flood(site.attacker, site.node.address4, "--rand-source")
        try:
            told = f"mostly to tcp/8000 of {site.node.address4}"
            wait_for(lambda: told in site.daemon.run("status").stdout, told, lambda: site.daemon.log)
            for _ in range(50):
                connect(site.client, site.node.address4, 8000)
        finally:
            attack.terminate()
            attack.wait()
    assert [ban for ban in site.bans() if ban[1] == "ban" or ban[0] == site.client.address4] == []


def test_a_thousand_forged_sources_cost_us_nothing(site: OpenSite) -> None:
    """Scans in the name of a thousand hosts: all may be shunned, none is banned, and one answers us all the same."""
    site.node.run("ip", "route", "add", "10.77.0.0/16", "via", site.client.address4)
    site.client.run("ip", "address", "add", "10.77.0.7/16", "dev", "lo")
    site.start("bans: {budget: {bans_per_minute: 2000}}\n")
    with site.attacker.entered():
        forger = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with forger:
        for number in range(1000):
            source = f"10.77.{number // 250}.{number % 250 + 1}"
            for port in range(100, 120):
                forger.sendto(_syn(source, site.node.address4, port), (site.node.address4, 0))
            time.sleep(0.002)  # a busy machine loses events of a burst; how many it can take is not the point here
    shunned = 'nodewarden_bans{detector="port_scan",mode="enforce",strength="spoofable"}'
    wait_for(lambda: site.daemon.metrics()[shunned] >= 900, "the forged to be shunned", lambda: site.daemon.log, 30)
    bans = site.bans()
    assert {word for _, word, _ in bans} == {"shun"}
    assert ("10.77.0.7", "shun", "port_scan") in bans
    with site.client.entered():
        server = socket.create_server(("10.77.0.7", 8000))
    with server, site.node.entered():
        ours = socket.create_connection(("10.77.0.7", 8000), 5)
        theirs, _ = server.accept()
        with ours, theirs:
            theirs.sendall(b"answer")
            assert ours.recv(10) == b"answer"


def test_a_slow_flood_of_connections_is_found(site: OpenSite) -> None:
    """Many connections held open: observed by default, once; those who hang up count no longer."""
    site.start("detectors: {open_connections: {maxretry: 100}}\n")
    with site.node.entered():
        server = socket.create_server((site.node.address4, 8000), backlog=1000)
    with server:
        for _ in range(3):
            with holding(site.attacker, site.node.address4, 8000, 60):
                pass
        assert site.bans(observed=True) == []
        wait_for(lambda: site.daemon.metrics()["nodewarden_proofs_entries"] > 0, "the handshakes to count")
        with holding(site.attacker, site.node.address4, 8000, 120):
            site.until((site.attacker.address4, "ban", "open_connections"), observed=True)
            assert site.bans() == []
            wait_for(
                lambda: (
                    {"detector": "open_connections", "count": 120, "maxretry": 100}
                    in site.daemon.ask("why", site.attacker.address4)["counting"]
                ),
                "all of its connections to count",
                lambda: site.daemon.log,
            )


def test_slowhttptest_is_found_by_default(site: OpenSite) -> None:
    """A thousand connections whose requests never end: told of once, as of a source that is proven."""
    repository = Path(__file__).parents[2]
    node = site.node
    node.start("env", f"--chdir={repository}", sys.executable, "-m", "tests.support.web_server", node.address4, "8000")
    wait_for(lambda: ":8000 " in node.run("ss", "-Hltn").stdout, "the web server")
    site.start()
    attack = site.attacker.start(
        "slowhttptest", "-H", "-c", "1000", "-r", "250", "-i", "5", "-l", "20", "-u", f"http://{node.address4}:8000/"
    )
    try:
        site.until((site.attacker.address4, "ban", "open_connections"), observed=True)
    finally:
        attack.terminate()
        attack.wait()
    assert site.bans() == []


def test_too_many_connections_are_proof(site: OpenSite) -> None:
    """Handshakes that were completed nobody can have forged: the ban is for everything, and cuts what is open."""
    site.start("detectors: {connection_rate: {mode: enforce, maxretry: 150, findtime: 10s}}\n")
    with serving(site.node, range(8000, 8001)):
        for _ in range(100):
            connect(site.attacker, site.node.address4, 8000)
        time.sleep(2.5)  # until it is known how many of them could have been guessed
        with contextlib.suppress(TimeoutError):  # banned in the middle of them
            for _ in range(100):
                connect(site.attacker, site.node.address4, 8000)
        site.until((site.attacker.address4, "ban", "connection_rate"))
        connect(site.client, site.node.address4, 8000)


def test_a_protected_port_tells_at_the_first_connection(site: OpenSite) -> None:
    """Who is outside the service's networks is told of and not banned; who is inside, or only tried, is not told of."""
    networks = f"[{site.client.address4}]"
    site.start(f"detectors: {{protected_port: {{services: {{etcd: {{networks: {networks}}}}}}}}}\n")
    with serving(site.node, range(2379, 2380)):
        connect(site.client, site.node.address4, 2379)
        with pytest.raises(ConnectionRefusedError):
            connect(site.attacker, site.node.address4, 2380)
        connect(site.attacker, site.node.address4, 2379)
        site.until((site.attacker.address4, "shun", "protected_port"), observed=True)
    assert site.bans() == []
    assert site.alerts() == {"protected_port": 1}
    (event,) = site.daemon.ask("why", site.attacker.address4)["history"]
    assert event["counted"] == "connection to etcd (tcp/2379)"


def test_amplified_answers_are_found(site: OpenSite) -> None:
    """A resolver that answers forty bytes with a thousand: the address that the answers go to is told of."""
    for name, value in (("nf_conntrack_acct", "1"), ("nf_conntrack_udp_timeout", "1")):
        site.node.run("sysctl", "-qw", f"net.netfilter.{name}={value}")
    site.start("detectors: {udp_amplification: {mode: enforce, answered: 50KB}}\n")
    with site.node.entered():
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((site.node.address4, 53))
    with server:
        for _ in range(80):
            with site.attacker.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.sendto(b"?" * 12, (site.node.address4, 53))
                _, back = server.recvfrom(100)
                server.sendto(b"!" * 1000, back)
        time.sleep(1.1)
        site.node.run("conntrack", "-L")  # clears away what is over: the kernel itself takes up to a minute
        site.until((site.attacker.address4, "shun", "udp_amplification"))
    in_bytes = site.daemon.metrics()['nodewarden_flow_bytes_total{direction="in"}']
    assert in_bytes >= 50 * 40


def test_what_the_log_and_connection_tracking_saw_is_one_alert(site: OpenSite) -> None:
    """A firewall logs first packets that closed ports then refuse: one scan, whichever source tells of it first."""
    site.node.nft(
        "table inet f { chain i { type filter hook input priority 0; "
        f'tcp flags syn / syn,ack log prefix "{LOG_PREFIX}"; }}; }}'
    )
    site.start(log=True)
    site.attacker.run("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-p", "100-119", site.node.address4)
    site.until((site.attacker.address4, "shun", "port_scan"))
    seen = 'nodewarden_source_records_total{source="kernel_log"}'
    wait_for(lambda: site.daemon.metrics()[seen] >= 15, "the lines", lambda: site.daemon.log)
    assert site.alerts() == {"port_scan": 1}


def _syn(source: str, destination: str, port: int) -> bytes:
    """Make the first packet of a handshake, in somebody's name, without its Ethernet header."""
    return syn_frame((bytes(6), bytes(6)), socket.inet_aton(source), socket.inet_aton(destination), port)[14:]
