"""Destinations that may no longer be called: by the node, by whom it routes for, by hand and by the detector."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.ruleset import SCHEMA
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab
from tests.support.open_site import OpenSite, connect, serving

pytestmark = pytest.mark.kernel

_SERVICE = """
table ip nat4 {
  chain p { type nat hook prerouting priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.88.0.2:8000; }
  chain o { type nat hook output priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 10.88.0.2:8000; }
  chain m { type nat hook postrouting priority 100; ct status dnat masquerade; }; }
"""
_OLDER_BANS = [("192.0.2.1", Strength.PROVEN), ("198.51.100.0/24", Strength.PROVEN), ("fd88::7", Strength.SPOOFABLE)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenSite]:
    """Yield a node that routes for the client (a pod) and has a service in front of the attacker (the world)."""
    with Lab("node", "attacker", "client", label="egress") as lab:
        site = OpenSite(lab, tmp_path)
        site.node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0")
        site.node.run("sysctl", "-qw", "net.ipv4.conf.eth0.send_redirects=0")
        site.node.run("ip", "route", "add", "10.96.0.0/16", "via", site.attacker.address4)
        site.client.run("ip", "route", "add", "10.96.0.0/16", "via", site.node.address4)
        site.client.run("ip", "route", "add", f"{site.attacker.address4}/32", "via", site.node.address4)
        site.attacker.run("ip", "route", "add", f"{site.client.address4}/32", "via", site.node.address4)
        site.node.nft(_SERVICE)
        yield site


def reaches(here: Host, address: str, port: int) -> bool:
    """Whether a TCP connection can be opened."""
    with here.entered():
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(0.5)
        return client.connect_ex((address, port)) == 0


@contextmanager
def enforcing(node: Host) -> Iterator[NftablesEnforcer]:
    """Make an empty table on the node, without a daemon."""
    with node.entered():
        enforcer = NftablesEnforcer(max_bans=1000)
        enforcer.setup([])
        try:
            yield enforcer
        finally:
            enforcer.flush()
            enforcer.close()


def egress_bans(*texts: str) -> list[Ban]:
    """Return egress bans of ten minutes."""
    return [Ban(parse_network(text), Strength.DESTINATION, 0, 600, "test", "test") for text in texts]


@contextmanager
def open_ports(here: Host, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Listen for TCP and receive UDP on port 8000 of an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with here.entered(), ExitStack() as stack:
        server = stack.enter_context(socket.create_server((address, 8000), family=family))
        receiver = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        receiver.bind((address, 8000))
        for one in (server, receiver):
            one.settimeout(0.5)
        yield server, receiver


def asks(here: Host, address: str, receiver: socket.socket) -> bool:
    """Whether a datagram from a new port arrives and its answer comes back."""
    with here.entered():
        client = socket.socket(receiver.family, socket.SOCK_DGRAM)
    with client:
        client.settimeout(0.5)
        try:
            client.sendto(b"question", (address, 8000))
            _, sender = receiver.recvfrom(100)
            receiver.sendto(b"answer", sender)
            return client.recv(100) == b"answer"
        except (PermissionError, TimeoutError):
            return False


@contextmanager
def datagrams(host: Host) -> Iterator[socket.socket]:
    """Receive UDP on port 8000."""
    with host.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind((host.address4, 8000))
        receiver.settimeout(0.5)
        yield receiver


def test_a_banned_destination_cannot_be_called(site: OpenSite) -> None:
    """Not by the node, nor through it, nor by a service's address; it may still call us, and gets answers."""
    site.start()
    node, world, pod = site.node, site.attacker, site.client
    with serving(world, range(8000, 8001)), serving(node, range(8001, 8002)), datagrams(world) as receiver:
        with node.entered():
            before = socket.create_connection((world.address4, 8000), 5)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with before, sender:
            for here in (node, pod):
                assert reaches(here, world.address4, 8000)
                assert reaches(here, "10.96.0.1", 80)
            assert site.daemon.run("ban", "--egress", world.address4).returncode == 0
            assert site.bans() == [(world.address4, "egress", "manual")]
            for here in (node, pod):
                assert not reaches(here, world.address4, 8000)
                assert not reaches(here, "10.96.0.1", 80)
            with pytest.raises(PermissionError):  # what netfilter drops on the way out, the sender is told
                sender.sendto(b"x", (world.address4, 8000))
            with pytest.raises(TimeoutError):
                receiver.recv(1)
            assert reaches(world, node.address4, 8001)
        counts = site.daemon.ask("status")["bans"]
        assert (counts["ban"], counts["shun"], counts["egress"]) == (0, 0, 1)
        assert site.daemon.run("unban", world.address4).returncode == 0
        assert reaches(node, world.address4, 8000)


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("as_prefix", [False, True])
def test_nothing_new_goes_there_and_all_comes_from_there(site: OpenSite, family: str, as_prefix: bool) -> None:
    """TCP and UDP of both families, single addresses and prefixes; each worked before, and does again afterwards."""
    node, world = site.node, site.attacker
    ours, theirs = getattr(node, f"address{family}"), getattr(world, f"address{family}")
    prefix = f"{theirs}/{'31' if family == '4' else '127'}"
    (egress,) = egress_bans(prefix if as_prefix else theirs)
    with open_ports(node, ours) as (_, heard), open_ports(world, theirs) as (_, receiver), enforcing(node) as enforcer:
        assert reaches(node, theirs, 8000)
        assert asks(node, theirs, receiver)
        assert enforcer.add([egress], 0) == []
        assert not reaches(node, theirs, 8000)
        assert not asks(node, theirs, receiver)
        with pytest.raises(TimeoutError):
            receiver.recv(1)
        assert enforcer.counters()[f"egress{family}{'_nets' if as_prefix else ''}"].packets >= 2
        assert reaches(world, ours, 8000)
        assert asks(world, ours, heard)
        enforcer.remove([(egress.network, egress.strength)])
        assert reaches(node, theirs, 8000)
        assert asks(node, theirs, receiver)


@pytest.mark.parametrize("sends_first", ["node", "world"])
def test_open_connections_end_if_they_are_ours(site: OpenSite, sends_first: str) -> None:
    """What the node opened is over, even if the other end goes on first; what the other end opened goes on."""
    site.start()
    node, world = site.node, site.attacker
    with (
        open_ports(world, world.address4) as (far, _),
        open_ports(node, node.address4) as (near, _),
        ExitStack() as stack,
    ):
        with node.entered():
            ours = stack.enter_context(socket.create_connection((world.address4, 8000), 1))
        at_world = stack.enter_context(far.accept()[0])
        with world.entered():
            theirs = stack.enter_context(socket.create_connection((node.address4, 8000), 1))
        at_node = stack.enter_context(near.accept()[0])
        for one in (ours, at_world, theirs, at_node):
            one.settimeout(1)
        ours.sendall(b"before")
        assert at_world.recv(100) == b"before"
        assert site.daemon.run("ban", "--egress", world.address4).returncode == 0
        if sends_first == "world":
            at_world.sendall(b"order")
        ours.sendall(b"answer")
        with pytest.raises(TimeoutError):
            at_world.recv(100)
        for here, there in ((at_node, theirs), (theirs, at_node)):
            here.sendall(b"after")
            assert there.recv(100) == b"after"


def test_a_forwarded_datagram_is_stopped_too(site: OpenSite) -> None:
    """A pod's questions to a banned address end at the node, while others from there to the pod arrive."""
    pod, world = site.client, site.attacker
    with (
        open_ports(world, world.address4) as (_, receiver),
        open_ports(pod, pod.address4) as (_, heard),
        enforcing(site.node) as enforcer,
    ):
        assert asks(pod, world.address4, receiver)
        enforcer.add(egress_bans(world.address4), 0)
        assert not asks(pod, world.address4, receiver)
        assert enforcer.counters()["egress4"].packets >= 1
        assert asks(world, pod.address4, heard)


def test_a_services_address_on_the_node_itself_is_no_way_around(site: OpenSite) -> None:
    """To a packet whose destination was on loopback until it was changed, loopback's exception does not apply."""
    node, world = site.node, site.attacker
    node.run("ip", "address", "add", "10.96.0.1/32", "dev", "lo")
    with open_ports(world, world.address4), open_ports(node, "127.0.0.1"), enforcing(node) as enforcer:
        assert reaches(node, "10.96.0.1", 80)
        enforcer.add(egress_bans(world.address4), 0)
        assert not reaches(node, "10.96.0.1", 80)
        node.run("nft", "add", "element", "inet", "nodewarden", "egress4", "{ 127.0.0.1 timeout 10m }")
        assert reaches(node, "127.0.0.1", 8000)  # by hand, past the guard: loopback itself is always accepted


def test_the_allow_set_wins_over_an_egress_ban(site: OpenSite) -> None:
    """An address that got into both sets past the guard can be called, because the allow set is asked first."""
    node, world = site.node, site.attacker
    with open_ports(world, world.address4), enforcing(node) as enforcer:
        enforcer.add(egress_bans(world.address4), 0)
        assert not reaches(node, world.address4, 8000)
        enforcer.set_allowlist([host(parse_address(world.address4))])
        assert reaches(node, world.address4, 8000)


def test_a_table_of_the_second_schema_is_replaced_with_all_it_held(site: OpenSite) -> None:
    """A version without egress bans left bans, ends and drop counts: all are carried over, and egress bans work."""
    node, world = site.node, site.attacker
    with enforcing(node) as enforcer:
        enforcer.add([Ban(parse_network(text), kind, 0, 600, "test", "test") for text, kind in _OLDER_BANS], 0)
        text = node.run("nft", "list", "table", "inet", "nodewarden").stdout.replace(SCHEMA, "nodewarden schema 2")
        text = re.sub(r"\t(?:set|counter|chain) egress.*?\n\t}\n", "", text, flags=re.DOTALL)
        text = re.sub(r"(counter (?:ban4|leak_input) {\s+packets) 0 bytes 0", r"\1 7 bytes 420", text)
        assert "egress" not in text
        assert text.count("packets 7 bytes 420") == 2
        enforcer.flush()
        node.nft(text)
        assert {(str(network), strength) for network, strength, _ in enforcer.ends()} == set(_OLDER_BANS)
        enforcer.setup([])
        assert {(str(e.network), e.strength) for e in enforcer.elements()} == set(_OLDER_BANS)
        assert all(590 < (element.timeout_s or 0) <= 600 for element in enforcer.elements())
        assert (enforcer.counters()["ban4"], enforcer.leaks()["input"]) == (Stopped(7, 420), Stopped(7, 420))
        with open_ports(world, world.address4):
            assert reaches(node, world.address4, 8000)
            assert enforcer.add(egress_bans(world.address4), 0) == []
            assert not reaches(node, world.address4, 8000)


def test_an_egress_ban_outlives_restart_and_tampering_and_ends_by_itself(site: OpenSite) -> None:
    """It is in force again after a restart, and after somebody deleted the table; when its time is up, it ends."""
    site.start()
    with serving(site.attacker, range(8000, 8001)), open_ports(site.attacker, "fd88::2"):
        assert reaches(site.node, "fd88::2", 8000)
        site.daemon.run("ban", "--egress", "--for", "6s", site.attacker.address4)
        site.daemon.run("ban", "--egress", "fd88::2", "--for", "1h")
        site.daemon.stop()
        assert not reaches(site.node, site.attacker.address4, 8000)
        site.daemon.start()
        assert {word for _, word, _ in site.bans()} == {"egress"}
        site.node.run("nft", "delete", "table", "inet", "nodewarden")
        listing = ("nft", "list", "set", "inet", "nodewarden", "egress6")
        wait_for(
            lambda: "fd88::2" in site.node.run(*listing, check=False).stdout,
            "the table to be put back",
            lambda: site.daemon.log,
        )
        assert not reaches(site.node, "fd88::2", 8000)
        wait_for(lambda: reaches(site.node, site.attacker.address4, 8000), "its end")


def test_what_is_needed_gets_no_egress_ban(site: OpenSite) -> None:
    """The allowlist holds against orders, and for both kinds at once there is no order."""
    site.start("bans: {allowlist: [10.88.0.2]}\n")
    done = site.daemon.run("ban", "--egress", site.attacker.address4)
    assert (done.returncode, "allowlist" in done.stdout + done.stderr) == (1, True)
    assert site.daemon.run("ban", "--egress", "--shun", "192.0.2.1").returncode == 2


def test_a_pod_that_calls_out_is_told_of_and_stopped(site: OpenSite) -> None:
    """First observed, then enforced: the destination is banned for node and pod; approved ones are left alone."""
    approved = "detectors: {egress: {mode: MODE, approved: [10.88.0.1, 10.88.0.9], sources: [10.88.0.3]}}\n"
    site.start(approved.replace("MODE", "observe"))
    site.node.run("ip", "address", "add", "10.88.0.9/32", "dev", "lo")
    site.client.run("ip", "route", "add", "10.88.0.9/32", "via", site.node.address4)
    with serving(site.attacker, range(8000, 8001)), serving(site.node, range(8001, 8002)):
        connect(site.client, site.node.address4, 8001)
        connect(site.attacker, site.node.address4, 8001)
        connect(site.client, site.attacker.address4, 8000)
        site.until((site.attacker.address4, "egress", "egress"), observed=True)
        (event,) = site.daemon.ask("why", site.attacker.address4)["history"]
        assert event["sample"] == [f"{site.client.address4} to tcp/8000"]
        assert site.bans() == []
        site.daemon.stop()
        site.start(approved.replace("MODE", "enforce"))
        connect(site.client, "10.96.0.1", 80)  # behind a service's address
        site.until((site.attacker.address4, "egress", "egress"))
        assert not reaches(site.client, site.attacker.address4, 8000)
        assert not reaches(site.node, site.attacker.address4, 8000)
        assert reaches(site.attacker, site.node.address4, 8001)
    assert site.daemon.metrics()['nodewarden_egress_flows_total{approved="no"}'] >= 1
