"""What comes past the bans is seen: counted by hook, and by address for a while."""

import errno
import socket
from collections.abc import Iterator

import pytest

from monitor.enforcers import netlink
from monitor.enforcers.netlink import NetlinkReply
from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.enforcer import NftablesEnforcer, TableMissing
from monitor.enforcers.nftables.ruleset import BAN_SETS, PORT_COUNTERS, SCHEMA, TABLE
from monitor.enforcers.protocol import Stopped
from monitor.model.addresses import host, network_of, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

NONE = {"input": Stopped(0, 0), "forward": Stopped(0, 0)}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Make a node that forwards to a pod, an offender who reaches the pod through it, and a bystander."""
    with Lab("node", "offender", "bystander", "pod", label="leak") as lab:
        node, pod = lab["node"], lab["pod"]
        for family, forward in (("4", "net.ipv4.ip_forward=1"), ("6", "net.ipv6.conf.all.forwarding=1")):
            node.run("sysctl", "-qw", forward)
            for who in ("offender", "bystander"):
                length = 32 if family == "4" else 128
                lab[who].run("ip", "route", "add", f"{getattr(pod, f'address{family}')}/{length}", "via",
                             getattr(node, f"address{family}"))  # fmt: skip
        for where in lab.hosts:  # everybody is a neighbour, which routers say
            for one in ("all", "eth0"):
                settings = (f"ipv4.conf.{one}.send_redirects", f"ipv4.conf.{one}.accept_redirects",
                            f"ipv6.conf.{one}.accept_redirects")  # fmt: skip
                where.run("sysctl", "-qw", *(f"net.{setting}=0" for setting in settings))
        yield lab


@pytest.fixture
def enforcer(lab: Lab) -> Iterator[NftablesEnforcer]:
    """Make an empty table on the node."""
    with lab["node"].entered():
        enforcer = NftablesEnforcer(max_bans=1000)
        enforcer.flush()
        enforcer.setup([])
        yield enforcer
        enforcer.flush()
        enforcer.close()


def _send(origin: Host, address: str, count: int = 3) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with origin.entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"leak", (address, 9))


def _unguard(node: Host) -> None:
    """Take the drop rules out by hand, as a careless operator would."""
    node.nft("flush chain inet nodewarden ban\nflush chain inet nodewarden shun\n")


@pytest.mark.parametrize("strength", [Strength.PROVEN, Strength.SPOOFABLE])
@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("as_prefix", [False, True])
def test_with_the_rules_gone_each_hook_tells_what_came_through(
    lab: Lab, enforcer: NftablesEnforcer, family: str, strength: Strength, *, as_prefix: bool
) -> None:
    """With the rules in place there is no leak; without them packets to the node and through it are told apart."""
    node, offender, bystander, pod = (lab[name] for name in ("node", "offender", "bystander", "pod"))
    theirs = parse_address(getattr(offender, f"address{family}"))
    network = network_of(theirs, len(theirs) * 8 - 1) if as_prefix else host(theirs)
    to_node, to_pod = getattr(node, f"address{family}"), getattr(pod, f"address{family}")
    for who in (offender, bystander):  # neighbours are resolved before the ban: those packets are no leak
        who.run("ping", "-c1", "-W2", to_node)
        who.run("ping", "-c3", "-i0.2", "-W2", to_pod)
    node.run("conntrack", "-F")
    ban = Ban(network, strength, 0, 600, "test", "test")
    lone = bystander if not as_prefix else pod
    enforcer.add([ban], 0)
    for who in (offender, lone):
        _send(who, to_node)
        _send(who, to_pod)
    assert enforcer.leaks() == NONE
    assert enforcer.leaked(theirs) == ()
    assert sum(counter.packets for counter in enforcer.counters().values()) >= 6
    _unguard(node)
    # a fresh port each time: a shun, and so its leak, is only about new connections
    for who in (offender, lone):
        _send(who, to_node, count=1)
    assert enforcer.leaks()["input"].packets >= 1
    assert enforcer.leaked(theirs) == ("input",)
    _send(offender, to_pod, count=1)
    assert enforcer.leaks()["forward"].packets >= 1
    assert enforcer.leaked(theirs) == ("input", "forward")
    assert enforcer.leaked(parse_address(getattr(lone, f"address{family}"))) == ()
    assert len(enforcer.counters()) == len((*BAN_SETS, *PORT_COUNTERS))


def test_packets_of_no_connection_leak_as_well(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """A FIN scan of a shunned host is dropped; without the rules it is counted as a leak, by the same condition."""
    node, offender = lab["node"], lab["offender"]
    scan = ("nmap", "-n", "-Pn", "-sF", "-T5", "--max-retries", "0", "-p", "9,10", node.address4)
    enforcer.add([Ban(host(parse_address(offender.address4)), Strength.SPOOFABLE, 0, 600, "test", "test")], 0)
    offender.run(*scan)
    assert enforcer.leaks() == NONE
    _unguard(node)
    offender.run(*scan)
    assert enforcer.leaks()["input"].packets == 2


def test_answers_from_a_shunned_host_are_no_leak(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """A shun lets our own connections be answered: even without its rules, answers are not counted."""
    node, offender = lab["node"], lab["offender"]
    enforcer.add([Ban(host(parse_address(offender.address4)), Strength.SPOOFABLE, 0, 600, "test", "test")], 0)
    _unguard(node)
    node.run("ping", "-c2", "-i0.1", "-W2", offender.address4)
    assert enforcer.leaks() == NONE


def test_what_a_firewall_stops_is_no_leak(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """The leak chains come after the usual filter chains, so what those drop never had an effect."""
    node, offender = lab["node"], lab["offender"]
    enforcer.add([Ban(host(parse_address(offender.address4)), Strength.PROVEN, 0, 600, "test", "test")], 0)
    _unguard(node)
    node.nft(
        f"table inet fw {{ chain i {{ type filter hook input priority 0; ip saddr {offender.address4} drop;\n}}\n}}\n"
    )
    _send(offender, node.address4)
    assert enforcer.leaks() == NONE
    node.nft("delete table inet fw\n")
    _send(offender, node.address4)
    assert enforcer.leaks()["input"].packets >= 3


def test_the_allowlist_is_no_leak_and_leaks_never_drop(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """What is allowed may pass; and what leaks is only counted, so a ping still comes back."""
    node, offender = lab["node"], lab["offender"]
    enforcer.add([Ban(host(parse_address(offender.address4)), Strength.PROVEN, 0, 600, "test", "test")], 0)
    _unguard(node)
    offender.run("ping", "-c1", "-W2", node.address4)
    before = enforcer.leaks()
    assert before["input"].packets >= 1
    enforcer.set_allowlist([parse_network("10.88.0.0/24")])
    offender.run("ping", "-c1", "-W2", node.address4)
    assert enforcer.leaks() == before


def test_a_table_of_the_first_schema_is_replaced_with_its_bans(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """An older version's table lacks leak chains and egress sets: it gets them, and every ban and drop count stays."""
    node = lab["node"]
    enforcer.add([Ban(parse_network(t), Strength.PROVEN, 0, 600, "t", "t") for t in ("192.0.2.1", "10.0.0.0/8")], 0)
    text = node.run("nft", "list", "table", "inet", "nodewarden").stdout
    enforcer.flush()
    text = text.replace(SCHEMA, "nodewarden schema 1")
    for name in ("leak_input", "leak_forward"):
        text = text.replace(f"\tchain {name} {{", f"\tchain old_{name} {{").replace(f'counter name "{name}"', "counter")
    node.nft(text)
    egress = [f"egress{family}{suffix}" for family in "46" for suffix in ("", "_nets")]
    node.nft("".join(f"delete chain inet nodewarden egress_{hook}\n" for hook in ("output", "forward")))
    node.nft("".join(f"delete set inet nodewarden {name}\ndelete counter inet nodewarden {name}\n" for name in egress))
    node.nft("delete chain inet nodewarden old_leak_input\ndelete chain inet nodewarden old_leak_forward\n"
             "delete counter inet nodewarden leak_input\ndelete counter inet nodewarden leak_forward\n")  # fmt: skip
    with pytest.raises(TableMissing):
        enforcer.leaks()
    enforcer.setup([])
    assert enforcer.leaks() == NONE
    assert sorted(str(element.network) for element in enforcer.elements()) == ["10.0.0.0/8", "192.0.2.1"]
    assert SCHEMA in node.run("nft", "list", "table", "inet", "nodewarden").stdout


def test_without_a_table_nothing_leaked(enforcer: NftablesEnforcer) -> None:
    """The counters say that the table is gone; an address is simply not known."""
    enforcer.flush()
    assert enforcer.leaked(parse_address("192.0.2.1")) == ()
    with pytest.raises(TableMissing):
        enforcer.leaks()


def test_what_is_not_there_keeps_no_answer_from_the_others(enforcer: NftablesEnforcer) -> None:
    """Of several objects asked for at once each has its answer, and the socket has none left for the next question."""
    names = ("ban4", "unheard_of", "leak_input")
    link = enforcer._socket()
    for _ in range(2):
        first, second, third = link.ask([messages.get_counter(TABLE, name) for name in names])
        assert isinstance(first, NetlinkReply)
        assert isinstance(third, NetlinkReply)
        assert second == errno.ENOENT
        assert [netlink.decode_counter(one.body)[0] for one in (first, third)] == ["ban4", "leak_input"]
    assert enforcer.leaks() == NONE
    with pytest.raises(BlockingIOError):
        link._socket.recv(1)
