"""A private lab: hosts as network namespaces on one switch; it is removed completely.

Every host gets `10.88.0.N/24` and `fd88::N/64` on `eth0`, N counting from 1 in the order given. The switch is a bridge
in a separate namespace, so hosts are neighbours as on a LAN, and one can forge the address of another.
"""

import contextlib
import ctypes
import fcntl
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_LOG_ALL = Path("/proc/sys/net/netfilter/nf_log_all_netns")
_LOG_ALL_BEFORE = Path("/run/nodewarden-lab.nf_log_all_netns")


def _ip(*commands: str, namespace: str = "") -> None:
    """Run commands of ip(8) in one process: hundreds of labs are built, each with dozens of commands."""
    inside = ("-n", namespace) if namespace else ()
    text = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(["ip", *inside, "-batch", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(inside)}: {done.stderr.strip()}\n{text}")


class Host:
    """One network namespace of the lab."""

    def __init__(self, name: str, namespace: str, number: int) -> None:
        self.name = name
        self.namespace = namespace
        self.address4 = f"10.88.0.{number}"
        self.address6 = f"fd88::{number:x}"
        self._started: list[subprocess.Popen[Any]] = []

    def _command(self, arguments: Sequence[str | Path]) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *map(str, arguments)]

    def run(
        self, *arguments: str | Path, check: bool = True, timeout_s: float = 60, input_text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside this host and wait; with `check`, a failure raises with the output."""
        done = subprocess.run(
            self._command(arguments), capture_output=True, text=True, timeout=timeout_s, input=input_text, check=False
        )
        if check and done.returncode:
            raise RuntimeError(
                f"{self.name}: {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def start(
        self,
        *arguments: str | Path,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
        env: dict[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command inside this host; it is stopped with the lab at the latest.

        `ip netns exec` replaces itself by the command, so the returned PID is that of the command.
        """
        process = subprocess.Popen(
            self._command(arguments), stdout=stdout, stderr=stderr, text=True, stdin=subprocess.DEVNULL, env=env
        )
        self._started.append(process)
        return process

    def nft(self, ruleset: str) -> None:
        """Load nftables rules into this host."""
        self.run("nft", "-f", "-", input_text=ruleset)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread to the network namespace of this host; sockets opened inside belong to it."""
        before = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(inside)
            try:
                yield
            finally:
                _setns(before)
        finally:
            os.close(inside)
            os.close(before)

    def stop_all(self) -> None:
        """Stop every process that `start` started and that is still running."""
        for process in self._started:
            if process.poll() is None:
                process.terminate()
        for process in self._started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._started.clear()


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Lab:
    """Hosts on one switch, for the duration of a `with` block. Needs root."""

    def __init__(self, *names: str, label: str = "lab") -> None:
        self._tag = f"nw-{label}-{os.getpid()}"
        self.switch = f"{self._tag}-switch"
        self.hosts = [Host(name, f"{self._tag}-{name}", number) for number, name in enumerate(names, 1)]

    def __getitem__(self, name: str) -> Host:
        """Return the host of this name."""
        return next(host for host in self.hosts if host.name == name)

    def __enter__(self) -> Self:
        """Build the namespaces, the bridge and the links."""
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all processes and remove every namespace."""
        self.close()

    def _build(self) -> None:
        _unmute_log_rules()
        links = (
            f"link add eth0 netns {host.namespace} type veth peer p{number} netns {self.switch}"
            for number, host in enumerate(self.hosts)
        )
        namespaces = (self.switch, *(host.namespace for host in self.hosts))
        # the bridge first: a veth whose index is that of its peer counts as up only a second later (linkwatch)
        bridge = f"link add br0 netns {self.switch} type bridge"
        _ip(*(f"netns add {namespace}" for namespace in namespaces), bridge, *links)
        ports = (f"link set p{number} master br0 up" for number in range(len(self.hosts)))
        _ip("link set br0 up", *ports, namespace=self.switch)
        for host in self.hosts:
            _ip(
                "link set lo up",
                f"addr add {host.address4}/24 dev eth0",
                f"addr add {host.address6}/64 dev eth0 nodad",
                "link set eth0 up",
                namespace=host.namespace,
            )

    def close(self) -> None:
        """Stop all processes, remove every namespace, restore the sysctl."""
        for host in self.hosts:
            host.stop_all()
        namespaces = [self.switch, *(host.namespace for host in self.hosts)]
        _ip(*(f"netns delete {namespace}" for namespace in namespaces if Path("/run/netns", namespace).exists()))
        _mute_log_rules()


@contextlib.contextmanager
def _log_setting() -> Iterator[IO[str]]:
    """Lock the file with the original value of the setting, from before the first existing lab."""
    with _LOG_ALL_BEFORE.open("a+") as before:
        fcntl.flock(before, fcntl.LOCK_EX)
        before.seek(0)
        yield before


def _unmute_log_rules() -> None:
    """Enable log rules outside the initial network namespace."""
    with _log_setting() as before:
        if not before.read():
            before.write(_LOG_ALL.read_text())
        _LOG_ALL.write_text("1")


def _mute_log_rules() -> None:
    """Restore the setting, unless another lab still needs it."""
    with _log_setting() as before:
        saved = before.read()
        if saved and not any(Path("/run/netns").glob("nw-*-switch")):
            _LOG_ALL.write_text(saved)
            before.truncate(0)
