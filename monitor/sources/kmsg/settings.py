"""The settings of the kernel log, section `sources.kernel_log`."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import text
from monitor.config.shapes import MERGED, Section

LogPrefix = Annotated[str, text(longest=127)]
"""Text of a log prefix: the kernel's NF_LOG_PREFIXLEN is 128 with the closing NUL, so longer text never occurs."""


class KernelLogSettings(Section, frozen=True, kw_only=True):
    """Packets that firewall rules write to the kernel log."""

    enabled: Annotated[bool, Meta(description="Read packets that firewall rules write to the kernel log.")] = True
    prefixes: Annotated[
        tuple[LogPrefix, ...],
        MERGED,
        Meta(
            description="Count only lines whose log prefix starts with one of these; an empty list counts all. Naming "
            "the prefixes of your firewall is safer, because other kernel messages can contain text that local users "
            "choose."
        ),
    ] = ()
    ignore_prefixes: Annotated[
        tuple[LogPrefix, ...],
        MERGED,
        Meta(
            description="Do not count lines whose log prefix contains one of these, in any case: the firewall accepted "
            "the packet."
        ),
    ] = ("ALLOW", "ACCEPT", "AUDIT", "TRACE", "-A]")
