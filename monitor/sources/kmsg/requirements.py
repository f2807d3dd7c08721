"""What the kernel log requires: /dev/kmsg."""

import os

import msgspec

from monitor.files.attempts import why_not
from monitor.model.requirements import Part, PartKind, Privileges, Requirement, capability_repair
from monitor.sources.kmsg.reader import KernelLog
from monitor.sources.kmsg.settings import KernelLogSettings
from monitor.sources.log_scanner import LogTargets


class KernelLogFindings(msgspec.Struct, frozen=True):
    """Why something does not work, empty where it does."""

    kernel_log: str
    """Opening /dev/kmsg."""

    def parts(self, settings: KernelLogSettings, privileges: Privileges) -> list[Part]:
        """Return the kernel log as a part."""
        repair = capability_repair("CAP_SYSLOG", privileges)
        if "CAP_SYSLOG" in privileges.capabilities:
            repair = "in a container, bind /dev/kmsg; or: `sources: {kernel_log: {enabled: false}}`"
        requirement = Requirement("/dev/kmsg", self.kernel_log, repair)
        return [Part(KernelLog.name, PartKind.SOURCE, settings.enabled, [requirement])]


def probe(_settings: KernelLogSettings, _targets: LogTargets) -> KernelLogFindings:
    """Open it."""
    return KernelLogFindings(why_not(_open))


def _open() -> None:
    os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
