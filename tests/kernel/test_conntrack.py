"""The conntrack source on the real kernel: every connection is told once, losses are seen and made up for."""

import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from monitor.model.addresses import parse_address
from monitor.model.flows import Flow, FlowClosed, FlowEstablished, FlowListed, FlowOpened
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from monitor.sources.conntrack.reader import Conntrack
from monitor.sources.conntrack.running import RunningFlows
from tests.support.daemon import wait_for
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_TRACKING = "table inet watch { chain in { type filter hook input priority 0; ct state established accept; }; }"
_PORT = 8080


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Return a node that tracks connections, and a client."""
    with Lab("node", "client") as lab:
        lab["node"].nft(_TRACKING)
        yield lab


def opened(host: Host, **options: object) -> Conntrack:
    """Open the source on a host."""
    with host.entered():
        return Conntrack(**options)  # type: ignore[arg-type]


def converse(lab: Lab, count: int = 1) -> None:
    """Have the client connect to the node, say something and hang up."""
    with lab["node"].entered():
        server = socket.create_server((lab["node"].address4, _PORT), backlog=count)
    with lab["client"].entered():
        for _ in range(count):
            client = socket.create_connection((lab["node"].address4, _PORT), timeout=5)
            peer, _ = server.accept()
            client.sendall(b"hello")
            assert peer.recv(5) == b"hello"
            client.close()
            peer.close()
    server.close()


def flood(lab: Lab, count: int) -> None:
    """Have the client send a datagram to each of so many ports of the node."""
    with lab["client"].entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(1024, 1024 + count):
        client.sendto(b"x", (lab["node"].address4, port))
    client.close()


def drain(source: Conntrack) -> list[Flow]:
    """Return all that waits."""
    events = source.read()
    while not source.is_drained:
        events += source.read()
    return events


def test_a_connection_is_told_as_it_opens_completes_and_closes(lab: Lab) -> None:
    """Opened by the first packet, established by the handshake, closed when the table forgets it."""
    source = opened(lab["node"])
    converse(lab)
    lab["node"].run("conntrack", "-D", "-p", "tcp")
    told = [event for event in drain(source) if event.protocol == PROTOCOL_TCP]
    kinds = [FlowOpened, FlowEstablished, FlowEstablished, FlowClosed]  # again when it begins to close
    assert [type(event) for event in told] == kinds
    for event in told:
        assert event.source == parse_address(lab["client"].address4)
        assert event.destination == event.real_destination == parse_address(lab["node"].address4)
        assert event.destination_port == _PORT
        assert abs(event.time_s - time.time()) < 5
    assert len({event.id for event in told}) == 1
    source.close()


def test_a_syn_alone_is_no_handshake(lab: Lab) -> None:
    """Refused and unanswered connections open and close; none of them is established."""
    source = opened(lab["node"])
    with lab["client"].entered(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((lab["node"].address4, 9), timeout=5)
    lab["client"].run("hping3", "-q", "-S", "-p", "99", "-c", "3", "-i", "u1000", lab["node"].address4, check=False)
    kinds = [type(event) for event in drain(source) if event.protocol == PROTOCOL_TCP]
    assert kinds.count(FlowOpened) >= 2
    assert FlowEstablished not in kinds
    source.close()


def test_bytes_are_listed_while_a_flow_runs(lab: Lab) -> None:
    """An open connection that has sent three megabytes, and only connections with counters."""
    node, taken, ended = lab["node"], list[Flow](), list[bool]()

    def take(flows: list[Flow], is_end: bool) -> None:
        taken.extend(flows)
        ended.append(is_end)

    node.run("sysctl", "-qw", "net.netfilter.nf_conntrack_acct=1")
    with node.entered():
        server = socket.create_server((node.address4, _PORT))
    with lab["client"].entered():
        client = socket.create_connection((node.address4, _PORT), timeout=5)
    peer, _ = server.accept()
    for _ in range(30):
        client.sendall(bytes(100_000))
        assert len(peer.recv(100_000, socket.MSG_WAITALL)) == 100_000
    running = RunningFlows(take)

    def is_listed() -> bool:
        running.step()
        return any(ended)

    with node.entered():
        wait_for(is_listed, "the end of the listing")
    (flow,) = (one for one in taken if one.destination_port == _PORT)
    assert 3_000_000 < (flow.original_bytes or 0) < 4_000_000
    assert 0 < (flow.reply_bytes or 0) < 1_000_000
    for one in (client, peer, server):
        one.close()
    running.close()


def test_the_kernel_keeps_back_what_nobody_wants(lab: Lab) -> None:
    """Of the many updates of a hundred connections only those arrive that tell of a complete handshake."""
    source = opened(lab["node"])
    converse(lab, 100)
    told = [event for event in drain(source) if event.protocol == PROTOCOL_TCP]
    assert len({event.id for event in told if isinstance(event, FlowOpened)}) == 100
    assert len({event.id for event in told if isinstance(event, FlowEstablished)}) == 100
    assert source.stats.skipped == 0
    source.close()


def test_what_is_behind_translation_is_kept(lab: Lab) -> None:
    """A connection to a port that is redirected names the address it was sent to and who really answered."""
    redirect = "type nat hook prerouting priority -100; tcp dport 81 dnat to :8080"
    lab["node"].nft(f"table ip redirected {{ chain pre {{ {redirect}; }}; }}")
    source = opened(lab["node"])
    with lab["node"].entered():
        server = socket.create_server((lab["node"].address4, _PORT))
    with lab["client"].entered():
        socket.create_connection((lab["node"].address4, 81), timeout=5).close()
    event = next(event for event in drain(source) if isinstance(event, FlowEstablished))
    assert (event.destination_port, event.real_destination_port) == (81, _PORT)
    server.close()
    source.close()


def test_lost_events_are_counted_and_the_table_is_listed(lab: Lab) -> None:
    """A receive buffer of the least size overflows: that is a gap, not an end; the list names what went by unseen."""
    source = opened(lab["node"], buffer_bytes=1)
    flood(lab, 500)
    seen = {event.destination_port for event in drain(source) if event.protocol == PROTOCOL_UDP}
    assert source.stats.lost >= 1
    assert len(seen) < 500
    assert source.catch_up() == []  # too soon: the flood may go on
    listed: list[Flow] = []

    def is_listed() -> bool:
        drain(source)
        with lab["node"].entered():  # the list is asked for where the daemon lives
            listed.extend(source.catch_up(1))
        return source.stats.resyncs == 1

    wait_for(is_listed, "the table to be listed")
    assert all(isinstance(event, FlowListed) for event in listed)
    ports = {event.destination_port for event in listed if event.protocol == PROTOCOL_UDP}
    assert ports == set(range(1024, 1524))
    assert source.catch_up() == []
    lab["client"].run("ping", "-c", "1", lab["node"].address4)
    assert [type(event) for event in drain(source)] == [FlowOpened]
    source.close()


def test_an_overrun_that_the_kernel_tells_of_is_a_gap(lab: Lab) -> None:
    """NLMSG_OVERRUN says that messages were lost, as a full buffer does: that is counted, and the table is listed."""
    source = opened(lab["node"])
    source._socket.close()
    source._socket, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    source._socket.setblocking(False)
    kernel.send(struct.pack("=IHHIIi", 20, 4, 0, 0, 0, 0))
    assert drain(source) == []
    assert source.stats.lost == 1
    wait_for(lambda: is_listed(lab, source), "the table to be listed")
    kernel.close()
    source.close()


def test_a_list_that_was_interrupted_is_made_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries may be missing from one that NLM_F_DUMP_INTR marks: it makes up for nothing, the next one does."""
    monkeypatch.setattr("monitor.sources.conntrack.reader._LIST_AGAIN_S", 0.0)
    source = opened(lab["node"], buffer_bytes=1)
    flood(lab, 500)
    drain(source)
    wait_for(lambda: is_begun(lab, source), "the list to begin")
    assert source._listing is not None
    source._listing.close()
    source._listing._socket, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    source._listing._socket.setblocking(False)
    kernel.send(struct.pack("=IHHIIi", 20, 3, 0x2 | 0x10, 0, 0, 0))  # NLMSG_DONE, with NLM_F_DUMP_INTR
    assert source.catch_up() == []
    assert source.stats.resyncs == 0
    wait_for(lambda: is_listed(lab, source), "the table to be listed anew")
    kernel.close()
    source.close()


def is_begun(lab: Lab, source: Conntrack) -> bool:
    """Ask for a list if it is time, and read nothing of it; whether it is asked for."""
    with lab["node"].entered():  # the list is asked for where the daemon lives
        source.catch_up(0)
    return source._listing is not None


def is_listed(lab: Lab, source: Conntrack) -> bool:
    """Read on in the list; whether one was read to its end."""
    with lab["node"].entered():
        source.catch_up()
    return source.stats.resyncs == 1


def test_other_namespaces_are_heard_where_they_have_a_number(lab: Lab) -> None:
    """A node that knows a namespace by a number hears its connections with that number; without the option, none."""
    host = lab["node"]
    with Lab("pod", label="pod") as pods:
        pods["pod"].nft(_TRACKING)
        host.run("ip", "netns", "set", pods["pod"].namespace, "7")
        everywhere, here = opened(host, all_namespaces=True), opened(host)
        pods["pod"].run("ping", "-c", "1", "127.0.0.1")
        assert {event.namespace for event in drain(everywhere)} == {7}
        assert drain(here) == []
        everywhere.close()
        here.close()


def test_without_privilege_it_says_what_is_missing(lab: Lab) -> None:
    """Nobody but an administrator of the namespace may listen to others' connections."""
    script = (
        "import os; os.setuid(65534)\n"
        "from monitor.sources.conntrack.reader import Conntrack\n"
        "from monitor.model.errors import PermanentError\n"
        "try: Conntrack()\n"
        "except PermanentError as error: print(error)\n"
    )
    done = lab["node"].run(sys.executable, "-c", script, check=False)
    assert "CAP_NET_ADMIN" in done.stdout, done.stderr
