"""What bans and shuns do to real packets: three hosts on a switch, one of them forging."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.model.addresses import host, network_of, parse_address
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

ECHO = """
import socket, sys, threading
def serve(c):
    with c:
        while data := c.recv(100): c.sendall(data)
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


def _serve(where: Host, port: int) -> None:
    process = where.start("python3", "-c", ECHO, str(port), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Make node, neighbour, attacker and a pod behind the node's DNAT; node and neighbour echo on port 80."""
    with Lab("node", "neighbour", "attacker", "pod", label="shun") as lab:
        _serve(lab["node"], 80)
        _serve(lab["neighbour"], 80)
        _serve(lab["pod"], 8080)
        yield lab


@pytest.fixture
def enforcer(lab: Lab) -> Iterator[NftablesEnforcer]:
    """Make an empty table on the node."""
    enforcer = NftablesEnforcer(max_bans=1000)
    with lab["node"].entered():
        enforcer.flush()
        enforcer.setup([])
    yield enforcer
    enforcer.flush()
    enforcer.close()


def _ban(address: str, strength: Strength) -> Ban:
    return Ban(host(parse_address(address)), strength, 0, 600, "test", "test")


def _connect(origin: Host, address: str, port: int = 80, timeout_s: float = 0.3) -> socket.socket | None:
    """Connect from a host; None when nothing answers in time."""
    with origin.entered():
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except TimeoutError:
            return None


def _echoes(connection: socket.socket | None) -> bool:
    if connection is None:
        return False
    try:
        connection.sendall(b"hello")
        return connection.recv(100) == b"hello"
    except TimeoutError:
        return False


def _answers(origin: Host, address: str, port: int = 80) -> bool:
    connection = _connect(origin, address, port)
    with connection or socket.socket():
        return _echoes(connection)


@pytest.mark.parametrize("family", ["4", "6"])
def test_shunning_a_neighbour_costs_us_none_of_our_own_connections(
    lab: Lab, enforcer: NftablesEnforcer, family: str
) -> None:
    """Our connections to the shunned address work and new ones from it are refused, in both families."""
    node, neighbour = lab["node"], lab["neighbour"]
    ours, theirs = getattr(node, f"address{family}"), getattr(neighbour, f"address{family}")
    assert _answers(neighbour, ours)
    assert enforcer.add([_ban(theirs, Strength.SPOOFABLE)], 0) == []
    assert _answers(node, theirs)
    assert not _answers(neighbour, ours)
    assert enforcer.counters()[f"shun{family}"].packets > 0
    element = enforcer.lookup(host(parse_address(theirs)), Strength.SPOOFABLE)
    assert element is not None
    assert element.packets == enforcer.counters()[f"shun{family}"].packets
    assert element.bytes > 0


def test_a_forger_cannot_cut_us_off_from_whom_he_forges(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """While a third host floods in the shunned neighbour's name, the flood drops and our fetches still succeed."""
    node, neighbour, attacker = lab["node"], lab["neighbour"], lab["attacker"]
    enforcer.add([_ban(neighbour.address4, Strength.SPOOFABLE)], 0)
    flood = attacker.start("hping3", "-q", "-S", "-p", "80", "-i", "u1000", "-a", neighbour.address4, node.address4)
    deadline = time.monotonic() + 5
    while enforcer.counters()["shun4"].packets < 50:
        assert time.monotonic() < deadline, "the forged packets were not dropped"
        time.sleep(0.02)
    assert all(_answers(node, neighbour.address4) for _ in range(5))
    assert not _answers(neighbour, node.address4)
    flood.terminate()
    flood.wait(5)


@pytest.mark.parametrize("family", ["4", "6"])
def test_an_established_connection_survives_a_shun_and_dies_under_a_ban(
    lab: Lab, enforcer: NftablesEnforcer, family: str
) -> None:
    """Proof decides: what is merely suspected keeps its open connections, what is proven loses them."""
    node, neighbour = lab["node"], lab["neighbour"]
    ours, theirs = getattr(node, f"address{family}"), getattr(neighbour, f"address{family}")
    connection = _connect(neighbour, ours)
    with connection or socket.socket():
        assert _echoes(connection)
        enforcer.add([_ban(theirs, Strength.SPOOFABLE)], 0)
        assert _echoes(connection)
        enforcer.add([_ban(theirs, Strength.PROVEN)], 0)
        assert not _echoes(connection)
    assert enforcer.counters()[f"ban{family}"].packets > 0


SCANS = ("-sS", "-sF", "-sN", "-sX", "-sA", "-sM", "-sW", "-sU")
"""Scan modes of nmap(1) whose answers tell something of a port."""


def _reasons(attacker: Host, target: str, mode: str) -> set[str]:
    """Scan a closed and an open port; return why nmap thinks what it reports."""
    family = "-6" if ":" in target else "-4"
    ports = "9,80" if mode != "-sU" else "9,10"
    options = ("-n", "-Pn", "-T5", "--max-retries", "0", "--host-timeout", "20s", "-p", ports, "-oX", "-")
    listed = attacker.run("nmap", family, mode, *options, target).stdout
    return set(re.findall(r'<state state="[^"]*" reason="([^"]*)"', listed))


@pytest.mark.parametrize("mode", SCANS)
@pytest.mark.parametrize("family", ["4", "6"])
def test_a_shunned_scanner_gets_no_answer_in_any_mode(
    lab: Lab, enforcer: NftablesEnforcer, mode: str, family: str
) -> None:
    """Before the shun closed ports answer; then nothing does, though conntrack calls most of these packets invalid."""
    node, attacker = lab["node"], lab["attacker"]
    target, theirs = getattr(node, f"address{family}"), getattr(attacker, f"address{family}")
    assert _reasons(attacker, target, mode) & {"reset", "port-unreach"}
    enforcer.add([_ban(theirs, Strength.SPOOFABLE)], 0)
    before = enforcer.counters()[f"shun{family}"].packets
    assert _reasons(attacker, target, mode) == {"no-response"}
    assert enforcer.counters()[f"shun{family}"].packets >= before + 2


UNTRACKED = (
    "table inet skip {{ chain {hook} {{ type filter hook {hook} priority raw; ip saddr {address} notrack; }}; }}"
)


def test_a_shun_holds_where_tcp_is_not_tracked(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """Without tracking a first packet is told from an answer by its flags: our connections work, theirs do not."""
    node, neighbour = lab["node"], lab["neighbour"]
    node.nft(UNTRACKED.format(hook="prerouting", address=neighbour.address4))
    node.nft(UNTRACKED.format(hook="output", address=node.address4))
    try:
        assert _answers(neighbour, node.address4)
        enforcer.add([_ban(neighbour.address4, Strength.SPOOFABLE)], 0)
        assert not _answers(neighbour, node.address4)
        for mode in ("-sF", "-sN", "-sX"):
            assert _reasons(neighbour, node.address4, mode) == {"no-response"}
        assert _answers(node, neighbour.address4)
        node.run("ping", "-c1", "-W2", neighbour.address4)
    finally:
        node.nft("delete table inet skip\n")


@pytest.mark.parametrize("family", ["4", "6"])
def test_a_shunned_neighbour_is_still_found_and_may_report_errors(
    lab: Lab, enforcer: NftablesEnforcer, family: str
) -> None:
    """Neighbour discovery, and errors about our own packets, are no new connections: both pass."""
    node, neighbour = lab["node"], lab["neighbour"]
    theirs = getattr(neighbour, f"address{family}")
    enforcer.add([_ban(theirs, Strength.SPOOFABLE)], 0)
    node.run("ip", "neigh", "flush", "dev", "eth0")
    node.run("ping", "-c1", "-W2", theirs)
    kind = socket.AF_INET6 if family == "6" else socket.AF_INET
    with node.entered(), socket.socket(kind, socket.SOCK_DGRAM) as sender:
        sender.settimeout(2)
        sender.connect((theirs, 9))
        sender.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(1)


def test_the_allow_sets_win_over_both(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """An address that somebody put into every set by hand still passes, because the allow sets are asked first."""
    node, neighbour = lab["node"], lab["neighbour"]
    for name in ("ban4", "shun4"):
        node.run("nft", "add", "element", "inet", "nodewarden", name, f"{{ {neighbour.address4} timeout 10m }}")
    assert not _answers(neighbour, node.address4)
    enforcer.set_allowlist([host(parse_address(neighbour.address4))])
    assert _answers(neighbour, node.address4)


def test_a_banned_prefix_covers_its_hosts_and_counts(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """A host inside a banned prefix is dropped, one beside it is not."""
    node, neighbour = lab["node"], lab["neighbour"]
    pair = network_of(parse_address(neighbour.address4), 31)
    with node.entered():
        assert enforcer.add([Ban(pair, Strength.PROVEN, 0, 600, "test", "test")], 0) == []
    assert not _answers(neighbour, node.address4)
    assert _answers(lab["pod"], node.address4)
    assert enforcer.counters()["ban4_nets"].packets > 0
    enforcer.remove([(pair, Strength.PROVEN)])
    assert _answers(neighbour, node.address4)


def test_a_ban_stops_traffic_that_is_forwarded_to_a_pod(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """A NodePort-like DNAT in prerouting comes after us: a ban in input would miss these packets."""
    node, attacker, pod = lab["node"], lab["attacker"], lab["pod"]
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    node.nft(
        "table ip nodeport {\nchain pre { type nat hook prerouting priority dstnat;\n"
        f"tcp dport 30080 dnat to {pod.address4}:8080\n}}\n"
        "chain post { type nat hook postrouting priority srcnat;\nct status dnat masquerade\n}\n}\n"
    )
    assert _answers(attacker, node.address4, 30080)
    enforcer.add([_ban(attacker.address4, Strength.PROVEN)], 0)
    assert not _answers(attacker, node.address4, 30080)
    enforcer.remove([(host(parse_address(attacker.address4)), Strength.PROVEN)])
    assert _answers(attacker, node.address4, 30080)
    enforcer.add([_ban(attacker.address4, Strength.SPOOFABLE)], 0)
    assert not _answers(attacker, node.address4, 30080)
    node.nft("delete table ip nodeport\n")
