"""What the copy of a node has to have like the node, and which rules it cannot follow."""

import json
import subprocess

import pytest

from monitor.audit.exposure import services
from monitor.audit.findings import Zone
from monitor.audit.kernel import judging, site, site_reading
from monitor.audit.reach import Outcome
from tests.support.audit_copy import audited_node, judge, outcomes, verdict

pytestmark = pytest.mark.kernel
REACHED, DROPPED, REJECTED, UNKNOWN = Outcome.REACHED, Outcome.DROPPED, Outcome.REJECTED, Outcome.UNKNOWN
_BOUND = """
import socket, sys, time
one = socket.socket()
one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"cni0")
one.bind(("0.0.0.0", 53))
one.listen()
print("ready", flush=True)
time.sleep(600)
"""
_RULES = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy drop;
    iifgroup 7 tcp dport 80 accept
    tcp option sack-perm exists tcp dport 81 accept
    meta length 60 tcp dport 82 accept
    ip daddr 10.88.7.9 tcp dport 83 accept
    meta iifkind "bridge" tcp dport 84 accept
    socket transparent 1 tcp dport 85 accept
    socket mark 5 tcp dport 86 accept
  }
}
"""


def test_the_copy_has_groups_of_interfaces_and_packets_of_linux() -> None:
    """Rules for groups, options of TCP and the length of a SYN decide as they do for a connection."""
    with audited_node(*(f"tcp/0.0.0.0/{port}" for port in range(80, 88)), rules=_RULES, label="unlike") as node:
        addresses = json.loads(node.run("ip", "-j", "addr").stdout)
        (link,) = (one["ifname"] for one in addresses if any(a["local"] == "10.88.0.1" for a in one["addr_info"]))
        node.run("ip", "link", "set", link, "group", "7")
        for number in range(1, 10):
            node.run("ip", "addr", "add", f"10.88.7.{number}/32", "dev", link)
        reach = judge(node, zones=(Zone.NODES,))
        found = outcomes(reach, Zone.NODES)
        assert [found[port] for port in (80, 81, 82)] == [REACHED] * 3
        assert verdict(reach, Zone.NODES, 83, address="10.88.7.9").outcome is REACHED
        assert [found[port] for port in (84, 85, 86)] == [UNKNOWN] * 3, "the copy has another kind and other sockets"
        assert "socket transparent" in verdict(reach, Zone.NODES, 85).why
        assert found[87] is DROPPED, "rules for other ports raise no doubt"


def test_a_socket_of_one_interface_is_not_reached_by_another() -> None:
    """A socket that is bound to the bridge of pods takes nothing from a neighbour."""
    with audited_node(label="bound") as node:
        process = node.start("/usr/bin/python3", "-c", _BOUND, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == "ready\n"
        reach = judge(node)
        (listener,) = reach.listeners
        assert listener.device == "cni0"
        assert verdict(reach, Zone.NODES, 53).outcome is REJECTED
        assert verdict(reach, Zone.PODS, 53, address="10.244.0.1").outcome is REACHED


def test_translation_is_seen_where_no_rule_looks_at_input() -> None:
    """A port that is redirected is open, also without any chain that would see the translated packet."""
    rules = "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }"
    with audited_node("tcp/0.0.0.0/8080", rules=rules, label="redirected") as node:
        found = verdict(judge(node), Zone.NODES, 80)
        assert (found.outcome, found.to_port) == (REACHED, 8080)


def test_listeners_that_are_not_copied_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more listeners than are copied the others are not shown as closed, and the report says so."""
    monkeypatch.setattr(judging, "_MAX_SOCKETS", 1)
    with audited_node("tcp/0.0.0.0/22", "tcp/0.0.0.0/80") as node:
        reach = judge(node, zones=(Zone.WORLD,))
    assert outcomes(reach, Zone.WORLD) == {22: REACHED}
    assert reach.loss == ("1 listeners: there are too many",)
    assert [one.unknown(Zone.WORLD) for one in services(reach)] == ["", "it was not tried from world"]


def test_listeners_of_interfaces_that_are_not_copied_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket at an address of an interface that there was no room for is not shown as closed."""
    monkeypatch.setattr(site, "MAX_LINKS", 2)
    with audited_node("tcp/10.88.0.1/22", "tcp/10.244.0.1/80", "tcp/127.0.0.1/81") as node:
        reach = judge(node)
    assert reach.loss
    assert [one.port for one in services(reach) if one.unknown(Zone.WORLD)] == [80]


def test_routes_that_are_not_copied_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more routes than are copied the report says how many are missing; what rules decide is certain."""
    monkeypatch.setattr(site, "MAX_ROUTES", 0)
    monkeypatch.setattr(site_reading, "MAX_ROUTES", 0)
    rules = "table ip f { chain i { type filter hook input priority 0; tcp dport 81 drop; }; }"
    with audited_node("tcp/0.0.0.0/80", "tcp/0.0.0.0/81", rules=rules) as node:
        reach = judge(node, zones=(Zone.WORLD,))
    assert any(text.endswith("IPv4 routes: there are too many") for text in reach.loss)
    assert outcomes(reach, Zone.WORLD) == {80: REACHED, 81: DROPPED}
