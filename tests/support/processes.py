"""Processes in namespaces of their own, seen from outside (proc(5))."""

import contextlib
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    """Return children, their children, and so on."""
    found = [pid]
    for one in found:
        found += children(one)
    return found[1:]


def is_first_systemd(pid: int) -> bool:
    """Whether this is systemd as the first process of a namespace."""
    with contextlib.suppress(OSError):
        return _numbers(pid)[-1:] == [1] and Path(f"/proc/{pid}/comm").read_text() == "systemd\n"
    return False


def outside(inside: int, namespace: Path) -> int:
    """Return the number here of the process that has number `inside` in a PID namespace; 0 if there is none."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "ns/pid").readlink() == namespace and _numbers(int(path.name))[-1] == inside:
                return int(path.name)
    return 0


def _numbers(pid: int) -> list[int]:
    """Return a process's numbers, from this namespace to its own (NSpid)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return [int(number) for number in line.split()[1:]]
    return []
