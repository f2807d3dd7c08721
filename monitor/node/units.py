"""Which systemd units run, by their control groups: systemd makes the directory at the start and removes it at the end.

Reading a directory needs no bus and no privilege. In a container with a control group namespace of its own no unit of
the host is found: then nothing is known of them.
"""

import glob
from collections.abc import Iterable
from pathlib import Path

_ROOTS = ("sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/systemd")
"""cgroup v2, and where v1 keeps systemd's own hierarchy (systemd(1))."""
_SYSTEM = "system.slice"
_MAX_LISTED = 64


def running_units(units: Iterable[str], root: Path = Path("/")) -> list[str]:
    """Return those of these services and slices of `system.slice` that have processes; a slice holds its instances."""
    return [unit for unit in dict.fromkeys(units) if any(_runs(root / place / _SYSTEM / unit) for place in _ROOTS)]


def _runs(group: Path) -> bool:
    inner = [Path(path) for path in glob.glob(f"{glob.escape(str(group))}/*/cgroup.procs")[:_MAX_LISTED]]  # noqa: PTH207
    return any(_has_text(path) for path in (group / "cgroup.procs", *inner))


def _has_text(path: Path) -> bool:
    """Whether a file of the kernel, which has no length, holds anything."""
    try:
        with path.open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
