"""How an API server is configured: its flags, and the files of structured authentication and authorization.

Defaults: anonymous requests are answered (`--anonymous-auth` is true), and everything is allowed
(`--authorization-mode` is AlwaysAllow) unless `--authorization-config` names a file (kube-apiserver's reference).
"""

from collections.abc import Sequence
from typing import Any

from monitor.audit.host import Program, ProgramKind, Setting
from monitor.audit.hosting.flags import read_flags
from monitor.audit.hosting.reader import Reader, Unreadable
from monitor.audit.hosting.settings import set_by, with_defaults
from monitor.node.documents import as_list, as_mapping

ANONYMOUS_PATHS = "anonymous-paths"
"""A setting of ours: the only paths that are open to anonymous requests."""
_DEFAULTS = {"anonymous-auth": "true", "authorization-mode": "AlwaysAllow"}


def read_apiserver(
    arguments: Sequence[str], reader: Reader, subject: str = "kube-apiserver", location: str = ""
) -> Program:
    """Return an API server with what its command line and its files set; never raises."""
    settings = set_by(read_flags(ProgramKind.APISERVER, arguments))
    gap = ""
    for flag, name, read in (
        ("authentication-config", "anonymous-auth", _authentication),
        ("authorization-config", "authorization-mode", _authorization),
    ):
        path = settings[flag].value if flag in settings else ""
        if not path or name in settings:
            continue
        try:
            settings |= set_by(read(reader.document(path)), path)
        except Unreadable as unreadable:
            gap = str(unreadable)
    defaults = {name: value for name, value in _DEFAULTS.items() if not gap}
    return Program(
        kind=ProgramKind.APISERVER,
        subject=subject,
        settings=_merged(with_defaults(settings, defaults)),
        gap=gap,
        location=location,
    )


def _authentication(document: dict[Any, Any]) -> dict[str, str]:
    """Return what an AuthenticationConfiguration says of anonymous requests."""
    anonymous = as_mapping(document.get("anonymous"))
    found = {"anonymous-auth": str(anonymous.get("enabled", ""))} if "enabled" in anonymous else {}
    paths = [as_mapping(one).get("path") for one in as_list(anonymous.get("conditions"))]
    if paths:
        found[ANONYMOUS_PATHS] = ",".join(path for path in paths if isinstance(path, str))
    return found


def _authorization(document: dict[Any, Any]) -> dict[str, str]:
    """Return the kinds of authorizers of an AuthorizationConfiguration, in their order."""
    kinds = [as_mapping(one).get("type") for one in as_list(document.get("authorizers"))]
    return {"authorization-mode": ",".join(kind for kind in kinds if isinstance(kind, str))}


def _merged(settings: dict[str, Setting]) -> dict[str, Setting]:
    """Return settings with `--admission-control`, the flag's old name, under the new one."""
    old = settings.pop("admission-control", None)
    return {"enable-admission-plugins": old, **settings} if old else settings
