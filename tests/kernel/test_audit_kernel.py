"""The kernel judges a copy of a node's rules, and the node does not notice."""

import contextlib
import ctypes
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from monitor.audit.findings import Zone
from monitor.audit.kernel.copied import Dump
from monitor.audit.kernel.gathering import explain_port
from monitor.audit.kernel.judging import judge_reach
from monitor.audit.kernel.listing import read_dump
from monitor.audit.kernel.site_reading import read_site
from monitor.audit.kernel.sockets import read_sockets
from monitor.audit.reach import Outcome, Reach
from monitor.ebpf.kernel_objects import load_function
from monitor.ebpf.maps import library
from monitor.ebpf.xdp import XdpProgram
from tests.support.audit_copy import audited_node, judge, outcomes, verdict, wait_until_gone
from tests.support.lab import Host

pytestmark = pytest.mark.kernel
REACHED, DROPPED, REJECTED, UNKNOWN = Outcome.REACHED, Outcome.DROPPED, Outcome.REJECTED, Outcome.UNKNOWN
_V6 = "fd88::1"

_FILTER = """
table inet filter {
  set peers { type ipv4_addr; elements = { 10.88.0.77 }; }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lo" accept
    tcp dport 22 accept
    ip saddr @peers tcp dport 2379 accept
    meta nfproto ipv6 tcp dport 8080 accept
    tcp dport 9999 reject with tcp reset
    udp dport 53 accept
    jump kubelet
  }
  chain kubelet { ip saddr 10.88.0.0/24 tcp dport 10250 accept; iifname "cni0" tcp dport 10255 accept; }
}
table ip nat {
  chain pre {
    type nat hook prerouting priority dstnat;
    tcp dport 30080 dnat to 10.244.0.5:80
    tcp dport 30081 redirect to :22
  }
}
"""


def test_each_zone_reaches_what_the_rules_let_through() -> None:
    """World, neighbours and pods are judged apart, TCP and UDP, IPv4 and IPv6, with the rule that decides."""
    listeners = [f"tcp/::/{port}" for port in (22, 2379, 8080, 9999, 10250, 10255)]
    with audited_node(*listeners, "udp/0.0.0.0/53", "udp/0.0.0.0/54", rules=_FILTER) as node:
        reach = judge(node)
        listed = node.run("nft", "-a", "list", "chain", "inet", "filter", "kubelet").stdout
    closed = {2379: DROPPED, 8080: DROPPED, 9999: REJECTED, 10250: DROPPED, 10255: DROPPED}
    opened = {22: REACHED, 30080: REACHED, 30081: REACHED}
    assert outcomes(reach, Zone.WORLD) == closed | opened
    assert outcomes(reach, Zone.NODES) == closed | opened | {10250: REACHED}
    assert outcomes(reach, Zone.PODS) == closed | opened | {10255: REACHED}
    assert outcomes(reach, Zone.WORLD, address=_V6) == closed | {22: REACHED, 8080: REACHED}
    assert outcomes(reach, Zone.WORLD, protocol="udp") == {53: REACHED, 54: DROPPED}
    assert (reach.blind, reach.loss) == ((), ())

    kubelet = verdict(reach, Zone.NODES, 10250)
    rule = kubelet.decided_by
    assert rule is not None
    assert (rule.table, rule.chain, rule.text) == ("filter", "kubelet", "ip saddr 10.88.0.0/24 tcp dport 10250 accept")
    assert f"{rule.text} # handle {rule.handle}\n" in listed
    assert [step.verdict for step in kubelet.path] == ["jump kubelet", "accept"]
    assert [step.verdict for step in verdict(reach, Zone.WORLD, 2379).path] == ["policy drop"]
    service = verdict(reach, Zone.WORLD, 30080)
    assert (service.to_address, service.to_port, service.path[-1].verdict) == ("10.244.0.5", 80, "dnat")
    local = verdict(reach, Zone.WORLD, 30081)
    assert (local.to_address, local.to_port) == ("10.88.0.1", 22)


def test_log_rules_of_the_copy_write_nothing() -> None:
    """The kernel's log would have neighbours try every port of the node, and detectors would believe it."""
    prefix = f"nw-copy-{os.getpid()} "
    rules = f"""table inet filter {{
      chain input {{ type filter hook input priority filter; policy drop; log prefix "{prefix}"; }}
    }}
    table ip6 other {{
      chain input {{ type filter hook input priority -5; log prefix "{prefix}" level debug flags all; }}
    }}"""
    with audited_node("tcp/::/443", "udp/::/53", rules=rules) as node, Path("/dev/kmsg").open("rb", buffering=0) as log:
        os.set_blocking(log.fileno(), False)
        assert Path("/proc/sys/net/netfilter/nf_log_all_netns").read_text() == "1\n", "namespaces would log"
        log.seek(0, os.SEEK_END)
        assert set(outcomes(judge(node), Zone.WORLD).values()) == {DROPPED}
        written = _read_all(log)
    assert prefix not in written


def _read_all(log: io.FileIO) -> str:
    """Return the records of /dev/kmsg since the last ones that were read."""
    records = []
    while (record := log.read(8192)) is not None:
        records.append(record.decode(errors="replace"))
    return "".join(records)


def test_matches_that_nft_cannot_show_are_judged() -> None:
    """Rules of iptables with `recent`, and with sets of ipset, are restored by their own tools."""
    with audited_node("tcp/0.0.0.0/80", "tcp/0.0.0.0/81", "tcp/0.0.0.0/82") as node:
        node.run("ipset", "create", "wanted", "hash:net")
        node.run("ipset", "add", "wanted", "10.88.0.0/24")
        for words in (
            "-P INPUT DROP",
            "-A INPUT -p tcp --dport 80 -m recent --name seen --rcheck -j ACCEPT",
            "-A INPUT -p tcp --dport 81 -m set --match-set wanted src -j ACCEPT",
            "-A INPUT -p tcp --dport 82 -m comment --comment hello -j ACCEPT",
        ):
            node.run("iptables-nft", *words.split())
        reach = judge(node)
        assert " xt match " in node.run("nft", "list", "ruleset").stdout
    assert reach.loss == ()
    assert outcomes(reach, Zone.WORLD) == {80: DROPPED, 81: DROPPED, 82: REACHED}
    assert outcomes(reach, Zone.NODES) == {80: DROPPED, 81: REACHED, 82: REACHED}
    rule = verdict(reach, Zone.NODES, 81).decided_by
    assert rule is not None
    assert "tcp dport 81" in rule.text
    assert rule.handle


def test_what_is_let_through_at_a_rate_is_reached() -> None:
    """A rule that accepts five packets a minute is open for each port, also if the probes are more than that."""
    ports = range(1000, 1012)
    rules = """
table inet filter {
  set knocked { type ipv4_addr; size 1000; flags dynamic; }
  chain input {
    type filter hook input priority filter; policy drop;
    tcp dport 1000-1010 limit rate 5/minute accept
    tcp dport 1011 add @knocked { ip saddr limit rate over 1/minute } drop
    tcp dport 1011 accept
  }
}
"""
    with audited_node(*(f"tcp/0.0.0.0/{port}" for port in ports), rules=rules) as node:
        reach = judge(node, zones=(Zone.WORLD,))
    assert outcomes(reach, Zone.WORLD) == dict.fromkeys(ports, REACHED)


def test_loopback_is_judged_where_the_kernel_takes_it_from_outside() -> None:
    """Listeners on 127.0.0.1 have no verdict, unless route_localnet is set: then neighbours and pods can reach them."""
    with audited_node("tcp/127.0.0.1/10249", "tcp/::1/10249") as node:
        assert judge(node).verdicts == ()
        node.run("sysctl", "-qw", "net.ipv4.conf.eth0.route_localnet=1")
        reach = judge(node)
    assert {(one.probe.zone, one.probe.address, one.outcome) for one in reach.verdicts} == {
        (Zone.NODES, "127.0.0.1", REACHED)
    }


def test_what_is_not_in_the_copy_makes_every_verdict_unknown() -> None:
    """Rules of iptables-legacy decide, too, and are not copied: nothing is said to be open or closed."""
    with audited_node("tcp/0.0.0.0/22") as node:
        node.run("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
        reach = judge(node)
    assert reach.blind == ("iptables-legacy has rules in ip filter",)
    assert {one.outcome for one in reach.verdicts} == {UNKNOWN}
    assert {one.why for one in reach.verdicts} == {
        "reached in the copy of the rules, but iptables-legacy has rules in ip filter"
    }


_RETURN_2 = bytes.fromhex("b7000000020000009500000000000000")  # r0 = 2; exit
_XDP_KIND, _TC_KIND = 6, 3  # BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_SCHED_CLS
_BPF, _ATTACH, _TCX_INGRESS = 321, 8, 46


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of bpf(2) is that of x86_64")
def test_programs_before_the_rules_are_seen() -> None:
    """XDP programs of others, tc filters and BPF programs of tcx; our XDP program only drops what is banned."""
    with audited_node() as node, node.entered(), contextlib.ExitStack() as open_files:
        assert read_site().blind == ()
        ours = open_files.enter_context(contextlib.closing(XdpProgram(max_bans=64, max_prefixes=64)))
        ours.attach("eth0")
        node.run("tc", "qdisc", "add", "dev", "cni0", "clsact")
        assert "prog/xdp" in node.run("ip", "link", "show", "dev", "eth0").stdout
        assert read_site().blind == ()
        theirs = load_function(_RETURN_2, "theirs", _XDP_KIND)
        open_files.callback(os.close, theirs)
        assert library().bpf_attach_xdp(b"cni0", theirs, 1 << 1) == 0
        assert read_site().blind == ("an XDP program filters cni0",)
        library().bpf_attach_xdp(b"cni0", -1, 1 << 1)
        words = ["tc", "filter", "add", "dev", "cni0", "ingress", "protocol", "ip", "prio", "1", "bpf", "bytecode"]
        node.run(*words, "1,6 0 0 4294967295,")
        assert read_site().blind == ("a tc filter decides on packets of cni0",)
        node.run("tc", "qdisc", "del", "dev", "cni0", "clsact")
        tcx = load_function(_RETURN_2, "tcx", _TC_KIND)
        open_files.callback(os.close, tcx)
        asked = struct.pack("=IIII", socket.if_nametoindex("eth0"), tcx, _TCX_INGRESS, 0).ljust(64, b"\0")
        assert ctypes.CDLL(None).syscall(_BPF, _ATTACH, ctypes.create_string_buffer(asked, 64), 64) == 0
        assert read_site().blind == ("a tc filter decides on packets of eth0",)


def test_bans_of_nodewarden_are_not_those_of_a_zone() -> None:
    """A probe stands for a source that is not banned: the contents of our sets are left out, those of others not."""
    rules = """
table inet nodewarden {
  set ban4_nets { type ipv4_addr; flags interval; elements = { 1.0.0.0-223.255.255.255 }; }
  chain ban { type filter hook prerouting priority -310; ip saddr @ban4_nets drop; }
}
table inet filter {
  set closed { type inet_service; elements = { 23 }; }
  chain input { type filter hook input priority filter; tcp dport @closed drop; }
}
"""
    with audited_node("tcp/0.0.0.0/22", "tcp/0.0.0.0/23", rules=rules) as node:
        reach = judge(node)
    assert outcomes(reach, Zone.WORLD) == outcomes(reach, Zone.NODES) == {22: REACHED, 23: DROPPED}


_JUDGE = """
import msgspec, sys
from monitor.audit.kernel.gathering import gather_reach
sys.stdout.buffer.write(msgspec.json.encode(gather_reach()))
"""


def test_a_listener_that_cannot_be_copied_is_unknown() -> None:
    """Where the copy cannot have all sockets, no port of them is said to be closed, unless a rule drops its packets."""
    rules = "table inet filter { chain input { type filter hook input priority filter; tcp dport 23 drop; }; }"
    listeners = [f"tcp/0.0.0.0/{port}" for port in range(10, 60)]
    with audited_node(*listeners, rules=rules) as node:
        printed = node.run("prlimit", "--nofile=100:100", sys.executable, "-c", _JUDGE).stdout
    reach = msgspec.json.decode(printed, type=Reach)
    found = outcomes(reach, Zone.WORLD)
    assert found.pop(23) == DROPPED
    assert set(found.values()) == {REACHED, UNKNOWN}
    assert {one.why for one in reach.verdicts if one.outcome == UNKNOWN} == {"its listener could not be copied"}


def _judge_text(node: Host, text: bytes) -> set[tuple[Outcome, str]]:
    with node.entered():
        reach = judge_reach(Dump(text=read_dump().text + text), read_site(), read_sockets(), zones=(Zone.WORLD,))
    return {(one.outcome, one.why) for one in reach.verdicts}


def test_a_table_that_cannot_be_loaded_is_named() -> None:
    """A newer nft may list what this one cannot load: all other tables are loaded, and the verdicts are in doubt."""
    chain = b"type filter hook input priority 0; policy accept;"
    broken = b"table inet new {\n\tchain in {\n\t\t" + chain + b"\n\t\tfrobnicate 7\n\t}\n}\n"
    harmless = b"table inet new {\n\tchain in {\n\t\tfrobnicate 7\n\t}\n}\n"
    rules = "table inet filter { chain input { type filter hook input priority filter; policy drop; }; }"
    with audited_node("tcp/0.0.0.0/23", rules=rules) as node:
        assert _judge_text(node, b"") == {(DROPPED, "")}
        doubt = "dropped in the copy of the rules, but table inet new could not be copied"
        assert _judge_text(node, broken) == {(UNKNOWN, doubt)}
        assert _judge_text(node, harmless) == {(DROPPED, "")}


def _state(node: Host) -> dict[str, str]:
    commands = (
        "nft -a list ruleset",
        "iptables-nft-save",
        "ip addr",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule",
        "ip neigh",
        "sysctl -a",
    )
    return {command: _stable(node.run(*command.split()).stdout) for command in commands}


def _stable(text: str) -> str:
    """Leave out times, and sysctls that count or are random."""
    moving = ("# Generated", "# Completed", "fs.", "kernel.", "vm.", "net.netfilter.nf_conntrack_count")
    return "\n".join(line.partition(" expires ")[0] for line in text.splitlines() if not line.startswith(moving))


_RUN = "from monitor.audit.kernel.gathering import gather_reach; print('go', flush=True); gather_reach()"


@pytest.mark.parametrize("after_s", [None, 0.05, 0.15])
def test_the_node_stays_as_it_is(after_s: float | None) -> None:
    """Rules, links, routes and sysctls are the same byte by byte, also if the audit is killed; its processes end."""
    with audited_node("tcp/::/22", "udp/::/53", rules=_FILTER) as node:
        node.run("iptables-nft", "-A", "FORWARD", "-m", "recent", "--name", "x", "--set")
        for link in ("eth0", "cni0"):  # the kernel is still about to try these addresses
            node.run("ip", "-6", "addr", "flush", "dev", link, "scope", "link")
        before = _state(node)
        process = node.start(sys.executable, "-c", _RUN, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout as said:
            assert said.readline() == "go\n"
        if after_s is None:
            assert process.wait(60) == 0
        else:
            time.sleep(after_s)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            assert all(wait_until_gone(int(child)) for child in children)
        assert _state(node) == before


_PROGRAM = sys.executable, "-c", "import sys; from monitor.cli.entry import main; sys.exit(main())"


def _explain(node: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    return node.run(*_PROGRAM, "audit", "explain", *arguments, check=False)


def test_a_port_is_explained() -> None:
    """Who can reach it, through which rules and whose, where it is translated to, and what listens."""
    rules = _FILTER + "table ip kube-proxy { chain c { type filter hook input priority 10; tcp dport 22 drop; }; }"
    with audited_node("tcp/::/22", rules=rules) as node:
        shown = _explain(node, "10.88.0.1:22").stdout.splitlines()
        assert shown[0] == "tcp/22"
        assert shown[1].endswith(" listens at all addresses")
        assert shown[2:6] == [
            "  from the world to 10.88.0.1: dropped",
            "    inet filter input [operator]: tcp dport 22 accept (handle 6)",
            "    ip kube-proxy c [kube-proxy]: tcp dport 22 drop (handle 2)",
            "  from neighbours to 10.88.0.1: dropped",
        ]
        with node.entered():
            moved, supposed = explain_port("tcp", 30080), explain_port("tcp", 8080)
        failed = _explain(node, "192.0.2.9:22")
    assert "is no address of this node" in failed.stderr
    assert failed.returncode == 1
    assert {(one.probe.zone, one.to_address) for one in moved.verdicts if not one.probe.is_v6} == {
        (zone, "10.244.0.5") for zone in Zone
    }
    assert supposed.listeners == ()
    assert {one.outcome for one in supposed.verdicts if one.probe.address == _V6} == {REACHED}
