"""A node may change other nodes and their pods."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import parts

_PLUGIN = "NodeRestriction"


@each(ProgramKind.APISERVER, "enable-admission-plugins")
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    enabled = parts(server.value("enable-admission-plugins"))
    if _PLUGIN not in enabled or _PLUGIN in parts(server.value("disable-admission-plugins")):
        yield check.fail(
            server.subject,
            f"{_PLUGIN} is not enabled: {stated(server, 'enable-admission-plugins')}",
            location=server.where("enable-admission-plugins"),
            remedy=remedy(server, "enable-admission-plugins", ",".join([*enabled, _PLUGIN])),
        )


CHECK = Check(
    id="apiserver-noderestriction",
    title="The API server limits what kubelets may change",
    reason="Without NodeRestriction, one broken-into node can label and taint others, and draw their pods to itself.",
    severity=Severity.HIGH,
    remedy="Add NodeRestriction to --enable-admission-plugins.",
    needs=(Part.HOST,),
    judge=_judge,
)
