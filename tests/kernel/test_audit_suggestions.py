"""What is suggested as rules is loaded on a node that is audited again: findings are gone, and nothing is opened."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from monitor.audit.findings import State
from monitor.audit.suggest.gathering import read_destinations
from monitor.audit.suggest.suggestion import Form
from tests.support.audit_cases import read_case
from tests.support.audit_node import audit_node
from tests.support.audit_suggestions import Trial
from tests.support.daemon import Daemon, wait_for
from tests.support.lab import Lab
from tests.support.needs import needs

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("name", ["docker-ufw", "ipv6-forgotten", "kube-proxy-iptables", "open-etcd", "open-node"])
def test_rules_that_are_suggested_repair_what_was_found_and_open_nothing(name: str) -> None:
    """nft takes each; the ports of sshd stay, since their lines are comments; nothing new is reached or found."""
    needs("nft", "ip", "iptables-nft-restore", "ipset")
    case = read_case(name)
    with audit_node(case) as node:
        done = node.run(sys.executable, "-m", "tests.support.audit_suggestions", *case.accepted)
    trial = msgspec.json.decode(done.stdout, type=Trial)
    assert trial.refused == []
    before, after = (
        {(one.check, one.subject): one.severity for one in audit.findings if one.state is State.FAIL}
        for audit in (trial.before, trial.after)
    )
    repaired = {
        (one.check, subject)
        for one in trial.suggestions
        for subject in one.subjects
        if one.form is Form.NFT and "# iif" not in one.text
    }
    assert repaired
    left = {key for key in repaired & after.keys() if after[key].rank >= before[key].rank}
    assert left == set()
    own = {("not-persistent", "inet audit_closed"), ("not-persistent", "inet audit_default")}  # until they are saved
    assert after.keys() - own <= before.keys()
    assert set(trial.after.reached) <= set(trial.before.reached)


_RULES = """
table inet own {
    chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 80 accept
        tcp dport 80 counter accept comment "a; flush ruleset"
        tcp dport 2379 accept
    }
}
table ip filter { chain INPUT { type filter hook input priority filter; tcp dport 1 counter accept; }; }
"""
_AFTER = """
from monitor.audit.findings import Finding, Severity, State
from monitor.audit.registry import BY_ID
from monitor.audit.suggest.suggestion import Known
from monitor.audit.suggest.table import suggest
from tests.support.audit_suggestions import gather, load
from monitor.audit.suggest.gathering import read_neighbourhood

facts = gather([])
rules = [rule for chain in facts.ruleset.chains if chain.table == "own" for rule in chain.rules]
wanted = [("shadowed-rule", rules[1].ref), ("permissive-rule", rules[2].ref), ("default-accept", None)]
found = [
    Finding(check=check, subject=f"s{place}", state=State.FAIL, severity=Severity.LOW, text="x", rule=rule)
    for place, (check, rule) in enumerate(wanted)
]
for one in suggest(found, BY_ID, Known(facts=facts, networks=read_neighbourhood())):
    assert not load(one.text, "-c"), load(one.text, "-c")
    assert not load(one.text)
"""


def test_rules_are_deleted_by_handle_and_a_last_chain_drops_the_rest() -> None:
    """The operator's rules that never decide go, all others stay; what is open now is named before the policy drop."""
    needs("nft", "ip")
    with audit_node(read_case("open-node")) as node:
        node.nft(_RULES)
        node.run(sys.executable, "-c", _AFTER)
        listed = node.run("nft", "-s", "list", "ruleset").stdout
    assert [line.strip() for line in listed.splitlines() if " dport " in line and "accept" in line][:1] == [
        "tcp dport 80 accept"
    ]
    assert "flush ruleset" not in listed
    assert [line.strip() for line in listed.splitlines() if "dport 2379 accept" in line] == [
        "ip saddr 203.0.113.0/24 tcp dport 2379 accept",
        "ip6 saddr 2001:db8:113::/64 tcp dport 2379 accept",
    ]
    assert "policy drop;" in listed
    assert "tcp dport 1 counter accept" in listed


def test_destinations_are_those_that_the_daemon_recorded(tmp_path: Path) -> None:
    """A connection that another host answered is proposed; one to a closed port, and connections in, are not."""
    with Lab("node", "server", "client", label="egress") as lab:
        node, server, client = lab["node"], lab["server"], lab["client"]
        daemon = Daemon(node, tmp_path, "recording: {max_bytes: 2MB}\n")
        daemon.start()
        for host in (server, node):
            listening = host.start(sys.executable, "-c", _LISTEN, stdout=subprocess.PIPE)
            assert listening.stdout is not None
            with listening.stdout as said:
                assert said.readline() == "ready\n"
        node.run(sys.executable, "-c", _CONNECT, server.address4)
        node.run(sys.executable, "-c", _CONNECT, client.address4)
        client.run(sys.executable, "-c", _CONNECT, node.address4)
        wait_for(lambda: _handshakes(daemon) >= 2, "the connections to be seen", lambda: daemon.log, 20.0)
        daemon.stop()
    text, lack = read_destinations(tmp_path / "state/recording", 0.0)
    assert lack == ""
    assert yaml.safe_load(text)["detectors"]["egress"]["approved"] == [server.address4]


def _handshakes(daemon: Daemon) -> int:
    (source,) = [one for one in daemon.ask("status")["sources"] if one["name"] == "conntrack"]
    return int(source["other"]["handshakes"])


_LISTEN = """
import socket
made = socket.create_server(("0.0.0.0", 4433))
print("ready", flush=True)
while True:
    made.accept()[0].close()
"""
_CONNECT = """
import contextlib, socket, sys
with contextlib.suppress(OSError):
    socket.create_connection((sys.argv[1], 4433), 2).recv(1)
"""
