"""Whether the firewall's rules log what the kernel log source needs."""

from collections.abc import Sequence

from monitor.enforcers.nftables.log_rules import Finding, examine
from monitor.model.requirements import Part, PartKind, Requirement
from monitor.settings.schema import Settings

_WHAT = "firewall rules that log what they drop, often enough"


def look_at_rules(settings: Settings) -> list[Finding]:
    """Read and judge the rules of this network namespace; up to half a second. Errors as from `examine`."""
    source = settings.sources.kernel_log
    return examine(source.prefixes, source.ignore_prefixes)


def firewall_part(findings: Sequence[Finding], *, is_wanted: bool) -> Part:
    """Return the part of the self-check: other sources work without these lines."""
    requirements = [Requirement(_WHAT, one.text, one.repair) for one in findings] or [Requirement(_WHAT)]
    return Part("firewall_log", PartKind.SOURCE, is_wanted, requirements, is_optional=True)
