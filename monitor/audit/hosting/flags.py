"""Command lines of Go programs as settings, and text as truth values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from monitor.audit.host import ProgramKind

MAX_VALUE = 4096
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})
_SWITCHES = frozenset({
    "anonymous-auth", "authentication-token-webhook", "auto-tls", "client-cert-auth", "make-iptables-util-chains",
    "peer-auto-tls", "peer-client-cert-auth",
})  # fmt: skip
"""Flags that need no value: what follows one is not its value."""
_LISTS = frozenset({
    "admission-control", "authorization-mode", "disable-admission-plugins", "enable-admission-plugins", "etcd-servers",
})  # fmt: skip
"""Flags that add up when they are repeated; of the others the last one is in force (pflag's StringSlice)."""
_KEPT = {
    ProgramKind.KUBELET: frozenset({
        "anonymous-auth", "authorization-mode", "client-ca-file", "config", "config-dir",
        "make-iptables-util-chains", "pod-manifest-path", "read-only-port",
    }),
    ProgramKind.APISERVER: frozenset({
        "admission-control", "anonymous-auth", "authentication-config", "authorization-config", "authorization-mode",
        "client-ca-file", "disable-admission-plugins", "enable-admission-plugins", "etcd-cafile", "etcd-certfile",
        "etcd-keyfile", "etcd-servers",
    }),
    ProgramKind.CONTROLLER_MANAGER: frozenset({"bind-address"}),
    ProgramKind.SCHEDULER: frozenset({"bind-address", "config"}),
    ProgramKind.PROXY: frozenset({"config", "metrics-bind-address"}),
    ProgramKind.ETCD: frozenset({
        "auto-tls", "cert-file", "client-cert-auth", "config-file", "data-dir", "key-file", "listen-client-http-urls",
        "listen-client-urls", "listen-metrics-urls", "listen-peer-urls", "name", "peer-auto-tls", "peer-cert-file",
        "peer-client-cert-auth", "peer-key-file", "peer-trusted-ca-file", "trusted-ca-file",
    }),
}  # fmt: skip
_NAMES = {kind.value: kind for kind in ProgramKind}
_OTHER_COMMANDS = {ProgramKind.ETCD: ("gateway", "grpc-proxy")}


def truth(text: str) -> bool | None:
    """Return the truth value of a flag or of a scalar in YAML; None if it is neither."""
    lowered = text.strip().lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


def parts(text: str) -> list[str]:
    """Return the parts of a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def recognise(arguments: Sequence[str]) -> tuple[ProgramKind, Sequence[str]] | None:
    """Return which program a command line starts, and its arguments; None for any other program."""
    if not arguments:
        return None
    name = PurePosixPath(arguments[0]).name
    rest = arguments[1:]
    if name == "hyperkube" and rest:
        name, rest = rest[0], rest[1:]
        name = name if name == "kubelet" or name.startswith("kube-") else f"kube-{name}"
    kind = _NAMES.get(name)
    if kind is None or (rest and rest[0] in _OTHER_COMMANDS.get(kind, ())):
        return None
    return kind, rest


def read_flags(kind: ProgramKind, arguments: Iterable[str]) -> dict[str, str]:
    """Return what a command line sets of the flags that checks use: `-a b`, `--a=b` and switches without a value."""
    found: dict[str, str] = {}
    waiting = ""
    for argument in arguments:
        if argument.startswith("-") and argument not in ("-", "--"):
            if waiting:
                _add(found, kind, waiting, "true")
            name, equals, value = argument.lstrip("-").partition("=")
            waiting = "" if equals or name in _SWITCHES else name
            if not waiting:
                _add(found, kind, name, value if equals else "true")
        elif waiting:
            _add(found, kind, waiting, argument)
            waiting = ""
    if waiting:
        _add(found, kind, waiting, "true")
    return found


def read_environment(kind: ProgramKind, environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return what an environment sets: `ETCD_CERT_FILE` is `cert-file` for the prefix `ETCD_`."""
    names = {name.removeprefix(prefix).lower().replace("_", "-"): value for name, value in environment.items()}
    return {name: value[:MAX_VALUE] for name, value in names.items() if name in _KEPT[kind]}


def _add(found: dict[str, str], kind: ProgramKind, name: str, value: str) -> None:
    name = name.replace("_", "-")  # as the flags of Kubernetes are normalised
    if name not in _KEPT[kind]:
        return
    before = found.get(name)
    found[name] = (f"{before},{value}" if before and name in _LISTS else value)[:MAX_VALUE]
