"""The fleet's memory in tests, demo and benchmarks: a real redis-server of its own, which keeps nothing on disk."""

import contextlib
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.daemon import wait_for
from tests.support.lab import Host

PORT = 6379
_LIMITS = ("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--maxclients", "15000")


class FleetServer:
    """redis-server in a host of the lab, or on loopback of this namespace; it can be killed and is then empty."""

    def __init__(
        self, directory: Path, host: Host | None = None, *, acl: Sequence[str] = (), port: int = PORT, memory: str = "0"
    ) -> None:
        """`acl` are lines of an ACL file, as `nodewarden fleet init` prints them; nothing runs yet."""
        self._directory = directory
        self._host = host
        self.port = port
        self.address = host.address4 if host else "127.0.0.1"
        self.process: subprocess.Popen[str] | None = None
        self._options = ["--port", str(port), "--maxmemory", memory, *_LIMITS]
        directory.mkdir(parents=True, exist_ok=True)
        if acl:
            (directory / "users.acl").write_text("\n".join(acl) + "\n")
            self._options += ["--aclfile", str(directory / "users.acl")]

    @property
    def url(self) -> str:
        """The URL for `fleet.url`."""
        return f"redis://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        """The PID of the running server."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What the server wrote to its log."""
        path = self._directory / "redis.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start it empty, and wait until it accepts connections."""
        loopback = [] if self._host is None else ["127.0.0.1"]
        command = [
            "redis-server",
            *("--bind", *loopback, self.address),
            *("--protected-mode", "no", "--dir", str(self._directory)),
            *("--logfile", str(self._directory / "redis.log")),
            *self._options,
        ]
        if self._host is None:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)
        else:
            self.process = self._host.start(*command)
        wait_for(self._is_up, "redis-server", lambda: self.log, 10)

    def kill(self) -> None:
        """Kill it: everything that it remembered is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def _is_up(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"redis-server exited with {self.process.returncode}\n{self.log}")
        with (
            self._host.entered() if self._host else contextlib.nullcontext(),
            contextlib.suppress(OSError),
            socket.create_connection((self.address, self.port), 1) as link,
        ):
            link.sendall(b"PING\r\n")
            return link.recv(64)[:1] in (b"+", b"-")  # -NOAUTH: it is up, too
        return False
