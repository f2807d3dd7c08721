"""Flags and settings of kubelet, API server and etcd, and of the control plane's other parts.

Where a value depends on the cluster, a word in capital letters stands for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from monitor.audit.findings import Finding
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.flags import parts
from monitor.audit.hosting.kubelet import FIELDS
from monitor.audit.suggest.suggestion import Form, Known, Suggest, Suggestion

ADDRESS = "ADDRESS"
"""Stands for the address of this node that other members use."""
_PKI, _ETCD_PKI = "/etc/kubernetes/pki", "/etc/kubernetes/pki/etcd"
_ANY_HOST = ("//0.0.0.0:", "//[::]:", "//:")
_K3S = {
    ProgramKind.KUBELET: "kubelet-arg",
    ProgramKind.APISERVER: "kube-apiserver-arg",
    ProgramKind.ETCD: "etcd-arg",
}
Changes = Callable[[Program], Mapping[str, str]]
"""Takes a program; returns flags with the values that they should have."""


def fixed(**flags: str) -> Changes:
    """Return flags with fixed values; `_` in a name stands for a dash."""
    changes = {name.replace("_", "-"): value for name, value in flags.items()}
    return lambda _: changes


def missing(**flags: str) -> Changes:
    """Return those of some flags that are not set, with values for them."""
    wanted = fixed(**flags)
    return lambda program: {name: value for name, value in wanted(program).items() if not program.value(name)}


def with_plugin(name: str) -> Changes:
    """Return the admission plugins that are enabled, and one more; it is no longer disabled."""

    def changes(program: Program) -> dict[str, str]:
        enabled = [*parts(program.value("enable-admission-plugins")), name]
        disabled = parts(program.value("disable-admission-plugins"))
        left = (
            {"disable-admission-plugins": ",".join(one for one in disabled if one != name)} if name in disabled else {}
        )
        return {"enable-admission-plugins": ",".join(dict.fromkeys(enabled)), **left}

    return changes


def urls_with_tls(*names: str) -> Changes:
    """Return flags that list URLs with https in place of http."""
    return lambda program: {
        name: program.value(name).replace("http://", "https://") for name in names if "http://" in program.value(name)
    }


def chosen_addresses(program: Program) -> dict[str, str]:
    """Return the URLs on which etcd listens, on loopback and one address instead of all; metrics on loopback."""
    found = {}
    for name in ("listen-client-urls", "listen-peer-urls"):
        value = program.value(name)
        for any_host in _ANY_HOST:
            value = value.replace(any_host, f"//{ADDRESS}:")
        if value != program.value(name):
            found[name] = value
    if "http://" in program.value("listen-metrics-urls"):
        found["listen-metrics-urls"] = "http://127.0.0.1:2381"
    return found


def without_self_signed(program: Program) -> dict[str, str]:
    """Return etcd's own certificate for peers, and their authority."""
    wanted = {
        "peer-auto-tls": "false",
        "peer-cert-file": program.value("peer-cert-file") or f"{_ETCD_PKI}/peer.crt",
        "peer-key-file": program.value("peer-key-file") or f"{_ETCD_PKI}/peer.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": program.value("peer-trusted-ca-file") or f"{_ETCD_PKI}/ca.crt",
        **urls_with_tls("listen-peer-urls", "initial-advertise-peer-urls")(program),
    }
    return {name: value for name, value in wanted.items() if program.value(name) != value}


def both(*several: Changes) -> Changes:
    """Return what several ask for."""
    return lambda program: {name: value for one in several for name, value in one(program).items()}


etcd_certificate = both(
    missing(cert_file=f"{_ETCD_PKI}/server.crt", key_file=f"{_ETCD_PKI}/server.key"),
    urls_with_tls("listen-client-urls", "advertise-client-urls"),
)
to_etcd = both(
    missing(
        etcd_cafile=f"{_ETCD_PKI}/ca.crt",
        etcd_certfile=f"{_PKI}/apiserver-etcd-client.crt",
        etcd_keyfile=f"{_PKI}/apiserver-etcd-client.key",
    ),
    urls_with_tls("etcd-servers"),
)


def of(kind: ProgramKind, changes: Changes, warning: str) -> Suggest:
    """Suggest flags for the programs that findings are about, in the notation of the file that sets them."""

    def suggest(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
        programs = {program.subject: program for program in known.facts.host.of(kind)}
        for finding in findings:
            program = programs.get(finding.subject)
            wanted = dict(changes(program)) if program else {}
            if program is None or not wanted:
                continue
            text, target = _written(program, wanted)
            yield Suggestion(
                check=finding.check,
                subjects=(finding.subject,),
                form=Form.SETTINGS,
                text=text,
                target=target or finding.location,
                warning=warning,
                changes=wanted,
            )

    return suggest


def _written(program: Program, changes: Mapping[str, str]) -> tuple[str, str]:
    """Return the lines, and the file that they belong into as far as it is known."""
    location = next((where for name in changes if (where := program.where(name))), "")
    if "/rancher/" in location and program.kind in _K3S:
        lines = [f"{_K3S[program.kind]}:", *(f'  - "{name}={value}"' for name, value in changes.items())]
        return "\n".join(lines), location
    if program.kind is ProgramKind.KUBELET and location and all(_is_of_file(program, name) for name in changes):
        return "\n".join(_nested({FIELDS[name]: value for name, value in changes.items()})), location
    return "\n".join(f"--{name}={value}" for name, value in changes.items()), location


def _is_of_file(program: Program, name: str) -> bool:
    """Whether a setting is in a configuration file, or can be: a flag would win over it."""
    setting = program.settings.get(name)
    return name in FIELDS and (setting is None or setting.is_default or bool(setting.location))


def _nested(fields: Mapping[str, str]) -> Iterator[str]:
    """Write dotted names as nested YAML."""
    before: list[str] = []
    for name, value in sorted(fields.items()):
        *parents, last = name.split(".")
        for depth, parent in enumerate(parents):
            if before[: depth + 1] != parents[: depth + 1]:
                yield f"{'  ' * depth}{parent}:"
                before = parents[: depth + 1]
        yield f"{'  ' * len(parents)}{last}: {value}"


def flag(program: str, name: str, value: str, warning: str) -> Suggest:
    """Suggest a flag for findings about ports of a program, wherever its command line is written."""

    def suggest(findings: Sequence[Finding], _: Known) -> Iterator[Suggestion]:
        yield Suggestion(
            check=findings[0].check,
            subjects=tuple(dict.fromkeys(one.subject for one in findings))[:512],
            form=Form.SETTINGS,
            text=f"--{name}={value}",
            target=program,
            warning=warning,
            changes={name: value},
        )

    return suggest
