"""Bans of some ports only, with real packets: what is addressed to them is dropped, and nothing else."""

import socket
from collections.abc import Iterator

import pytest

from monitor.enforcers.nftables import contents
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.ruleset import PORT_LENGTHS, PORT_SETS
from monitor.enforcers.protocol import FailureCause
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.model.ports import at, pack
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from tests.support.lab import Host, Lab
from tests.support.open_ports import listen, open_ports

pytestmark = pytest.mark.kernel

SSH, WEB, DNS = pack([(PROTOCOL_TCP, 22)]), pack([(PROTOCOL_TCP, 80)]), pack([(PROTOCOL_UDP, 53)])
PROVEN, SPOOFABLE = Strength.PROVEN, Strength.SPOOFABLE
SOURCES = {"10.88.0.2": "4", "10.88.0.0/24": "4", "fd88::2": "6", "fd88::/64": "6", "fd88::/56": "6", "fd88::/48": "6"}


def ban(network: str, ports: bytes, until_s: float = 1000, strength: Strength = PROVEN) -> Ban:
    """Return a ban of some ports of a network, or of all."""
    return Ban(at(parse_network(network), ports), strength, 0, until_s, "test", "test")


class Ports:
    """A node that listens at ports 22 and 80 of TCP, and one who asks."""

    def __init__(self, lab: Lab) -> None:
        self.node: Host = lab["node"]
        self.source: Host = lab["source"]
        self.enforcer = NftablesEnforcer(max_bans=1000)
        with self.node.entered():
            self._listening = listen((22, 80))
            self._listening += [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in (53, 54)]
            for one, port in zip(self._listening[2:], (53, 54), strict=True):
                one.bind(("::", port))
                one.settimeout(0.2)

    def answers(self, family: str) -> set[int]:
        """Return the ports of 22, 80 (TCP), 53 and 54 (UDP) that a packet of the source reaches."""
        address = f"::ffff:{self.node.address4}" if family == "4" else self.node.address6
        found = open_ports(self.source, self.node, family, (22, 80))
        with self.source.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            for port in (53, 54):
                one.sendto(b"x", (address, port))
        for receiver, port in zip(self._listening[2:], (53, 54), strict=True):
            try:
                receiver.recv(1)
                found.add(port)
            except TimeoutError:
                pass
        return found

    def close(self) -> None:
        """Close the sockets."""
        self.enforcer.close()
        for one in self._listening:
            one.close()


@pytest.fixture(scope="module")
def ports() -> Iterator[Ports]:
    """Make one node and one source for all tests of this file."""
    with Lab("node", "source", label="ports") as lab:
        made = Ports(lab)
        with made.node.entered():
            yield made
        made.close()


@pytest.fixture
def enforcer(ports: Ports) -> NftablesEnforcer:
    """Return the enforcer, with an empty table."""
    ports.enforcer.flush()
    ports.enforcer.setup([])
    return ports.enforcer


ALL = {22, 80, 53, 54}


@pytest.mark.parametrize("network", SOURCES)
@pytest.mark.parametrize("strength", [PROVEN, SPOOFABLE])
def test_only_the_banned_port_is_closed(
    ports: Ports, enforcer: NftablesEnforcer, network: str, strength: Strength
) -> None:
    """For addresses and prefixes of every length, of both families: banned, counted, lifted."""
    family = SOURCES[network]
    banned = ban(network, SSH + DNS, strength=strength)
    assert enforcer.add([banned], 0) == []
    assert ports.answers(family) == ALL - {22, 53}
    assert ports.answers("6" if family == "4" else "4") == ALL
    element = enforcer.lookup(banned.network, strength)
    assert element is not None
    assert element.packets >= 2
    assert enforcer.counters()[f"port_{banned.word}{family}"].packets == element.packets
    enforcer.remove([(banned.network, strength)])
    assert ports.answers(family) == ALL
    assert enforcer.lookup(banned.network, strength) is None


def test_bans_of_one_source_have_nothing_to_do_with_each_other(ports: Ports, enforcer: NftablesEnforcer) -> None:
    """Of a ban of all ports and of two of some, and of an address and its prefix, each ends by itself."""
    full, ssh, both, wide = (
        ban("10.88.0.2", b""),
        ban("10.88.0.2", SSH, 500),
        ban("10.88.0.2", SSH + WEB, 900),
        ban("10.88.0.0/24", DNS),
    )
    assert enforcer.add([full, ssh, both, wide], 0) == []
    assert ports.answers("4") == set()
    enforcer.remove([(full.network, PROVEN)])
    assert ports.answers("4") == {54}
    enforcer.remove([(both.network, PROVEN)])
    assert ports.answers("4") == {80, 54}
    element = enforcer.lookup(ssh.network, PROVEN)
    assert element is not None
    assert element.timeout_s == pytest.approx(500, abs=5)
    enforcer.remove([(ssh.network, PROVEN)])
    assert ports.answers("4") == {22, 80, 54}


def test_an_address_of_zeros_is_not_its_prefix(ports: Ports, enforcer: NftablesEnforcer) -> None:
    """A ban of 10.88.0.0 alone concerns nobody else in 10.88.0.0/24, and the allowlist comes first."""
    enforcer.add([ban("10.88.0.0", SSH), ban("fd88::", SSH)], 0)
    assert ports.answers("4") == ports.answers("6") == ALL
    enforcer.add([ban("10.88.0.2", SSH)], 0)
    enforcer.set_allowlist([parse_network("10.88.0.2")])
    assert ports.answers("4") == ALL


def test_an_end_can_be_moved_both_ways_and_counts_go_on(ports: Ports, enforcer: NftablesEnforcer) -> None:
    """A refreshed ban is never interrupted."""
    banned = ban("10.88.0.2", SSH)
    enforcer.add([banned], 0)
    ports.answers("4")
    before = enforcer.lookup(banned.network, PROVEN)
    for until_s in (5000, 100):
        assert enforcer.refresh([ban("10.88.0.2", SSH, until_s)], 0) == []
        after = enforcer.lookup(banned.network, PROVEN)
        assert before is not None
        assert after is not None
        assert after.timeout_s == pytest.approx(until_s, abs=5)
        assert after.packets == before.packets > 0


def test_bans_survive_another_definition_of_the_table(ports: Ports) -> None:
    """A table that is replaced keeps bans of ports with their time; so does a second daemon that sets up the same."""
    first = NftablesEnforcer(max_bans=1000)
    first.flush()
    first.setup([])
    assert first.add([ban("10.88.0.2", SSH), ban("fd88::/64", SSH)], 0) == []
    first.close()
    for max_bans in (1000, 2000):
        second = NftablesEnforcer(max_bans=max_bans)
        second.setup([])
        assert ports.answers("4") == ports.answers("6") == ALL - {22}
        element = second.lookup(at(parse_network("10.88.0.2"), SSH), PROVEN)
        assert element is not None
        assert element.timeout_s == pytest.approx(1000, abs=10)
        assert second.add([ban("10.88.0.2", SSH, 3000)], 0) == []
        second.remove([(at(parse_network("fd88::/64"), SSH), PROVEN)])
        assert ports.answers("6") == ALL
        assert second.add([ban("10.88.0.2", SSH), ban("fd88::/64", SSH)], 0) == []
        second.close()


def test_what_others_delete_is_found(ports: Ports, enforcer: NftablesEnforcer) -> None:
    """A comparison names the bans whose elements are missing or end at another time, and no others."""
    bans = [ban("10.88.0.2", SSH), ban("10.88.0.3", SSH + WEB), ban("10.88.0.0/24", DNS), ban("fd88::/64", SSH)]
    enforcer.add(bans, 0)
    assert contents.read_port_bans(bans, lambda: 0.0) == []
    ports.node.nft("delete element inet nodewarden port_ban4 { 10.88.0.3 . tcp . 80 }\n")
    ports.node.nft("flush set inet nodewarden port_ban6_64\n")
    assert contents.read_port_bans(bans, lambda: 0.0) == [bans[1], bans[3]]
    assert enforcer.refresh([bans[1], bans[3]], 0) == []
    assert contents.read_port_bans(bans, lambda: 0.0) == []


def test_a_length_without_a_set_is_refused(enforcer: NftablesEnforcer) -> None:
    """Every length that detectors and the policy use has a set; another one is refused, never widened."""
    (failed,) = enforcer.add([ban("10.88.0.0/20", SSH), ban("10.88.0.2", SSH)], 0)
    assert (failed.network, failed.cause) == (at(parse_network("10.88.0.0/20"), SSH), FailureCause.OTHER)
    for family, lengths in PORT_LENGTHS.items():
        base = bytes(4) if family == "4" else bytes(16)
        for length in lengths:
            assert enforcer.add([Ban(Network(base, length, SSH), PROVEN, 0, 100, "test", "test")], 0) == []
    assert len(PORT_SETS) == 12


def test_many_at_once(enforcer: NftablesEnforcer) -> None:
    """Thousands of bans, as after a restart, go in and out again."""
    bans = [
        Ban(Network(number.to_bytes(4), 32, SSH + WEB), PROVEN, 0, 1000, "test", "test") for number in range(1, 5001)
    ]
    assert enforcer.add(bans, 0) == []
    assert contents.read_port_bans(bans, lambda: 0.0) == []
    enforcer.remove([(one.network, PROVEN) for one in bans])
    assert contents.read_port_bans(bans[:1], lambda: 0.0) == bans[:1]
