"""Which check is repaired how: the one place that knows both."""

from collections.abc import Iterable, Iterator, Mapping

from monitor.audit.check import Check
from monitor.audit.findings import Finding, State
from monitor.audit.suggest import firewall, own, ports, programs, sysctls
from monitor.audit.suggest.control_plane import CONTROL_PLANE
from monitor.audit.suggest.default_drop import drop_the_rest
from monitor.audit.suggest.suggestion import Form, Known, Suggest, Suggestion, subjects

_LOCAL = "Prometheus can no longer read its metrics over the network"

BY_CHECK: Mapping[str, tuple[Suggest, ...]] = {
    "exposed-etcd": (ports.close_ports,),
    "exposed-kubelet": (ports.close_ports,),
    "exposed-control": (
        programs.flag("kube-controller-manager and kube-scheduler", "bind-address", "127.0.0.1", _LOCAL),
        ports.close_ports,
    ),
    "exposed-apiserver": (ports.close_ports,),
    "exposed-proxy": (
        programs.flag("kube-proxy", "metrics-bind-address", "127.0.0.1:10249", _LOCAL),
        ports.close_ports,
    ),
    "exposed-nodeport": (ports.close_ports,),
    "exposed-other": (
        own.advice(
            "nodewarden audit --write-baseline /etc/nodewarden/audit-baseline.json",
            Form.COMMANDS,
            warning="this accepts all that is open now: run it when what is left is meant to be open",
        ),
        ports.close_ports,
    ),
    "ipv6-open": (ports.close_ipv6,),
    "forward-bypass": (ports.close_ports,),
    "default-accept": (drop_the_rest,),
    "permissive-rule": (firewall.restrict_rules,),
    "shadowed-rule": (firewall.delete_rules,),
    "never-hit": (firewall.delete_rules,),
    "legacy-and-nft": (firewall.move_legacy,),
    "not-persistent": (firewall.keep_rules,),
    "tables-drift": (
        own.advice(
            "nodewarden audit diff\nnodewarden audit --write-baseline /etc/nodewarden/audit-baseline.json",
            Form.COMMANDS,
            warning="the second command accepts the rules as they are: read the first one's output before",
        ),
    ),
    "own-table": (
        own.advice(
            "nodewarden doctor\nsystemctl restart nodewarden",
            Form.COMMANDS,
            warning="bans stay in force; if another program removes the table, it will do so again",
        ),
    ),
    "rp-filter": (sysctls.loose_filter,),
    "forwarding": (sysctls.set_to("0", "containers, virtual machines and VPN peers behind this node are cut off"),),
    "route-localnet": (
        sysctls.set_to(
            "0",
            "NodePorts on 127.0.0.1 no longer work; kube-proxy sets it again unless it runs with "
            "--iptables-localhost-nodeports=false",
        ),
    ),
    "syncookies": (sysctls.set_to("1", ""),),
    "redirects": (sysctls.set_to("0", "routes that neighbours announce by redirects are no longer used"),),
    "source-route": (sysctls.set_to("0", ""),),
    "conntrack-full": (sysctls.larger_table,),
    **CONTROL_PLANE,
    "egress-open": (own.name_destinations,),
    "fleet-tls": (
        own.advice(
            "fleet:\n  url: rediss://SERVER:6379\n  username: NODE\n  password_file: /etc/nodewarden/fleet.password",
            Form.SETTINGS,
            target="/etc/nodewarden/conf.d/50-local.yaml",
            warning="the server must serve TLS first; `nodewarden fleet init` writes a user for each node",
        ),
    ),
}
"""By check: what may repair its findings, the best first."""


def suggest(findings: Iterable[Finding], checks: Mapping[str, Check], known: Known) -> Iterator[Suggestion]:
    """Yield suggestions for all findings that fail, in the order of their checks.

    Findings that none of these repairs get the remedy as it is written in the finding or the check.
    """
    by_check: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.state is State.FAIL:
            by_check.setdefault(finding.check, []).append(finding)
    for check, some in by_check.items():
        made = [one for repair in BY_CHECK.get(check, ()) for one in repair(some, known)]
        yield from made
        repaired = {subject for one in made for subject in one.subjects}
        yield from _remedies([one for one in some if one.subject not in repaired], checks.get(check))


def _remedies(findings: list[Finding], check: Check | None) -> Iterator[Suggestion]:
    by_text: dict[str, list[Finding]] = {}
    for finding in findings:
        if text := finding.remedy or (check.remedy if check else ""):
            by_text.setdefault(text, []).append(finding)
    for text, some in by_text.items():
        yield Suggestion(check=some[0].check, subjects=subjects(some), form=Form.ADVICE, text=text)
