"""How a kubelet is configured: its flags, then the file that `--config` names with the drop-ins of `--config-dir`.

Flags win over files, and drop-ins over the file, in the order of their names. The defaults differ. With a file they
are those of KubeletConfiguration v1beta1: no anonymous requests, authorization by the API server, no read-only port
(pkg/kubelet/apis/config/v1beta1/defaults.go). Without a file, even with drop-ins, they are those of the flags of old:
anonymous requests, everything allowed, port 10255 (applyLegacyDefaults in cmd/kubelet/app/options/options.go). So a
kubelet with an empty file is closed, and one without is open.
"""

from collections.abc import Mapping, Sequence

from monitor.audit.host import Program, ProgramKind, Setting
from monitor.audit.hosting.flags import read_flags
from monitor.audit.hosting.reader import Reader, Unreadable
from monitor.audit.hosting.settings import scalars, set_by, with_defaults

FIELDS = {
    "anonymous-auth": "authentication.anonymous.enabled",
    "authorization-mode": "authorization.mode",
    "client-ca-file": "authentication.x509.clientCAFile",
    "read-only-port": "readOnlyPort",
    "make-iptables-util-chains": "makeIPTablesUtilChains",
    "pod-manifest-path": "staticPodPath",
}
"""By flag: the field of KubeletConfiguration."""
_COMMON = {"make-iptables-util-chains": "true"}
_OF_FILE = {**_COMMON, "anonymous-auth": "false", "authorization-mode": "Webhook", "read-only-port": "0"}
_OF_FLAGS = {**_COMMON, "anonymous-auth": "true", "authorization-mode": "AlwaysAllow", "read-only-port": "10255"}


def read_kubelet(arguments: Sequence[str], reader: Reader, subject: str = "kubelet") -> Program:
    """Return a kubelet with what its command line and its files set; never raises."""
    flags = read_flags(ProgramKind.KUBELET, arguments)
    return configured(subject, set_by(flags), reader, flags.get("config", ""), flags.get("config-dir", ""))


def configured(
    subject: str, flags: Mapping[str, Setting], reader: Reader, file: str, directory: str, location: str = ""
) -> Program:
    """Return a kubelet with flags and files; a file that cannot be read is a gap, not a default."""
    settings: dict[str, Setting] = {}
    gap = ""
    try:
        for path in _paths(reader, file, directory):
            settings |= set_by(scalars(reader.document(path), FIELDS), path)
    except Unreadable as unreadable:
        settings, gap = {}, str(unreadable)
    settings |= flags
    if not gap:
        settings = with_defaults(settings, _OF_FILE if file else _OF_FLAGS)
    return Program(
        kind=ProgramKind.KUBELET, subject=subject, settings=settings, gap=gap, location=location or file[:256]
    )


def _paths(reader: Reader, file: str, directory: str) -> list[str]:
    return ([file] if file else []) + (reader.tree(directory, ".conf") if directory else [])
