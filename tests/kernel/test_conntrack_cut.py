"""Established connections of a banned network lose their entries of the connection table; nobody else's do."""

import contextlib
import errno
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from monitor.enforcers import netlink_socket
from monitor.enforcers.conntrack.cutter import ConntrackCutter
from monitor.enforcers.conntrack.messages import Direction, list_from
from monitor.enforcers.netlink import NetlinkReply, NetlinkRequest, attribute
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.addresses import parse_address, parse_network
from monitor.model.errors import TemporaryError
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

ACCEPT = """
import socket, sys
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
kept = []
while True: kept.append(s.accept()[0])
"""


def _serve(where: Host, port: int) -> None:
    process = where.start("python3", "-c", ACCEPT, str(port), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Make a node that tracks, forwards and has a NodePort; offender and bystander; a pod behind the node."""
    with Lab("node", "offender", "bystander", "pod", label="cut") as lab:
        node, pod = lab["node"], lab["pod"]
        _serve(node, 80)
        _serve(pod, 8080)
        for where in ("node", "offender", "bystander", "pod"):
            lab[where].run("sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.eth0.send_redirects=0",
                           "net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.eth0.accept_redirects=0")  # fmt: skip
        node.run(
            "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_tcp_loose=0"
        )  # late packets of an earlier test make no entry
        node.nft(
            "table inet firewall {\nchain pre { type nat hook prerouting priority dstnat;\n"
            f"meta nfproto ipv4 tcp dport 30080 dnat ip to {pod.address4}:8080\n}}\n"
            "chain post { type nat hook postrouting priority srcnat;\nct status dnat masquerade\n}\n"
            "chain input { type filter hook input priority 0;\nct state established accept\n}\n}\n"
        )
        for who in ("offender", "bystander"):  # the pod is reached through the node, and answers through it
            lab[who].run("ip", "route", "add", f"{pod.address4}/32", "via", node.address4)
            pod.run("ip", "route", "add", f"{lab[who].address4}/32", "via", node.address4)
        yield lab


@pytest.fixture
def cutter(lab: Lab) -> Iterator[ConntrackCutter]:
    """Make a cutter on the node, whose connection table is empty."""
    lab["node"].run("conntrack", "-F")
    with lab["node"].entered(), contextlib.closing(ConntrackCutter()) as cutter:
        yield cutter


def _sources(node: Host) -> list[str]:
    """List the original source of every entry."""
    listed = [node.run("conntrack", "-L", "-f", family).stdout for family in ("ipv4", "ipv6")]
    return [line.partition("src=")[2].split()[0] for text in listed for line in text.splitlines()]


@contextlib.contextmanager
def _connected(origin: Host, *targets: tuple[str, int]) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        with origin.entered():
            opened = [stack.enter_context(socket.create_connection(target, timeout=2)) for target in targets]
        yield opened


@pytest.mark.parametrize("kind", ["hosts", "hosts in a large table", "prefixes", "hosts of a kernel without filters"])
def test_inbound_forwarded_and_translated_connections_are_cut(lab: Lab, cutter: ConntrackCutter, kind: str) -> None:
    """To the node in both families, through it to a pod, and through a NodePort: all gone; a bystander's all stay."""
    node, offender, bystander, pod = (lab[name] for name in ("node", "offender", "bystander", "pod"))
    targets = [(node.address4, 80), (node.address6, 80), (pod.address4, 8080), (node.address4, 30080)]
    other, theirs, networks = bystander, targets, [offender.address4, offender.address6]
    if kind == "prefixes":
        other, theirs, networks = pod, targets[:2], ["10.88.0.2/31", "fd88::2/127", "203.0.113.0/24"]
    cutter._small_table = 2048 if kind == "hosts" else 0
    cutter._can_filter = kind != "hosts of a kernel without filters"
    with _connected(offender, *targets), _connected(other, *theirs):
        sources = _sources(node)
        assert sources.count(offender.address4) + sources.count(offender.address6) == 4
        assert cutter.cut([parse_network(text) for text in networks]) == 4
        assert not cutter.is_incomplete
        assert sorted(set(_sources(node))) == sorted([other.address4, other.address6])
        assert len(_sources(node)) == len(theirs)
        assert cutter.cut([parse_network(text) for text in networks]) == 0


def test_a_connection_of_ours_to_the_offender_is_cut_too(lab: Lab, cutter: ConntrackCutter) -> None:
    """Where the offender is the one who answers, its address is the source of the replies."""
    node, offender, bystander = (lab[name] for name in ("node", "offender", "bystander"))
    _serve(offender, 8081)
    _serve(bystander, 8081)
    with _connected(node, (offender.address4, 8081), (bystander.address4, 8081)):
        assert cutter.cut([parse_network(offender.address4)]) == 1
        (left,) = node.run("conntrack", "-L").stdout.splitlines()
        assert f"dst={bystander.address4}" in left


def _insert(source: str, number: int, zone: int | None = None) -> NetlinkRequest:
    """Ask for a UDP entry from `source` to the node."""
    ours, theirs = parse_address("10.88.0.1"), parse_address(source)
    near, far = struct.pack(">H", 53), struct.pack(">H", 1024 + number % 60000)

    def tuple_of(kind: int, addresses: Sequence[bytes], ports: Sequence[bytes]) -> bytes:
        ip = b"".join(attribute(n, address) for n, address in enumerate(addresses, 1))
        proto = attribute(1, b"\x11") + b"".join(attribute(n, port) for n, port in enumerate(ports, 2))
        return attribute(kind, attribute(1, ip, nested=True) + attribute(2, proto, nested=True), nested=True)

    body = bytes([2, 0, 0, 0]) + tuple_of(1, (theirs, ours), (far, near)) + tuple_of(2, (ours, theirs), (near, far))
    body += attribute(7, struct.pack(">I", 600))  # CTA_TIMEOUT
    body += attribute(18, struct.pack(">H", zone)) if zone is not None else b""  # CTA_ZONE
    return NetlinkRequest(1 << 8, 0x1 | 0x200 | 0x400, body)


def test_among_fifty_thousand_entries_only_the_right_ones_go(
    lab: Lab, cutter: ConntrackCutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By filter, by listing and by prefix, in another conntrack zone too, with the exact count each time."""
    monkeypatch.setattr("monitor.enforcers.conntrack.cutter._MAX_TIME_S", 60.0)  # the machine may be busy
    node = lab["node"]
    requests = [_insert(f"10.{1 + n % 5}.{n // 5 >> 8 & 255}.{n // 5 & 255}", n) for n in range(50_000)]
    requests += [_insert("192.0.2.1", 1), _insert("192.0.2.1", 2, zone=7)]
    with contextlib.closing(NetlinkSocket()) as link:
        for start in range(0, len(requests), 500):
            assert set(link.query(requests[start : start + 500])) == {0}
    assert cutter.cut([parse_network("192.0.2.1")]) == 2
    assert cutter.cut([parse_network("198.51.100.1")]) == 0
    assert cutter.cut([parse_network(f"10.1.0.{n}") for n in range(100)]) == 100
    assert cutter.cut([parse_network("10.2.0.0/16"), parse_network("10.1.1.0/24")]) == 10_256
    assert not cutter.is_incomplete
    left = 50_000 - 100 - 10_256
    assert int(node.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout) == left
    assert cutter.cut([parse_network("0.0.0.0/0")]) == left


def test_a_listing_that_takes_too_long_stops_and_says_so(
    lab: Lab, cutter: ConntrackCutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on entries holds, what was found is deleted, and the next call goes on."""
    monkeypatch.setattr("monitor.enforcers.conntrack.cutter._MAX_ENTRIES", 10)
    with contextlib.closing(NetlinkSocket()) as link:
        assert set(link.query([_insert("10.1.0.1", n) for n in range(15)])) == {0}
    assert cutter.cut([parse_network("10.1.0.0/16")]) == 10
    assert cutter.is_incomplete
    assert cutter.cut([parse_network("10.1.0.0/16")]) == 5
    assert not cutter.is_incomplete


class _OldKernel(NetlinkSocket):
    """A kernel that refuses filters."""

    def dump(self, request: NetlinkRequest, *, must_be_exact: bool = True) -> Iterator[NetlinkReply]:
        """Refuse what has one."""
        if request in [list_from(parse_address("10.1.0.1"), direction) for direction in Direction]:
            raise netlink_socket._error_of(errno.EOPNOTSUPP)
        return super().dump(request, must_be_exact=must_be_exact)


def test_a_kernel_without_filters_is_met_by_a_listing(
    lab: Lab, cutter: ConntrackCutter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first refusal all entries are listed and chosen here, and the filter is not tried again."""
    with contextlib.closing(NetlinkSocket()) as link:
        assert set(link.query([_insert("10.1.0.1", 1), _insert("10.1.0.2", 1)])) == {0}
    monkeypatch.setattr("monitor.enforcers.conntrack.cutter.NetlinkSocket", _OldKernel)
    cutter._small_table = 0
    assert cutter.cut([parse_network("10.1.0.1")]) == 1
    assert not cutter._can_filter
    assert _sources(lab["node"]) == ["10.1.0.2"]


def test_a_kernel_without_conntrack_is_no_error(cutter: ConntrackCutter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut, and the caller can see why."""
    monkeypatch.setattr(NetlinkSocket, "query", lambda self, requests: [errno.EINVAL for _ in requests])
    assert cutter.cut([parse_network("10.1.0.1")]) == 0
    assert not cutter.is_available


def test_other_refusals_are_temporary_and_say_why(cutter: ConntrackCutter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing privilege is named."""

    def refuse(self: NetlinkSocket, requests: Sequence[NetlinkRequest]) -> list[NetlinkReply | int]:
        raise netlink_socket._error_of(errno.EPERM)

    monkeypatch.setattr(NetlinkSocket, "query", refuse)
    with pytest.raises(TemporaryError, match="CAP_NET_ADMIN"):
        cutter.cut([parse_network("10.1.0.1")])
