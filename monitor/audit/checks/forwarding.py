"""The node forwards packets, and nothing on it is known to need that."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.sysctls import listed, number, unknown
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.hosting.kernel_values import dotted

_V4, _V6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
_ROUTERS = frozenset({
    "antrea-agent", "aws-k8s-agent", "bird", "bird6", "calico-node", "charon", "cilium-agent", "conmon", "containerd",
    "crio", "dockerd", "flanneld", "hostapd", "incusd", "k3s", "k3s-agent", "k3s-server", "keepalived", "kube-proxy",
    "kube-router", "kubelet", "kubelite", "libvirtd", "lxd", "netavark", "openvpn", "podman", "rke2", "systemd-nspawn",
    "tailscaled", "virtnetworkd", "xl2tpd", "zebra",
})  # fmt: skip
"""Names of programs whose purpose is to route, or that need it."""
_TUNNELS = (
    "br-", "cali", "cilium", "cni", "docker", "flannel", "incusbr", "kube-", "lxc", "lxdbr", "podman", "tailscale",
    "tun", "ve-", "veth", "virbr", "weave", "wg",
)  # fmt: skip
"""How names of interfaces of containers, virtual machines and tunnels start."""
_NAME_LENGTH = 15
"""Letters of a name that the kernel keeps (TASK_COMM_LEN)."""


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    host = facts.host
    missing = list(unknown(check, facts, _V4))
    yield from missing
    known = {name[:_NAME_LENGTH] for name in _ROUTERS}
    if (
        missing
        or any(one.name in known for one in host.processes)
        or any(name.startswith(_TUNNELS) for name in host.interfaces)
    ):
        return
    names = [name for name in host.interfaces if number(host, dotted("ipv4", name, "forwarding"))]
    found = []
    if number(host, _V4) or names:
        found.append((_V4, f"IPv4 packets are forwarded{f' from {listed(names)}' if names else ''}"))
    if number(host, _V6):
        found.append((_V6, "IPv6 packets are forwarded"))
    for subject, text in found:
        yield check.unknown(subject, f"{text}; {host.gap}") if host.gap else check.fail(subject, text)


CHECK = Check(
    id="forwarding",
    title="Packets are forwarded only where something needs it",
    reason="A node that forwards connects its networks: each neighbour can send through it, around other firewalls.",
    severity=Severity.MEDIUM,
    remedy="Set net.ipv4.ip_forward and net.ipv6.conf.all.forwarding to 0 in /etc/sysctl.d.",
    false_positives="Routers and gateways. Nodes with containers, virtual machines or a VPN are recognised by their "
    "processes and interfaces, and pass.",
    needs=(Part.HOST,),
    judge=_judge,
)
