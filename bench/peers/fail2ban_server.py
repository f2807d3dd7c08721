"""The server of fail2ban on a host of the lab, with configuration, socket, database and log in one directory."""

import contextlib
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.peers import fail2ban
from bench.registry import BenchmarkError
from monitor.enforcers.netlink import GET_ELEMENTS, ElementEncoder, decode_elements
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.errors import TemporaryError
from tests.support.daemon import wait_for
from tests.support.lab import Host

_POLL_S = 0.1
_START_S = 30.0
_END_S = 10.0
_JAIL = """[lab]
enabled = true
filter = {filter}
backend = {backend}
logpath = {log}
findtime = 1w
maxretry = {maxretry}
bantime = 1w
banaction = nftables-allports
action = nftables[type=allports, name=lab]
"""
_NEVER = 1_000_000


class Fail2banServer:
    """One jail with the nftables action, and a database that may contain bans before the server starts."""

    def __init__(
        self,
        host: Host,
        directory: Path,
        filter_name: str = "",
        *,
        logs: Sequence[Path] = (),
        maxretry: int = 0,
        backend: str = "polling",
    ) -> None:
        """Write the configuration; nothing runs yet. With a filter it reads `log` or `logs`, counts, and never bans.

        `maxretry`: the number of failures from which on it does ban.
        """
        self._host = host
        self._directory = directory
        self._database = directory / "fail2ban.sqlite3"
        self._process: subprocess.Popen[str] | None = None
        configuration = directory / "etc"
        shutil.copytree(fail2ban.HOME / "etc/fail2ban", configuration)
        shutil.rmtree(configuration / "jail.d", ignore_errors=True)
        self.log = directory / "watched.log"
        self.log.touch()
        jail = _JAIL.format(
            log="\n  ".join(map(str, logs or (self.log,))),
            filter=filter_name,
            maxretry=maxretry or (_NEVER if filter_name else 5),
            backend=backend,
        )
        (configuration / "jail.local").write_text(jail)
        (configuration / "fail2ban.local").write_text(f"[DEFAULT]\ndbfile = {self._database}\ndbpurgeage = 8d\n")

    def start(self) -> None:
        """Start it and wait until its jail answers."""
        self._process = self._launch()
        wait_for(lambda: self._client("status", "lab") == 0, "fail2ban to start", self._log, _START_S)

    def pids(self) -> list[int]:
        """Return the id of the running server."""
        assert self._process is not None
        return [self._process.pid]

    def stop(self) -> None:
        """Stop it, which removes its table."""
        if self._process:
            self._stop(self._process)

    def write_bans(self, count: int) -> None:
        """Let the server create its database and stop; then write bans to it as the server would."""
        process = self._launch()
        wait_for(lambda: self._client("status", "lab") == 0, "fail2ban to start", self._log, _START_S)
        self._stop(process)
        now_s = int(time.time())
        rows = [(f"198.18.{n >> 8}.{n & 0xFF}", now_s) for n in range(1, count + 1)]
        with contextlib.closing(sqlite3.connect(self._database)) as database, database:
            data = '{"matches": [], "failures": 5}'
            insert = "INSERT INTO bips(ip, jail, timeofban, bantime, data) VALUES (?, 'lab', ?, 604800, ?)"
            database.executemany(insert, [(*row, data) for row in rows])

    def restore_s(self, count: int, timeout_s: float) -> tuple[float, float]:
        """Start it and wait for its bans; return the times of the first and last ban in the kernel (s from start)."""
        first_s = None
        start_s = time.monotonic()
        process = self._launch()
        while (held := self._held()) < count:
            passed_s = time.monotonic() - start_s
            if held and first_s is None:
                first_s = passed_s
            if passed_s > timeout_s or process.poll() is not None:
                raise BenchmarkError(f"fail2ban restored {held} of {count} bans in {passed_s:.0f} s\n{self._log()}")
            time.sleep(_POLL_S)
        last_s = time.monotonic() - start_s
        self._stop(process)
        return first_s or last_s, last_s

    def check_read(self) -> None:
        """Check that it found failures; BenchmarkError with its log if it did not."""
        if not self._total_failed():
            raise BenchmarkError(f"fail2ban found no failure\n{self._log()}")

    def _launch(self) -> subprocess.Popen[str]:
        arguments = [
            *("/usr/bin/python3", fail2ban.HOME / "usr/bin/fail2ban-server", "-xf"),
            *("-c", self._directory / "etc", "-s", self._directory / "sock", "-p", self._directory / "pid"),
            *("--logtarget", self._directory / "server.log", "start"),
        ]
        with (self._directory / "output.log").open("a") as output:
            return self._host.start(*map(str, arguments), env=fail2ban.environment(), stdout=output, stderr=output)

    def _total_failed(self) -> int:
        found = re.search(r"Total failed:\s*(\d+)", self._ask("status", "lab").stdout)
        return int(found[1]) if found else 0

    def _client(self, *words: str) -> int:
        return self._ask(*words).returncode

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        client: list[str | Path] = ["/usr/bin/python3", fail2ban.HOME / "usr/bin/fail2ban-client"]
        where: list[str | Path] = [
            "-c",
            self._directory / "etc",
            "-s",
            self._directory / "sock",
            "-p",
            self._directory / "pid",
        ]
        command = [*client, *where, *words]
        return subprocess.run(
            command, env=fail2ban.environment(), capture_output=True, text=True, check=False, timeout=_START_S
        )

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _held(self) -> int:
        """Return the number of elements of its set; 0 if there is no set."""
        with self._host.entered():
            link = NetlinkSocket()
        request = ElementEncoder("f2b-table", "addr-set-lab").request(GET_ELEMENTS, b"")
        try:
            return sum(len(decode_elements(reply.body)) for reply in link.dump(request))
        except TemporaryError:  # no set yet, or it changed while being read
            return 0
        finally:
            link.close()

    def _log(self) -> str:
        files = (self._directory / name for name in ("output.log", "server.log"))
        return "".join(file.read_text()[-2000:] for file in files if file.exists())
