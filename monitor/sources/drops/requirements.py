"""What the drop counters require: eBPF and the kernel's types; and for their run time, that the kernel measures it."""

import msgspec

from monitor.ebpf.btf import KERNEL
from monitor.ebpf.requirements import EbpfFindings, probe_ebpf
from monitor.files.attempts import read_sysctl, why_not
from monitor.model.requirements import Part, PartKind, Privileges, Requirement, sysctl_requirement
from monitor.sources.drops.settings import DropCounting
from monitor.sources.log_scanner import LogTargets

_STATISTICS = "kernel/bpf_stats_enabled"


class DropsFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    ebpf: EbpfFindings
    types: str
    """Why the kernel's BTF cannot be read; empty: it can."""
    statistics: str
    """The sysctl by which the kernel measures all programs."""

    def parts(self, settings: DropCounting, privileges: Privileges) -> list[Part]:
        """Return the counters as a part, and their run time as one that is optional."""
        types = Requirement("the kernel's types (BTF)", self.types, "a kernel with CONFIG_DEBUG_INFO_BTF=y")
        is_measured = (
            "CAP_SYS_ADMIN" in privileges.capabilities
        )  # then the daemon switches measuring on when it needs it
        statistics = sysctl_requirement(_STATISTICS, self.statistics, "the run time of eBPF programs")
        return [
            Part("drops", PartKind.SOURCE, settings.section.enabled, [*self.ebpf.requirements(privileges), types]),
            Part(
                "ebpf_run_time",
                PartKind.SOURCE,
                settings.section.enabled,
                [] if is_measured else [statistics],
                is_optional=True,
            ),
        ]


def probe(_settings: DropCounting, _targets: LogTargets) -> DropsFindings:
    """Try eBPF and look for the kernel's types."""
    return DropsFindings(
        ebpf=probe_ebpf(), types=why_not(lambda: KERNEL.open("rb").close()), statistics=read_sysctl(_STATISTICS)
    )
