"""A booted Debian 12 under systemd-nspawn on a host of the lab: real systemd, journald and sshd. Needs root.

    with Lab("node", "attacker") as lab, Machine(lab["node"], [RootImage().path()]) as machine:
        machine.run("systemctl", "is-system-running")

Its root is an overlay in memory, which is lost at the end. Mounts and processes are in separate namespaces, which the
kernel removes with their first process, at the end of the test. Files survive a reboot; so would nftables and
conntrack, which belong to the host of the lab: `reboot` empties them, as a real reboot does.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.cgroup import Cgroup
from tests.support.daemon import wait_for
from tests.support.lab import Host
from tests.support.processes import children, descendants, is_first_systemd, outside

_REBOOT = 133  # exit code of systemd-nspawn when the machine requests a reboot
_BOOT_S = 60.0
_COMMAND_S = 90.0
_HALT = signal.SIGRTMIN + 4  # systemd(1): halt.target
_RUNNING = ("running", "degraded")

# The first process of the namespaces: creates the root, reports it, and stays until it is killed.
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_KEEPER = """
set -e
mount -t tmpfs -o size=2g,mode=755 nodewarden "$SPACE"
mkdir "$SPACE/root" "$SPACE/upper" "$SPACE/work"
mount -t overlay -o "lowerdir=$LAYERS,upperdir=$SPACE/upper,workdir=$SPACE/work" nodewarden "$SPACE/root"
echo ready
exec sleep infinity
"""
# systemd-nspawn stays in the cgroup in which it is started.
_ENTER = 'for procs in $PROCS; do echo $$ > "$procs"; done; exec "$@"'


class Machine:
    """One machine, for the duration of a `with` block; entering it boots the machine."""

    def __init__(self, host: Host, layers: Sequence[Path], *, binds: Sequence[Path] = ()) -> None:
        """`layers` are the directories of its root, uppermost first; `binds` are mounted read-only in place."""
        self.host = host
        self._layers = layers
        self._binds = binds
        self._cleanup = contextlib.ExitStack()
        self._keeper = 0
        self._space = Path()
        self._cgroup: Cgroup | None = None
        self._nspawn: subprocess.Popen[str] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        """Create the root and boot."""
        try:
            self._make_root()
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and remove everything."""
        self.close()

    def _make_root(self) -> None:
        self._space = Path(tempfile.mkdtemp(prefix="nw-machine-"))
        self._cleanup.callback(self._space.rmdir)
        self._cgroup = Cgroup(self.host.namespace)
        self._cleanup.callback(self._cgroup.close)
        keeper = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _KEEPER],
            env=os.environ | {"SPACE": str(self._space), "LAYERS": ":".join(map(str, self._layers))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._cleanup.callback(_end, keeper)
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if keeper.stdout.readline() != "ready\n":
            raise RuntimeError(f"the root of a machine could not be created: {keeper.stderr.read()}")
        (self._keeper,) = children(keeper.pid)

    def boot(self) -> None:
        """Boot and wait until all units have started; RuntimeError with the console output if they do not."""
        assert self._cgroup is not None
        name = self.host.namespace
        self._nspawn = subprocess.Popen(
            ["sh", "-c", _ENTER, "sh", "nsenter", "-t", str(self._keeper), "--mount", "--pid", "setsid"]
            + ["systemd-nspawn", "--quiet", f"--directory={self._space}/root", "--boot", f"--machine={name}"]
            + [f"--hostname={self.host.name}", "--register=no", "--keep-unit", "--console=pipe"]
            + [f"--network-namespace-path=/run/netns/{name}", "--resolv-conf=off", "--timezone=off"]
            # as on a real machine: nspawn's filter refuses these two calls; see the unit for the daemon's filter
            + ["--capability=all", "--system-call-filter=bpf perf_event_open", "--bind=/dev/kmsg"]
            + [f"--bind-ro={path}" for path in self._binds],
            env=os.environ
            | {"PROCS": " ".join(map(str, self._cgroup.procs))}
            | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            stdin=subprocess.DEVNULL,
            stdout=(console := (self._console).open("w")),
            stderr=subprocess.STDOUT,
            text=True,
        )
        console.close()
        wait_for(self._is_up, f"{self.host.name} to boot", self.console, _BOOT_S)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise RuntimeError(f"{self.host.name} does not boot: {self.console()}")
        self._leader = next((pid for pid in descendants(self._nspawn.pid) if is_first_systemd(pid)), 0)
        return bool(self._leader) and self.look("systemctl", "is-system-running", check=False).strip() in _RUNNING

    @property
    def _console(self) -> Path:
        return self._space.with_suffix(".console")

    def console(self) -> str:
        """The console output of the machine since boot."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    @property
    def leader(self) -> int:
        """The PID of the machine's first process, as seen here; all namespaces are its."""
        return self._leader

    def _enter(self, arguments: Sequence[str | Path]) -> list[str]:
        return ["nsenter", "-t", str(self._leader), "-a", *map(str, arguments)]

    def look(self, *arguments: str | Path, check: bool = True, input_text: str | None = None) -> str:
        """Run a command outside systemd, without its limits; return the output. For checks and preparation."""
        return self.try_(*arguments, check=check, input_text=input_text).stdout

    def try_(
        self, *arguments: str | Path, check: bool = False, input_text: str | None = None, timeout_s: float = _COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command like `look`, which may fail; return the result."""
        command = self._enter(arguments)
        return _finish(self.host.name, command, check=check, input_text=input_text, timeout_s=timeout_s)

    def run(
        self, *arguments: str | Path, properties: Sequence[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a transient service, like the services of the machine; `properties` as in systemd-run(1)."""
        given = [f"--property={one}" for one in properties]
        wrapper = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *given, "--")
        return _finish(self.host.name, self._enter([*wrapper, *arguments]), check=check)

    def path(self, inside: str | Path) -> Path:
        """Return the path of a file of the machine, as seen here; not for absolute symbolic links."""
        return Path(f"/proc/{self._leader}/root") / Path(inside).relative_to("/")

    def write(self, inside: str | Path, text: str) -> None:
        """Write a file of the machine, and its directory."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        self.path(inside).write_text(text)

    def unit(self, name: str, *keys: str) -> dict[str, str]:
        """Return properties of a unit, from `systemctl show`."""
        lines = self.look("systemctl", "show", name, *(f"--property={key}" for key in keys)).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def main_pid(self, unit: str) -> int:
        """Return the main PID of a unit, as seen here; 0 if there is none."""
        return outside(int(self.unit(unit, "MainPID")["MainPID"]), Path(f"/proc/{self._leader}/ns/pid").readlink())

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """Return the entries of a unit in this boot, oldest first, including all that were sent to journald by now."""
        self.look("journalctl", "--sync")
        text = self.look("journalctl", "--boot", f"--unit={unit}", "--output=json", "--all", check=False)
        return [json.loads(line) for line in text.splitlines()]

    def log(self, unit: str) -> str:
        """Return the messages of a unit and of systemd about it, one per line."""
        return "\n".join(str(entry.get("MESSAGE", "")) for entry in self.journal(unit))

    def reboot(self) -> None:
        """Reboot cleanly."""
        assert self._nspawn is not None
        self.look("systemctl", "reboot", check=False)
        ended = self._nspawn.wait(30)
        if ended != _REBOOT:
            raise RuntimeError(f"{self.host.name} ended with {ended} instead of rebooting: {self.console()}")
        self.switched_off()
        self.boot()

    def switched_off(self) -> None:
        """Reset the host as a reboot does; called between shutdown and boot."""
        self.host.run("nft", "flush", "ruleset")
        self.host.run("conntrack", "-F", check=False)

    def halt(self) -> None:
        """Shut down cleanly; files stay until `close`, and `boot` boots it again."""
        if self._nspawn is None or self._nspawn.poll() is not None:
            return
        if self._leader:
            os.kill(self._leader, _HALT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._nspawn.wait(20)
        _end(self._nspawn)

    def keep(self, layer: Path) -> None:
        """Halt, and copy all files that the machine wrote to a new directory, as a layer for other machines."""
        self.halt()
        upper = Path(f"/proc/{self._keeper}/root") / self._space.relative_to("/") / "upper"
        for volatile in ("var/log/journal", "run", "tmp", "etc/machine-id"):
            path = upper / volatile
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _finish(self.host.name, ["cp", "-a", str(upper), str(layer)])

    def close(self) -> None:
        """Shut down, then remove root, cgroup and processes."""
        try:
            self.halt()
        finally:
            self._cleanup.close()
            self._console.unlink(missing_ok=True)


def _finish(
    where: str,
    command: Sequence[str],
    *,
    check: bool = True,
    input_text: str | None = None,
    timeout_s: float = _COMMAND_S,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, input=input_text)
    if check and done.returncode:
        raise RuntimeError(f"{where}: {' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(10)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
