"""The network of the zoo: a node between the Internet and the networks behind it.

    world ---- switch ---- node ---- pods
      |           |           `----- lan
      `-----------+--- neighbour      |
                  `-------------------' (second path of lan, for asymmetric routes)

`world` has all addresses of OUTSIDE4 and OUTSIDE6, `pods`, `lan` and `neighbour` those of their blocks: each behaviour
takes addresses of its own. The node has one public address without a firewall (OPEN) and one behind a firewall that
logs what it drops (GUARDED), so one daemon sees both.
"""

import contextlib
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.lab import Host, Lab

OPEN, GUARDED = "open", "guarded"
NODE4 = {OPEN: "192.0.2.1", GUARDED: "192.0.2.2"}
NODE6 = {OPEN: "2001:db8::1", GUARDED: "2001:db8::2"}
VIRTUAL4 = "192.0.2.3"
"""A public address that moves between the node and its neighbour."""
BEHIND4 = "192.0.2.64/26"
"""Public addresses of the LAN, for which the node routes."""
OUTSIDE4 = ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.128/25", "198.18.0.0/22")
"""Set aside for documentation and measurements (RFC 5737, RFC 2544), so these belong to nobody."""
OUTSIDE6 = "2001:db8:8000::/33"
SILENT4, SILENT6 = "198.19.0.0/22", "2001:db8:4000::/34"
"""Outside as well, but whoever is called there does not answer."""
PODS4, PODS6, LAN4, NEAR4 = "10.244.0.0/24", "2001:db8:244::/64", "192.168.7.0/24", "10.88.0.0/24"
BLOCKS4 = {"pods": "10.244.0.128/25", "lan": "192.168.7.128/25", "neighbour": "10.88.0.128/25"}

PORT_RANGE = range(10240, 30000)
"""net.ipv4.ip_local_port_range of the node: not the default, as where NodePorts are kept out of it."""

TCP_PORTS = "21,22,25,80,143,443,2049,3389,5000-5019,5222,6443,6800-6829,6881,8000,9100,40000-40039"
UDP_PORTS = "123,161,500,1194,3478,4500,5060,6881,51820"
OTHER_PORTS = "53, 514, 873, 7000-7099"
"""Of services that behaviours start themselves; the firewall accepts them as well."""
NODE_PORTS = range(30000, 30020)
"""Of services with pods that answer."""
EARLY_PORTS = range(30100, 30120)
"""Of services whose pods do not listen yet."""
REJECTED_PORTS = range(30200, 30220)
"""Of services without endpoints: kube-proxy rejects."""
DROPPED_PORTS = range(30300, 30320)
"""Of services with externalTrafficPolicy Local and no endpoint on this node: kube-proxy drops."""
LOGGED_PORTS = {
    31443: "calico-packet: ",
    31444: "TRACE: filter:FORWARD:rule:3 ",
    31445: "[ipv4-FWD-WAN-IN-10-A]",
}
"""Of services with twelve pods, whose accepted connections the firewall logs with these prefixes."""
POD, EARLY_POD = "10.244.0.100", "10.244.0.101"
_LOGGED = ", ".join(map(str, LOGGED_PORTS))
_TWELVE = ", ".join(f"{number} : 10.244.0.{110 + number}" for number in range(12))

_REPOSITORY = Path(__file__).parents[2]


def _ports(ports: range) -> str:
    return f"{ports.start}-{ports.stop - 1}"


KUBE_PROXY = f"""
table ip kube-proxy
delete table ip kube-proxy
table ip kube-proxy {{
    chain nat-prerouting {{
        type nat hook prerouting priority dstnat
        fib daddr type local tcp dport {_ports(NODE_PORTS)} dnat to {POD}:8080
        fib daddr type local tcp dport {_ports(EARLY_PORTS)} dnat to {EARLY_POD}:9000
        fib daddr type local tcp dport {{ {_LOGGED} }} dnat to numgen inc mod 12 map {{ {_TWELVE} }}
        fib daddr type local tcp dport 8081 dnat to 192.168.7.2:80
        fib daddr type local tcp dport 6882 dnat to 192.168.7.2:6881
    }}
    chain nat-postrouting {{
        type nat hook postrouting priority srcnat
        ip saddr {{ {PODS4}, {LAN4} }} oifname eth0 masquerade
        ip saddr {LAN4} oifname lan0 ct status dnat masquerade
        ip saddr {PODS4} oifname pod0 ct status dnat masquerade
    }}
    map no-endpoint-nodeports {{
        type inet_proto . inet_service : verdict
        elements = {{
            {", ".join(f"tcp . {port} : goto reject-chain" for port in REJECTED_PORTS)},
            {", ".join(f"tcp . {port} : drop" for port in DROPPED_PORTS)}
        }}
    }}
    chain filter-prerouting {{
        type filter hook prerouting priority dstnat - 10
        ct state new jump nodeport-endpoints-check
    }}
    chain nodeport-endpoints-check {{
        fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports
    }}
    chain reject-chain {{
        reject
    }}
}}
"""
"""As kube-proxy in its nftables mode writes it, and port forwarding to the LAN."""

_FIREWALL = f"""
table inet zoo_firewall {{
    chain input {{
        type filter hook input priority filter
        meta l4proto {{ icmp, ipv6-icmp }} accept
        ip daddr {NODE4[GUARDED]} goto guarded
        ip6 daddr {NODE6[GUARDED]} goto guarded
        meta pkttype {{ broadcast, multicast }} log prefix "[UFW BLOCK] " drop
    }}
    chain guarded {{
        ct state established,related accept
        tcp dport {{ {TCP_PORTS}, {OTHER_PORTS} }} accept
        udp dport {{ {UDP_PORTS}, {OTHER_PORTS} }} accept
        log prefix "[UFW BLOCK] " drop
    }}
    chain forward {{
        type filter hook forward priority filter
        {" ; ".join(f'ct state new tcp dport {port} log prefix "{prefix}"' for port, prefix in LOGGED_PORTS.items())}
    }}
    set seen4 {{ type ipv4_addr; size 65535; flags dynamic; counter; }}
    set seen6 {{ type ipv6_addr; size 65535; flags dynamic; counter; }}
    chain count {{
        type filter hook prerouting priority -500
        add @seen4 {{ ip saddr }}
        add @seen6 {{ ip6 saddr }}
    }}
}}
"""


class Topology:
    """The lab with its routes, rules and services, for the duration of a `with` block."""

    def __init__(self) -> None:
        """Name the hosts; nothing is built yet."""
        self.lab = Lab("node", "world", "neighbour", "pods", "lan", label="zoo")
        self.node, self.world, self.neighbour, self.pods, self.lan = self.lab.hosts
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Build the lab and start the services."""
        self._stack.enter_context(self.lab)
        try:
            self._link(self.pods, "pod0", "10.244.0")
            self._link(self.lan, "lan0", "192.168.7")
            self._outside()
            self._inside()
            self._rules()
            self._serve(self.node, f"tcp:{TCP_PORTS}", f"udp:{UDP_PORTS}")
            self._serve(self.pods, "tcp:8080,31443-31445")
            self._serve(self.lan, "tcp:80,443,6881")
            self._serve(self.world, "tcp:80,443,5000-5019", "udp:53,123,443,3478")
            self._serve(self.neighbour, "tcp:80,179", "udp:1900")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the lab."""
        self._stack.close()

    def _link(self, host: Host, name: str, network: str) -> None:
        peer = ("type", "veth", "peer", "name", "up0", "netns", host.namespace)
        self.node.run("ip", "link", "add", name, *peer)
        for where, device, address in ((self.node, name, f"{network}.1/24"), (host, "up0", f"{network}.2/24")):
            where.run("ip", "address", "add", address, "dev", device)
            where.run("ip", "link", "set", device, "up")
        host.run("ip", "route", "add", "default", "via", f"{network}.1")
        host.run("ip", "address", "flush", "dev", "eth0")

    def _outside(self) -> None:
        world = self.world
        for network in (*OUTSIDE4, OUTSIDE6):
            world.run("ip", "route", "add", "local", network, "dev", "lo")
        for network in (SILENT4, SILENT6):
            world.run("ip", "route", "add", "blackhole", network)
        # more specific than the block outside, which ends where the node's public addresses start
        for network in ("192.0.2.0/25", PODS4):
            world.run("ip", "route", "add", network, "via", self.node.address4)
        world.run("ip", "route", "add", "2001:db8::/64", "via", self.node.address6)
        world.run("ip", "route", "add", PODS6, "via", self.node.address6)
        world.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _inside(self) -> None:
        node = self.node
        settings = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.netfilter.nf_conntrack_acct=1")
        ports = f"net.ipv4.ip_local_port_range={PORT_RANGE.start} {PORT_RANGE.stop - 1}"
        node.run("sysctl", "-qw", ports, *settings)
        node.run("ip", "route", "add", "default", "via", self.world.address4)
        node.run("ip", "route", "add", "default", "via", self.world.address6)
        for address in NODE4.values():
            node.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        for address in NODE6.values():
            node.run("ip", "address", "add", f"{address}/128", "dev", "lo", "nodad")
        for host in (self.pods, self.lan, self.neighbour):
            host.run("ip", "route", "add", "local", BLOCKS4[host.name], "dev", "lo")
        self.pods.run("ip", "route", "add", "local", "10.244.0.96/27", "dev", "lo")
        node.run("ip", "address", "add", "2001:db8:244::1/64", "dev", "pod0", "nodad")
        self.pods.run("ip", "address", "add", "2001:db8:244::2/64", "dev", "up0", "nodad")
        for number in range(16, 32):
            self.pods.run("ip", "address", "add", f"2001:db8:244::{number:x}/64", "dev", "up0", "nodad")
        self.pods.run("ip", "route", "add", "default", "via", "2001:db8:244::1")
        self.lan.run("ip", "route", "add", "local", BEHIND4, "dev", "lo")
        self.lan.run("ip", "address", "add", f"{self.lan.address4}/24", "dev", "eth0")
        node.run("ip", "route", "add", BEHIND4, "via", "192.168.7.2")
        self.neighbour.run("ip", "route", "add", "default", "via", self.node.address4)

    def _rules(self) -> None:
        self.node.nft(_FIREWALL)
        self.node.nft(KUBE_PROXY)

    def _serve(self, host: Host, *services: str) -> None:
        command = (sys.executable, "-m", "tests.zoo.services", *services)
        process = host.start("env", f"--chdir={_REPOSITORY}", *command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the services of {host.name} did not start: run {' '.join(command)} to see why")
        process.stdout.close()
