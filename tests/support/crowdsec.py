"""CrowdSec of Debian 12: downloaded once, kept outside the checkout, and never installed. Runs its LAPI alone."""

import contextlib
import fcntl
import socket
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.daemon import wait_for
from tests.support.fail2ban_releases import download
from tests.support.root_image import CACHE

_RELEASE = "bookworm"
_CONFIGURATION = """
common: {{daemonize: false, log_media: stdout, log_level: info, working_dir: .}}
config_paths:
  config_dir: {home}/
  data_dir: {home}/
  simulation_path: {home}/simulation.yaml
  hub_dir: {home}/hub/
  index_path: {home}/hub/.index.json
  notification_dir: {home}/none/
  plugin_dir: {home}/none/
cscli: {{output: human}}
db_config: {{log_level: info, type: sqlite, use_wal: true, db_path: {home}/crowdsec.db,
  flush: {{max_items: 500000, max_age: 7d}}}}
api:
  client: {{insecure_skip_verify: false, credentials_path: {home}/local.yaml}}
  server: {{log_level: info, listen_uri: "127.0.0.1:{port}", profiles_path: {home}/profiles.yaml,
    console_path: {home}/console.yaml}}
prometheus: {{enabled: false}}
"""


def unpacked() -> Path:
    """Return where the package is unpacked; RuntimeError with apt's output if it cannot be had."""
    CACHE.mkdir(parents=True, exist_ok=True)
    root = CACHE / f"crowdsec-{_RELEASE}"
    with (CACHE / f"crowdsec-{_RELEASE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            download("crowdsec", _RELEASE, root)
    return root


class LapiServer:
    """One LAPI with an empty database, on a port of its own of the loopback interface."""

    def __init__(self, home: Path, *wrapper: str) -> None:
        """Write its configuration below `home`; it does not run yet. `wrapper`: a command to run its programs by."""
        self._wrapper = wrapper
        self._programs = unpacked() / "usr/bin"
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._configuration = home / "config.yaml"
        self._configuration.write_text(_CONFIGURATION.format(home=home, port=self.port))
        (home / "hub").mkdir(exist_ok=True)
        (home / "hub/.index.json").write_text("{}")
        (home / "profiles.yaml").write_text(
            "name: none\nfilters: ['false']\ndecisions: [{type: ban, duration: 4h}]\non_success: break\n"
        )
        (home / "simulation.yaml").write_text("simulation: off\n")
        self._logged = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = home / "lapi.log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._logged = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            command: list[str | Path] = [
                *self._wrapper,
                self._programs / "crowdsec",
                "-c",
                self._configuration,
                "-no-cs",
            ]
            self._process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log)
        wait_for(self._answers, "LAPI to listen", self.log_path.read_text)

    def stop(self) -> None:
        """Kill it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def fill(self, count: int, hours: int = 4) -> None:
        """Give its database many decisions of scenarios, on 11.0.0.0 and the addresses after; while it does not run."""
        with contextlib.closing(sqlite3.connect(self._home / "crowdsec.db")) as database, database:
            now = datetime.now(UTC)
            ends = (now + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M:%S+00:00")
            database.executemany(
                "insert into decisions (created_at, updated_at, until, scenario, type, start_ip, end_ip, start_suffix, "
                "end_suffix, ip_size, scope, value, origin, simulated) "
                "values (?1, ?1, ?2, 'crowdsecurity/ssh-bf', 'ban', ?3, ?3, -9223372036854775807, "
                "-9223372036854775807, 4, 'Ip', ?4, 'crowdsec', 0)",
                (
                    (
                        str(now),
                        ends,
                        (11 << 24) + number - (1 << 63),
                        f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                    )
                    for number in range(count)
                ),
            )

    def wipe(self) -> None:
        """Remove its database, while it does not run."""
        for path in self._home.glob("crowdsec.db*"):
            path.unlink()

    def cscli(self, *arguments: str) -> str:
        """Run `cscli`; return what it prints."""
        command: list[str | Path] = [*self._wrapper, self._programs / "cscli", "-c", self._configuration, *arguments]
        done = subprocess.run(command, cwd=self._home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add_bouncer(self, name: str) -> str:
        """Return the key of a new bouncer."""
        return self.cscli("bouncers", "add", name, "-o", "raw").strip()

    def add_machine(self, name: str, password: str) -> None:
        """Add a machine; the first one is also the one that `cscli` works as."""
        path = self._home / "local.yaml"
        path = self._home / "other.yaml" if path.exists() else path
        self.cscli("machines", "add", name, "--password", password, "-f", str(path), "--force")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"LAPI ended:\n{self.log_path.read_text()}")
        return "Local API listening" in self.log_path.read_text()[self._logged :]
