"""The API server answers requests of nobody in particular.

With AlwaysAllow among `--authorization-mode` it turns `--anonymous-auth` off when it starts (ApplyAuthorization in
pkg/kubeapiserver/options/authentication.go).
"""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.apiserver import ANONYMOUS_PATHS
from monitor.audit.hosting.flags import parts, truth

_HEALTH = frozenset({"/healthz", "/livez", "/readyz", "/version"})


@each(ProgramKind.APISERVER, "anonymous-auth", "authorization-mode")
def _judge(check: Check, server: Program) -> Iterator[Finding]:
    paths = parts(server.value(ANONYMOUS_PATHS))
    modes = parts(server.value("authorization-mode"))
    is_off = truth(server.value("anonymous-auth")) is False or ("AlwaysAllow" in modes and not _is_in_file(server))
    if is_off or (paths and _HEALTH.issuperset(paths)):
        return
    yield check.fail(
        server.subject,
        f"{stated(server, 'anonymous-auth')}, and {stated(server, 'authorization-mode')}",
        severity=Severity.MEDIUM if "RBAC" in modes else Severity.HIGH,
        location=server.where("anonymous-auth"),
        remedy=remedy(server, "anonymous-auth", "false"),
    )


def _is_in_file(server: Program) -> bool:
    settings = (server.settings.get(name) for name in ("anonymous-auth", "authorization-mode"))
    return any(setting is not None and bool(setting.location) for setting in settings)


CHECK = Check(
    id="apiserver-anonymous",
    title="The API server refuses anonymous requests",
    reason="One binding to system:anonymous, by mistake or by malice, then opens the cluster to everybody.",
    severity=Severity.HIGH,
    remedy="Set --anonymous-auth=false, or name the paths of health checks in the file of --authentication-config.",
    false_positives="Probes of load balancers and kubeadm's own ask /livez and /readyz without authentication.",
    needs=(Part.HOST,),
    judge=_judge,
)
