"""How an etcd member is configured: a file alone if it has one, else flags, then its environment.

With `--config-file` or `ETCD_CONFIG_FILE`, etcd ignores all other flags and its environment
(https://etcd.io/docs/latest/op-guide/configuration).
"""

from collections.abc import Mapping, Sequence

from monitor.audit.host import Program, ProgramKind, Setting
from monitor.audit.hosting.flags import read_environment, read_flags
from monitor.audit.hosting.reader import Reader, Unreadable
from monitor.audit.hosting.settings import scalars, set_by, with_defaults

_CLIENT, _PEER = "client-transport-security", "peer-transport-security"
_FIELDS = {
    "name": "name",
    "data-dir": "data-dir",
    "listen-client-urls": "listen-client-urls",
    "listen-client-http-urls": "listen-client-http-urls",
    "listen-peer-urls": "listen-peer-urls",
    "listen-metrics-urls": "listen-metrics-urls",
    **{name: f"{_CLIENT}.{name}" for name in ("cert-file", "key-file", "client-cert-auth", "trusted-ca-file")},
    "auto-tls": f"{_CLIENT}.auto-tls",
    **{
        f"peer-{name}": f"{_PEER}.{name}"
        for name in ("cert-file", "key-file", "client-cert-auth", "trusted-ca-file", "auto-tls")
    },
}
_DEFAULTS = {
    "listen-client-urls": "http://localhost:2379",
    "listen-peer-urls": "http://localhost:2380",
    "auto-tls": "false",
    "client-cert-auth": "false",
    "peer-auto-tls": "false",
    "peer-client-cert-auth": "false",
}


def read_etcd(
    arguments: Sequence[str], environment: Mapping[str, str], reader: Reader, location: str = "", gap: str = ""
) -> Program:
    """Return an etcd member with what is in force; never raises. `gap` is why its environment is not known."""
    flags = read_flags(ProgramKind.ETCD, arguments)
    given = {**read_environment(ProgramKind.ETCD, environment, "ETCD_"), **flags}
    file = given.get("config-file", "")
    gap = "" if "config-file" in flags else gap
    settings: dict[str, Setting] = {}
    try:
        settings = set_by(scalars(reader.document(file), _FIELDS), file) if file else set_by(given)
    except Unreadable as unreadable:
        gap = str(unreadable)
    if not gap:
        settings = with_defaults(settings, _DEFAULTS)
    return Program(kind=ProgramKind.ETCD, subject="etcd", settings=settings, gap=gap, location=location or file[:256])
