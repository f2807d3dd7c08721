"""`bans.action: reject` with real packets: what is banned on proof is answered, what may be forged is not."""

import errno
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.enforcers.nftables import chains
from monitor.enforcers.nftables.chains import REFUSALS_PER_S, REFUSE
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.expressions import Refusal, expression
from monitor.enforcers.nftables.table_text import table_text
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Action, Ban
from monitor.model.ports import at, pack
from monitor.model.protocols import PROTOCOL_TCP, PROTOCOL_UDP
from tests.support.daemon import Daemon
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

_QUIET = "sources: {kernel_log: {enabled: false}, drops: {enabled: false}, journal: {enabled: false}}\n"
_SILENT = {errno.EAGAIN, errno.EINPROGRESS, errno.ETIMEDOUT}
_PORTS = pack([(PROTOCOL_TCP, 22), (PROTOCOL_UDP, 53)])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Make a node, in whose namespace the tests run, and a source."""
    with Lab("node", "source", label="refuse") as lab, lab["node"].entered():
        yield lab


@pytest.fixture
def enforcer(lab: Lab) -> Iterator[NftablesEnforcer]:
    """Make an empty table that refuses."""
    enforcer = NftablesEnforcer(max_bans=1000, action=Action.REJECT)
    enforcer.setup([])
    assert enforcer.frame.why_not_refused == ""
    yield enforcer
    enforcer.flush()
    enforcer.close()


def ban(network: str, strength: Strength = Strength.PROVEN, ports: bytes = b"") -> Ban:
    """Return a ban of an hour."""
    return Ban(at(parse_network(network), ports), strength, 0, 3600, "test", "test")


def outcome(here: Host, address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return the error of a connection, or of a datagram that is answered, within 0.3 s; 0 for none."""
    with here.entered(), socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as one:
        one.settimeout(0.3)
        try:
            one.connect((address, port))
            if kind is socket.SOCK_DGRAM:
                one.send(b"x")
                one.recv(1)
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno or -1
    return 0


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("ports", [b"", _PORTS])
def test_a_proven_source_is_answered(lab: Lab, enforcer: NftablesEnforcer, family: str, ports: bytes) -> None:
    """TCP with a reset, UDP with ICMP that says prohibited; the drops are counted as ever."""
    source, node = (getattr(lab[name], f"address{family}") for name in ("source", "node"))
    with socket.create_server(("::", 22), family=socket.AF_INET6, dualstack_ipv6=True):
        assert outcome(lab["source"], node, 22) == 0
        assert enforcer.add([ban(source, ports=ports)], 0) == []
        assert outcome(lab["source"], node, 22) == errno.ECONNREFUSED
    prohibited = outcome(lab["source"], node, 53, socket.SOCK_DGRAM)
    assert prohibited == (errno.EHOSTUNREACH if family == "4" else errno.EACCES)
    name = f"port_ban{family}" if ports else f"ban{family}"
    assert enforcer.counters()[name].packets >= 2
    enforcer.remove([(at(parse_network(source), ports), Strength.PROVEN)])
    assert outcome(lab["source"], node, 53, socket.SOCK_DGRAM) == errno.ECONNREFUSED  # the port is closed


@pytest.mark.parametrize("ports", [b"", _PORTS])
def test_a_source_that_may_be_forged_hears_nothing(lab: Lab, enforcer: NftablesEnforcer, ports: bytes) -> None:
    """A shun drops, whatever the setting."""
    enforcer.add([ban(lab["source"].address4, Strength.SPOOFABLE, ports)], 0)
    assert outcome(lab["source"], lab["node"].address4, 22) in _SILENT


def test_an_own_connection_to_a_banned_destination_fails_at_once(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """The node's own program gets the reset; without the ban it reaches the destination."""
    destination = lab["source"].address4
    with lab["source"].entered():
        listening = socket.create_server((destination, 80))
    with listening:
        assert outcome(lab["node"], destination, 80) == 0
        enforcer.add([ban(destination, Strength.DESTINATION)], 0)
        assert outcome(lab["node"], destination, 80) == errno.ECONNREFUSED


def test_answers_are_limited(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """Of 400 attempts at once about a hundred are answered, the others dropped: no reflector."""
    enforcer.add([ban(lab["source"].address4)], 0)
    attempts = []
    with lab["source"].entered():
        began_s = time.monotonic()
        for _ in range(400):
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            one.connect_ex((lab["node"].address4, 22))
            attempts.append(one)
    refused = sum(one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED for one in attempts)
    elapsed_s = time.monotonic() - began_s
    for one in attempts:
        one.close()
    assert REFUSALS_PER_S <= refused <= REFUSALS_PER_S * (1 + elapsed_s) + 1
    assert enforcer.counters()["ban4"].packets >= 400


def test_the_action_changes_without_touching_bans(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """Drop, reject, drop: bans and counts stay, nothing is foreign, and what others change is found and undone."""
    node, source = lab["node"], lab["source"]
    enforcer.add([ban(source.address4), ban("192.0.2.0/24")], 0)
    for action, expected in ((Action.DROP, _SILENT), (Action.REJECT, {errno.ECONNREFUSED}), (Action.DROP, _SILENT)):
        assert enforcer.frame.act(action)
        assert not enforcer.frame.act(action)
        before = enforcer.counters()["ban4"].packets
        enforcer.setup([])
        assert enforcer.differences() == []
        assert outcome(source, node.address4, 22) in expected
        assert enforcer.counters()["ban4"].packets > before
        assert len(enforcer.elements()) == 2
        assert (f"chain {REFUSE}" in node.run("nft", "list", "table", "inet", "nodewarden").stdout) == (
            action is Action.REJECT
        )
    enforcer.frame.act(Action.REJECT)
    enforcer.setup([])
    node.run("nft", "flush", "chain", "inet", "nodewarden", REFUSE)
    assert enforcer.differences() == [f"rules of chain {REFUSE} is missing"]
    enforcer.setup([])
    assert enforcer.differences() == []
    assert outcome(source, node.address4, 22) == errno.ECONNREFUSED


def test_nft_lists_what_is_documented_and_loads_it(lab: Lab, enforcer: NftablesEnforcer) -> None:
    """The text of a table that refuses is what nft(8) says of it, and what it makes of the text is ours."""
    listed = ("nft", "-s", "list", "table", "inet", "nodewarden")
    executed = ("nft", "--debug=netlink", *listed[2:])
    before = lab["node"].run(*listed).stdout, lab["node"].run(*executed).stdout
    text = table_text(1000, Action.REJECT)
    plain = text.replace(" {\n\t\tpackets 0 bytes 0\n\t}", " {\n\t}")
    assert [line.strip() for line in before[0].splitlines()] == [line.strip() for line in plain.splitlines()]
    lab["node"].nft(f"delete table inet nodewarden\n{text}")
    assert _rules(lab["node"].run(*executed).stdout) == _rules(before[1])


def _rules(debugged: str) -> list[str]:
    """Return the expressions, without the numbers of rules and chains."""
    return [line.strip() for line in debugged.splitlines() if line.strip().startswith("[ ")]


def test_a_kernel_that_cannot_refuse_drops(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is missing: the ban is in force all the same, and why it does not answer is known."""

    def missing(_: Refusal) -> bytes:
        return expression("nodewarden_none")

    monkeypatch.setattr(chains, "refuse", missing)
    enforcer = NftablesEnforcer(max_bans=1000, action=Action.REJECT)
    try:
        enforcer.setup([])
        assert f"chain {REFUSE}" in enforcer.frame.why_not_refused
        enforcer.add([ban(lab["source"].address4)], 0)
        assert outcome(lab["source"], lab["node"].address4, 22) in _SILENT
        assert enforcer.differences() == []
        monkeypatch.undo()
        enforcer.setup([])
        assert enforcer.frame.why_not_refused == ""
        assert outcome(lab["source"], lab["node"].address4, 22) == errno.ECONNREFUSED
    finally:
        enforcer.flush()
        enforcer.close()


def test_a_reload_changes_it(lab: Lab, tmp_path: Path) -> None:
    """The daemon follows the setting both ways; `status` and `why` say what is in force."""
    daemon = Daemon(lab["node"], tmp_path, _QUIET)
    daemon.start()
    node, source = lab["node"].address4, lab["source"]
    assert daemon.run("ban", source.address4).returncode == 0
    assert outcome(source, node, 22) in _SILENT
    daemon.configure(_QUIET + "bans: {action: reject}\n")
    _reload(daemon)
    assert outcome(source, node, 22) == errno.ECONNREFUSED
    assert "which rejects" in daemon.run("status").stdout
    assert "rejected with an answer" in daemon.run("why", source.address4).stdout
    daemon.configure(_QUIET)
    _reload(daemon)
    assert outcome(source, node, 22) in _SILENT
    assert "changed the table" not in daemon.log
    assert daemon.run("flush").returncode == 0
    assert daemon.stop() == 0


def _reload(daemon: Daemon) -> None:
    done: subprocess.CompletedProcess[str] = daemon.run("reload")
    assert done.returncode == 0, done.stderr
