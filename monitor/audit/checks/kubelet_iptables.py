"""The kubelet does not make its iptables chains."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.checks.programs import each, remedy, stated
from monitor.audit.facts import Part
from monitor.audit.findings import Finding, Severity
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import truth


@each(ProgramKind.KUBELET, "make-iptables-util-chains")
def _judge(check: Check, kubelet: Program) -> Iterator[Finding]:
    if truth(kubelet.value("make-iptables-util-chains")) is False:
        yield check.fail(
            kubelet.subject,
            stated(kubelet, "make-iptables-util-chains"),
            location=kubelet.where("make-iptables-util-chains"),
            remedy=remedy(kubelet, "make-iptables-util-chains", "true"),
        )


CHECK = Check(
    id="kubelet-iptables",
    title="The kubelet makes its iptables chains",
    reason="KUBE-FIREWALL drops packets from other hosts to 127.0.0.0/8, which route_localnet lets in. Without it, "
    "neighbours of the node reach services that listen on loopback only (CVE-2020-8558).",
    severity=Severity.MEDIUM,
    remedy="Set makeIPTablesUtilChains to true in the kubelet's configuration file.",
    false_positives="Nodes without kube-proxy, or with kube-proxy in nftables mode.",
    needs=(Part.HOST,),
    judge=_judge,
)
