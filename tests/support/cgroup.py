"""Creates and removes a cgroup for one test in every hierarchy that systemd uses."""

import contextlib
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_EMPTIES_S = 5.0


class Cgroup:
    """One cgroup; a process that writes its PID to the files `procs` moves into it."""

    def __init__(self, name: str) -> None:
        """Create it, on hosts with the unified hierarchy and on hosts with both."""
        named = [_MOUNT / kind for kind in ("systemd", "unified") if (_MOUNT / kind / "cgroup.procs").exists()]
        self._directories = [hierarchy / name for hierarchy in named or [_MOUNT]]
        for directory in self._directories:
            directory.mkdir()
        self.procs = [directory / "cgroup.procs" for directory in self._directories]

    def close(self) -> None:
        """Remove it and its children, after the processes in it have exited."""
        deadline = time.monotonic() + _EMPTIES_S
        for directory in self._directories:
            while directory.exists():
                inside = sorted(path for path in directory.rglob("*") if path.is_dir())
                with contextlib.suppress(OSError):
                    for path in [*reversed(inside), directory]:
                        path.rmdir()
                if directory.exists() and time.monotonic() > deadline:
                    raise RuntimeError(f"{directory} still has processes")
                time.sleep(0.01)
