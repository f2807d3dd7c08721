"""Reads the processes of a node from /proc: names of all, arguments and environment of those that checks judge."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from monitor.audit.host import Process
from monitor.files.changes import read_bounded

MAX_PROCESSES = 65_536
_MAX_NAME_BYTES = 64
_MAX_COMMAND_BYTES = 1 << 17
_MAX_ENVIRONMENT_BYTES = 1 << 20
_MAX_ARGUMENTS = 4096
_JUDGED = frozenset({
    "etcd", "hyperkube", "k3s", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet",
    "kubelite",
})  # fmt: skip
_ENVIRONMENT = {"etcd": "ETCD_"}
_FIRST = frozenset({"systemd", "init", "runit", "s6-svscan", "dinit", "openrc-init", "launcher"})
"""Names of process 1 of a machine, in the initial process namespace or in one of its own."""
_INITIAL_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO of <linux/proc_ns.h>."""


class Seen(NamedTuple):
    """What was read."""

    processes: tuple[Process, ...]
    gap: str
    """Why there may be more; empty: all were read."""


def read_processes(root: Path) -> Seen:
    """Return the processes below `root`; never raises."""
    directory = root / "proc"
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in islice(entries, MAX_PROCESSES + 1024) if entry.name.isdecimal()]
    except OSError as error:
        return Seen((), f"processes cannot be listed: {error.strerror}")
    pids = sorted(map(int, names))[:MAX_PROCESSES]
    found = tuple(_processes(directory, pids))
    return Seen(found, _gap(directory, found, len(names)))


def _gap(directory: Path, found: tuple[Process, ...], number: int) -> str:
    first = next((process.name for process in found if process.pid == 1), "")
    if number > MAX_PROCESSES:
        return f"there are more than {MAX_PROCESSES} processes"
    if not first:
        return "processes of others are hidden (hidepid), or this is not the /proc of the node"
    if first not in _FIRST and not _is_initial(directory):
        return "only the processes of a container are seen here, not those of the node"
    return ""


def _is_initial(directory: Path) -> bool:
    try:
        return os.readlink(directory / "self/ns/pid") == _INITIAL_NAMESPACE  # noqa: PTH115 - its text, not a path
    except OSError:
        return False


def _processes(directory: Path, pids: list[int]) -> Iterator[Process]:
    for pid in pids:
        own = directory / str(pid)
        name = (read_bounded(own / "comm", _MAX_NAME_BYTES) or b"").decode(errors="replace").strip("\n")
        if not name:  # it ended meanwhile
            continue
        arguments = _arguments(own)
        program = PurePosixPath(arguments[0].partition(" ")[0]).name if arguments else ""
        if program not in _JUDGED:
            yield Process(pid=pid, name=name)
            continue
        prefix = _ENVIRONMENT.get(program)
        environment = _environment(own, prefix) if prefix else {}
        gap = "its environment cannot be read" if environment is None else ""
        yield Process(pid=pid, name=name, arguments=arguments, environment=environment or {}, gap=gap)


def _arguments(own: Path) -> tuple[str, ...]:
    """Return the command line; its first part may hold spaces where a program overwrote it, as k3s does."""
    text = (read_bounded(own / "cmdline", _MAX_COMMAND_BYTES) or b"")[:_MAX_COMMAND_BYTES]
    return tuple(text.rstrip(b"\0").decode(errors="replace").split("\0")[:_MAX_ARGUMENTS]) if text.strip(b"\0") else ()


def _environment(own: Path, prefix: str) -> dict[str, str] | None:
    """Return the variables with a prefix; None if they cannot be read, which needs the rights of ptrace(2)."""
    text = read_bounded(own / "environ", _MAX_ENVIRONMENT_BYTES)
    if text is None:
        return None
    pairs = (line.partition("=") for line in text.decode(errors="replace").split("\0"))
    return {name: value for name, equals, value in pairs if equals and name.startswith(prefix)}
