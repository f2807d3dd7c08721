"""What connection tracking requires: events by ctnetlink; and for the bytes of flows, that the kernel counts them."""

import msgspec

from monitor.files.attempts import read_sysctl, why_not
from monitor.model.requirements import Part, PartKind, Privileges, Requirement, capability_repair, sysctl_requirement
from monitor.sources.conntrack import socket as conntrack_socket
from monitor.sources.conntrack.reader import Conntrack
from monitor.sources.conntrack.settings import ConntrackSettings
from monitor.sources.log_scanner import LogTargets

_BUFFER_BYTES = 1 << 16
_ACCOUNTING = "net/netfilter/nf_conntrack_acct"


class ConntrackFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    conntrack: str
    """Why events cannot be received; empty: they can."""
    accounting: str
    """The sysctl by which the kernel counts packets and bytes of connections."""

    def parts(self, settings: ConntrackSettings, privileges: Privileges) -> list[Part]:
        """Return the events as a part, and the bytes of flows as one that is optional."""
        events = Requirement("connection events (ctnetlink)", self.conntrack, _repair(settings, privileges))
        accounting = sysctl_requirement(_ACCOUNTING, self.accounting, "bytes of connections and udp_amplification")
        return [
            Part(Conntrack.name, PartKind.SOURCE, settings.enabled, [events]),
            Part("flow_bytes", PartKind.SOURCE, settings.enabled, [accounting], is_optional=True),
        ]


def probe(settings: ConntrackSettings, _targets: LogTargets) -> ConntrackFindings:
    """Subscribe to events, for a moment."""
    return ConntrackFindings(
        conntrack=why_not(lambda: _subscribe(all_namespaces=settings.all_namespaces)),
        accounting=read_sysctl(_ACCOUNTING),
    )


def _subscribe(*, all_namespaces: bool) -> None:
    with conntrack_socket.open_socket(_BUFFER_BYTES) as opened:
        conntrack_socket.listen(opened, all_namespaces=all_namespaces)


def _repair(settings: ConntrackSettings, privileges: Privileges) -> str:
    for capability in ("CAP_NET_ADMIN", *(["CAP_NET_BROADCAST"] if settings.all_namespaces else [])):
        if capability not in privileges.capabilities:
            return capability_repair(capability, privileges)
    return "modprobe nf_conntrack_netlink"
