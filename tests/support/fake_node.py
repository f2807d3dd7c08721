"""A directory that looks like the root of a node: processes, files and sysctls as tests write them down."""

from collections.abc import Mapping, Sequence
from pathlib import Path


class FakeNode:
    """A node below `root`; process 1 is systemd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._next_pid = 100
        self._add(1, "systemd", ["/sbin/init"], {})

    def run(self, *command: str, environment: Mapping[str, str] | None = None, name: str = "") -> int:
        """Add a process, and return its number; its root is the node's."""
        self._next_pid += 1
        self._add(self._next_pid, name or command[0].rpartition("/")[2][:15], command, environment or {})
        return self._next_pid

    def contain(self, pid: int, directory: str) -> None:
        """Give a process a root of its own: a directory of the node."""
        link = self.root / f"proc/{pid}/root"
        link.unlink()
        target = self.root / directory.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the node."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def sysctl(self, name: str, value: object) -> None:
        """Set a sysctl; a dot in the name of an interface is `/`."""
        path = "/".join(part.replace("/", ".") for part in name.split("."))
        self.write(f"/proc/sys/{path}", f"{value}\n")

    def uplink(self, name: str) -> None:
        """Give the node a default route."""
        header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        self.write("/proc/net/route", f"{header}{name}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")

    def _add(self, pid: int, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.write(f"/proc/{pid}/comm", f"{name}\n")
        self.write(f"/proc/{pid}/cmdline", "".join(f"{part}\0" for part in command))
        self.write(f"/proc/{pid}/environ", "".join(f"{key}={value}\0" for key, value in environment.items()))
        (self.root / f"proc/{pid}/root").symlink_to(self.root)
