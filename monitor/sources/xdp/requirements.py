"""What the XDP program requires: eBPF, and the interfaces that the configuration names."""

from pathlib import Path

import msgspec

from monitor.ebpf.requirements import EbpfFindings, probe_ebpf
from monitor.model.requirements import Part, PartKind, Privileges, Requirement
from monitor.sources.log_scanner import LogTargets
from monitor.sources.xdp.settings import XdpSettings

_INTERFACES = Path("/sys/class/net")


class XdpFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    ebpf: EbpfFindings
    interfaces: tuple[str, ...]
    """Of the configured interfaces, those that do not exist."""

    def parts(self, settings: XdpSettings, privileges: Privileges) -> list[Part]:
        """Return the program as a part: an enforcer, since it drops."""
        missing = [
            Requirement(
                f"the interface {name}",
                "there is no such interface",
                "ip -brief link, to see which there are; then correct bans.xdp.interfaces",
            )
            for name in self.interfaces
        ]
        requirements = [*self.ebpf.requirements(privileges), *missing]
        return [Part("xdp", PartKind.ENFORCER, bool(settings.interfaces), requirements)]


def probe(settings: XdpSettings, _targets: LogTargets) -> XdpFindings:
    """Try eBPF and look for the interfaces."""
    missing = tuple(name for name in settings.interfaces if not (_INTERFACES / name).exists())
    return XdpFindings(probe_ebpf(), missing)
