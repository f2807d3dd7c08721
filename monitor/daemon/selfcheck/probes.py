"""What kernel, sandbox and machine allow this process, found out by trying; nothing is changed."""

import contextlib
import errno
import grp
import os
import pwd
import resource
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from monitor.config.types import Endpoint
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.registrations import SOURCES
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.enforcers.nftables.writers import Writers, read_writers
from monitor.enforcers.owner import why_not_ours
from monitor.files.attempts import missing_module, why_not
from monitor.model.requirements import Privileges
from monitor.node import kernel_settings, kubernetes, pods
from monitor.settings.schema import Settings
from monitor.sources.requirements import Findings

_CAPABILITIES = {  # linux/capability.h
    2: "CAP_DAC_READ_SEARCH",
    11: "CAP_NET_BROADCAST",
    12: "CAP_NET_ADMIN",
    21: "CAP_SYS_ADMIN",
    34: "CAP_SYSLOG",
    38: "CAP_PERFMON",
    39: "CAP_BPF",
}


class Probed(msgspec.Struct, frozen=True):
    """What was found. A text is why something does not work, and empty where it does."""

    kernel: str
    """Its release."""
    privileges: Privileges
    sources: Mapping[str, Findings]
    """By name: what each found of itself."""
    nftables: str
    writers: Writers
    """Who else makes tables."""
    owner: str
    hyperscan: str
    cluster: tuple[str, ...]
    """Of the cluster's files, those that may not be read."""
    pods: tuple[str, ...]
    """Directories with results of CNI that may not be read."""
    state: str
    metrics: str
    group: str
    descriptors: int
    """How many file descriptors this process may have; the daemon raises the soft limit to the hard one."""
    slow_filters: Mapping[str, str] = MappingProxyType({})
    """By detector: which lines are skipped because its filter takes too long on them."""
    reads_logs: bool = False
    """Whether any detector reads logs."""
    missing_logs: Mapping[str, str] = MappingProxyType({})
    """By detector: why there is no log for it to read."""
    silent_logs: Mapping[str, str] = MappingProxyType({})
    """By detector: why its log may be the wrong one."""
    sysctls: Mapping[str, str] = MappingProxyType({})
    """Their values, by name."""
    web_config: str = ""
    filter_faults: Mapping[str, str] = MappingProxyType({})
    """By detector: why it finds nothing."""
    table: str = ""
    """What is wrong with the table of the running daemon."""


def probe(settings: Settings, filters: LogFilters, *, serves_metrics: bool, is_owner: bool) -> Probed:
    """Try everything; some milliseconds.

    `serves_metrics`: this process has the port itself; `is_owner`: it owns the network namespace.
    """
    listen = settings.metrics.listen
    return Probed(
        kernel=os.uname().release,
        privileges=_privileges(),
        sources={row.source.name: row.source.probe(row.settings_in(settings), filters) for row in SOURCES},
        nftables=why_not(lambda: NftablesEnforcer(max_bans=16).exists()),
        writers=read_writers(),
        owner="" if is_owner else why_not_ours(),
        hyperscan=missing_module("hyperscan"),
        reads_logs=bool(filters.definitions),
        missing_logs=MappingProxyType(filters.missing()),
        cluster=tuple(kubernetes.denied_to_us()) if settings.bans.protect.kubernetes else (),
        pods=tuple(pods.denied_to_us()),
        state=_writable(settings.state.directory),
        metrics=why_not(lambda: try_port(listen, is_ours=serves_metrics)) if settings.metrics.enabled else "",
        web_config=why_not(lambda: _try_web_config(settings)),
        group=_group(settings.control.group),
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        sysctls=MappingProxyType(kernel_settings.read_values()),
    )


def _privileges() -> Privileges:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    effective = int(status["CapEff"], 16)
    return Privileges(
        account=_account(),
        is_sandboxed=status.get("Seccomp", "0").strip() != "0",
        capabilities=frozenset(name for bit, name in _CAPABILITIES.items() if effective >> bit & 1),
    )


def _account() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def try_port(listen: Endpoint, *, is_ours: bool) -> None:
    """Bind to the port; where it is ours already, it is in use, unless the address is not this machine's.

    Not to port 0: where systemd has the BPF framework, as in Debian 13, the unit's SocketBindAllow refuses it.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((listen.host, listen.port))
        except OSError as error:
            if not (is_ours and error.errno == errno.EADDRINUSE):
                raise


def _try_web_config(settings: Settings) -> None:
    """Read the file with its certificates, if metrics are served by one."""
    if settings.metrics.enabled and (name := settings.metrics.web_config_file):
        from monitor.metrics.web_gate import WebGate

        WebGate(Path(name))


def _writable(directory: Path) -> str:
    """Return why nothing can be kept there; it may be made by us."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
        return f"{existing} may not be written"
    return ""


def _group(name: str) -> str:
    with contextlib.suppress(KeyError):
        grp.getgrnam(name)
        return ""
    return f"there is no group {name}"
