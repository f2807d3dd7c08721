"""What kernel, sandbox and machine allow this process, found out by trying; nothing is changed."""

import contextlib
import ctypes
import grp
import importlib.util
import os
import platform
import pwd
import socket
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from monitor.daemon.sources.log_filters import LogFilters
from monitor.ebpf.btf import KERNEL
from monitor.ebpf.headers import system_headers
from monitor.ebpf.maps import library
from monitor.ebpf.messages import RAW_TRACEPOINT
from monitor.ebpf.syscall import bpf
from monitor.enforcers.nftables.enforcer import NftablesEnforcer
from monitor.files.access import denied
from monitor.model.errors import NodewardenError
from monitor.node import kubernetes
from monitor.settings.schema import Settings
from monitor.sources.conntrack import socket as conntrack_socket
from monitor.sources.journal import files as journal_files

_PROBED_BUFFER_BYTES = 1 << 16
_MAP_CREATE, _PROG_LOAD, _ARRAY = 0, 5, 2  # linux/bpf.h
_RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit
_CAPABILITIES = {  # linux/capability.h
    2: "CAP_DAC_READ_SEARCH",
    11: "CAP_NET_BROADCAST",
    12: "CAP_NET_ADMIN",
    21: "CAP_SYS_ADMIN",
    34: "CAP_SYSLOG",
    38: "CAP_PERFMON",
    39: "CAP_BPF",
}
_SYSCTLS = ("net/netfilter/nf_conntrack_acct", "kernel/bpf_stats_enabled")


class Facts(msgspec.Struct, frozen=True):
    """What was found. A text is why something does not work, and empty where it does."""

    account: str
    kernel: str
    is_sandboxed: bool
    """Whether a filter of system calls is in force, as in the unit."""
    capabilities: frozenset[str]
    """Those that matter to us, of the effective ones."""
    kernel_log: str
    nftables: str
    nftables_library: str
    conntrack: str
    bpf: str
    tracing: str
    types: str
    """The kernel's BTF."""
    compiler: str
    """bcc, its library and the headers that it needs."""
    hyperscan: str
    journal: str
    """Empty, too, where no detector reads it."""
    files: Mapping[str, tuple[str, ...]]
    """By detector: what it reads and may not read."""
    cluster: tuple[str, ...]
    """Of the cluster's files, those that may not be read."""
    interfaces: tuple[str, ...]
    """Of those that bans.xdp names, the ones that are missing."""
    state: str
    metrics: str
    group: str
    sysctls: Mapping[str, str]


def gather(settings: Settings, filters: LogFilters, *, serves_metrics: bool) -> Facts:
    """Try everything; some milliseconds. `serves_metrics`: this process has the port itself."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    effective = int(status["CapEff"], 16)
    return Facts(
        account=_account(),
        kernel=platform.release(),
        is_sandboxed=status.get("Seccomp", "0").strip() != "0",
        capabilities=frozenset(name for bit, name in _CAPABILITIES.items() if effective >> bit & 1),
        kernel_log=_why(lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))),
        nftables=_why(lambda: NftablesEnforcer(max_bans=16).exists()),
        nftables_library=_module("nftables"),
        conntrack=_why(lambda: _try_conntrack(all_namespaces=settings.sources.conntrack.all_namespaces)),
        bpf=_why(_try_map),
        tracing=_why(_try_tracing),
        types=_why(lambda: KERNEL.open("rb").close()),
        compiler=_module("bcc") or _why(library) or _headers(),
        hyperscan=_module("hyperscan"),
        journal=_why(lambda: journal_files.check_access(None)) if filters.journal else "",
        files={name: tuple(denied(patterns)) for name, patterns in filters.files.items()},
        cluster=tuple(kubernetes.denied_to_us()) if settings.bans.protect.kubernetes else (),
        interfaces=tuple(one for one in settings.bans.xdp.interfaces if not Path("/sys/class/net", one).exists()),
        state=_writable(settings.state.directory),
        metrics=_why(lambda: _try_port(settings, is_ours=serves_metrics)) if settings.metrics.enabled else "",
        group=_group(settings.control.group),
        sysctls={name: _read(Path("/proc/sys", name)) for name in _SYSCTLS},
    )


def _why(attempt: Callable[[], object]) -> str:
    """Return why an attempt fails; empty if it does not."""
    try:
        attempt()
    except OSError as error:
        return error.strerror or repr(error)
    except NodewardenError as error:
        return str(error)
    return ""


def _account() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _module(name: str) -> str:
    return "" if importlib.util.find_spec(name) else f"the Python module {name} is missing"


def _headers() -> str:
    general, own = system_headers()
    needed = [general / "linux/types.h", own / "asm/types.h"]
    return next((f"{path} is missing" for path in needed if not path.exists()), "")


def _try_conntrack(*, all_namespaces: bool) -> None:
    with conntrack_socket.open_socket(_PROBED_BUFFER_BYTES) as opened:
        conntrack_socket.listen(opened, all_namespaces=all_namespaces)


def _try_map() -> None:
    os.close(bpf(_MAP_CREATE, struct.pack("=IIII", _ARRAY, 4, 4, 1))[0])


def _try_tracing() -> None:
    code, licence = ctypes.create_string_buffer(_RETURN_ZERO), ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(licence)
    os.close(bpf(_PROG_LOAD, struct.pack("=IIQQ", RAW_TRACEPOINT, len(_RETURN_ZERO) // 8, *places))[0])


def _try_port(settings: Settings, *, is_ours: bool) -> None:
    """Bind to the port; where it is ours already, to the address alone: it may not be this machine's."""
    listen = settings.metrics.listen
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((listen.host, 0 if is_ours else listen.port))


def _writable(directory: Path) -> str:
    """Return why nothing can be kept there; it may be made by us."""
    place = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return f"{place} may not be written"
    return ""


def _group(name: str) -> str:
    with contextlib.suppress(KeyError):
        grp.getgrnam(name)
        return ""
    return f"there is no group {name}"


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""
