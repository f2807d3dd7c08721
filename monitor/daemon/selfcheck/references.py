"""What the configuration refers to outside itself: logs, directories, groups, interfaces, units, addresses.

What only a default names is no fault of the operator, and is not looked at.
"""

import contextlib
import errno
import glob
import grp
import os
import pwd
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from monitor.daemon.selfcheck.crowdsec_files import crowdsec_faults, used_files
from monitor.daemon.selfcheck.unencrypted import is_loopback
from monitor.daemon.sources.log_filters import LogFilters
from monitor.filters.deadline import Deadline, TooSlow
from monitor.model.bans import ADMIN_GROUPS
from monitor.model.errors import ConfigError
from monitor.settings.schema import Control, Settings

SERVICE_USER = "nodewarden"
"""The account of the shipped systemd unit."""
_SERVICE_GROUPS = ("adm", "systemd-journal")
_UNIT_DIRECTORIES = tuple(
    f"{base}/systemd/{kind}"
    for base in ("etc", "run", "usr/local/lib", "usr/lib", "lib")
    for kind in ("system", "generator", "generator.early", "generator.late", "transient")
)
_LEAST_PORT = 1024
"""The unit has no capability for lower ones."""
_GLOB_S = 1.0
"""CPU time to look for the files of one pattern."""
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
          stat.S_IFBLK: "a device"}  # fmt: skip


class Finding(NamedTuple):
    """What is wrong with one setting; `path` may end in the index of an entry, and is empty for the whole."""

    path: str
    text: str
    is_warning: bool = False


def file_findings(settings: Settings, filters: LogFilters, root: Path) -> Iterator[Finding]:
    """Yield what is wrong with files and directories, and what the service may not read."""
    yield from _log_files(settings, filters)
    yield from _list_files(settings, root)
    yield from _audit_files(settings)
    yield from _in_place_of_a_socket(settings.control.socket)
    for path in (settings.state.directory, *settings.state.directory.parents):
        if os.path.lexists(path) and not path.is_dir():
            yield Finding("state.directory", f"{path} is not a directory")
    if settings.metrics.enabled and (name := settings.metrics.web_config_file):
        yield from _web_config(Path(name))
    for path_of, text, is_warning in crowdsec_faults(settings.crowdsec):
        yield Finding(path_of, text, is_warning)
    for file in sorted({*map(str, filters.files_read), *used_files(settings.crowdsec)}):
        if why := why_not_for_service(root / file.lstrip("/")):
            yield Finding("", f"{file}: {why}", is_warning=True)


def _log_files(settings: Settings, filters: LogFilters) -> Iterator[Finding]:
    """Yield what is wrong with the logs that sections and jails name."""
    looking = Deadline(_GLOB_S)
    with looking.watching():
        for name, section in settings.detectors.failures.items():
            for number, pattern in enumerate(section.files if section.enabled and name in filters.files else ()):
                yield from _log_file(f"detectors.failures.{name}.files[{number}]", pattern, looking)
        for name in filters.jails:
            for pattern in filters.files.get(name, ()):
                for one in _log_file("detectors.from_fail2ban", pattern, looking):
                    yield one._replace(text=f"jail {name}: {one.text}")
        for name, text in filters.missing().items():
            own = settings.detectors.failures.get(name)
            if own and name not in filters.jails and not own.files:
                yield Finding(f"detectors.failures.{name}.filter", f"finds nothing now: {text}", is_warning=True)


def _list_files(settings: Settings, root: Path) -> Iterator[Finding]:
    """Yield what is wrong with the files and URLs of block lists."""
    for name, section in settings.lists.items():
        path, url = f"lists.{name}.file", urlsplit(section.url)
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            yield Finding(
                f"lists.{name}.url", "is not encrypted: anybody on the way can change the list", is_warning=True
            )
        if section.file and not os.path.lexists(section.file):
            yield Finding(path, f"{section.file} does not exist now; it is read once it does", is_warning=True)
        elif section.file and (kind := _other_kind(section.file)):
            yield Finding(path, f"{section.file} is {kind}: a list is a regular file")
        elif section.file and (why := why_not_for_service(root / section.file.lstrip("/"))):
            yield Finding(path, f"{section.file}: {why}", is_warning=True)


def _audit_files(settings: Settings) -> Iterator[Finding]:
    """Yield which files of the audit do not exist; only root reads them."""
    audit = settings.audit
    for name, path in (("baseline", audit.baseline), ("kube_bench", audit.kube_bench)):
        if path and not os.path.lexists(path):
            yield Finding(f"audit.{name}", f"{path} does not exist now; audits read it once it does", is_warning=True)


def name_findings(settings: Settings, root: Path) -> Iterator[Finding]:
    """Yield what is wrong with the names of groups, interfaces and units, and with the address to listen on."""
    group = settings.control.group
    if group != Control().group and not _is_group(group):
        yield Finding("control.group", f"there is no group {group}")
    for name in settings.bans.protect.admin_groups:
        if name not in ADMIN_GROUPS and not _is_group(name):
            yield Finding("bans.protect.admin_groups", f"there is no group {name}")
    for number, name in enumerate(settings.bans.xdp.interfaces):
        if not (root / "sys/class/net" / name).exists():
            text = f"there is no interface {name} now; packets are dropped there once it exists"
            yield Finding(f"bans.xdp.interfaces[{number}]", text, is_warning=True)
    for name, section in settings.detectors.failures.items():
        for number, match in enumerate(section.journalmatch if section.enabled else ()):
            if missing := [unit for unit in _units(match) if not _is_unit(unit, root)]:
                text = f"there is no unit {' nor '.join(missing)}: nothing may write what is to be read"
                yield Finding(f"detectors.failures.{name}.journalmatch[{number}]", text, is_warning=True)
    yield from _listening(settings)


def _listening(settings: Settings) -> Iterator[Finding]:
    """Yield what keeps metrics from being served."""
    listen = settings.metrics.listen
    if settings.metrics.enabled and not _is_local(listen.host):
        text = f"{listen.host} is no address of this machine: metrics cannot be served"
        yield Finding("metrics.listen", text, is_warning=True)
    if settings.metrics.enabled and listen.port < _LEAST_PORT:
        text = f"the service may not listen on port {listen.port}: use {_LEAST_PORT} or above"
        yield Finding("metrics.listen", text, is_warning=True)


def _log_file(path: str, pattern: str, looking: Deadline) -> Iterator[Finding]:
    """Yield what is wrong with a pattern of log files: nothing matches it, or no file can be read as a log."""
    try:
        found = looking.call(_first_match, pattern)
    except TooSlow:
        yield Finding(path, f"{pattern} takes longer than {_GLOB_S:.0f} s to look for: name fewer directories")
        return
    if not found:
        yield Finding(path, f"{pattern} matches no file now; it is read once it exists", is_warning=True)
    elif found == pattern and (kind := _other_kind(found)):
        yield Finding(path, f"{pattern} is {kind}: a log is a regular file")


def _first_match(pattern: str) -> str:
    return next(glob.iglob(pattern), "")  # noqa: PTH207 - Path.glob would take ** for whole trees


def _other_kind(path: str) -> str:
    with contextlib.suppress(OSError):
        return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "")  # noqa: PTH116 - as above
    return ""


def _in_place_of_a_socket(path: Path) -> Iterator[Finding]:
    """Yield a fault where something else has the place of the control socket: it would be deleted."""
    with contextlib.suppress(OSError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            yield Finding("control.socket", f"{path} exists and is no socket")
    for parent in path.parents:
        if os.path.lexists(parent) and not parent.is_dir():
            yield Finding("control.socket", f"{parent} is not a directory")


def _web_config(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with the web configuration file, and with certificates and keys that it names."""
    from monitor.metrics.web_config import make_context, read_web_config

    try:
        if tls := read_web_config(path).tls_server_config:
            make_context(path, tls)
    except ConfigError as error:
        yield Finding("metrics.web_config_file", str(error))


def why_not_for_service(path: Path) -> str:
    """Return why the account of the service may not read a file; empty where it may, or where we cannot tell."""
    if os.geteuid() != 0:
        return ""
    try:
        account = pwd.getpwnam(SERVICE_USER)
        groups = {account.pw_gid, *(grp.getgrnam(name).gr_gid for name in _SERVICE_GROUPS if _is_group(name))}
        chain = [(path, 4), *((parent, 1) for parent in path.parents)]
        statuses = [(one, bit, one.stat()) for one, bit in chain]
    except (KeyError, OSError):
        return ""
    for one, bit, status in statuses:
        shift = 6 if status.st_uid == account.pw_uid else 3 if status.st_gid in groups else 0
        if not status.st_mode >> shift & bit:
            return f"user {SERVICE_USER}, as which the service runs, may not read {one}"
    return ""


def _is_group(name: str) -> bool:
    with contextlib.suppress(KeyError):
        grp.getgrnam(name)
        return True
    return False


def _units(match: str) -> Iterable[str]:
    fields = ("_SYSTEMD_UNIT=", "UNIT=", "OBJECT_SYSTEMD_UNIT=")
    return [term.partition("=")[2] for term in match.split() if term.startswith(fields)]


def _is_unit(name: str, root: Path) -> bool:
    """Whether systemd knows a unit; true where there is no systemd to ask."""
    if not (root / "run/systemd/system").is_dir() or "/" in name or name.endswith((".scope", ".slice")):
        return True
    template, at, instance = name.partition("@")
    names = [name, f"{template}@.{instance.rpartition('.')[2]}"] if at else [name]
    return any(os.path.lexists(root / directory / one) for directory in _UNIT_DIRECTORIES for one in names)


def _is_local(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as attempt:
            attempt.bind((host, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True
