"""A service may take addresses that are not its own."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import parts

_PLUGIN = "DenyServiceExternalIPs"


@each(ProgramKind.APISERVER, "enable-admission-plugins")
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    enabled = parts(server.value("enable-admission-plugins"))
    if _PLUGIN not in enabled:
        yield check.fail(
            server.subject,
            f"{_PLUGIN} is not enabled",
            location=server.where("enable-admission-plugins"),
            remedy=remedy(server, "enable-admission-plugins", ",".join([*enabled, _PLUGIN])),
        )


CHECK = Check(
    id="external-ips",
    title="Services cannot claim external addresses",
    reason="Everyone who may create a service can name any address in spec.externalIPs, and gets what the node and its "
    "pods send there (CVE-2020-8554).",
    severity=Severity.MEDIUM,
    remedy="Add DenyServiceExternalIPs to --enable-admission-plugins.",
    false_positives="Clusters that use externalIPs, or forbid them with another admission policy.",
    needs=(Part.HOST,),
    judge=_judge,
)
