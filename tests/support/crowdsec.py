"""CrowdSec of Debian 12: downloaded once, kept outside the checkout, and never installed. Runs its LAPI alone."""

import fcntl
import socket
import subprocess
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
    console_path: {home}/console.yaml{tls}}}
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

    def __init__(self, home: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        """Write its configuration below `home`; it does not run yet."""
        self._programs = unpacked() / "usr/bin"
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._configuration = home / "config.yaml"
        tls = f", tls: {{cert_file: {certificate}, key_file: {key}}}" if certificate else ""
        self._configuration.write_text(_CONFIGURATION.format(home=home, port=self.port, tls=tls))
        (home / "hub").mkdir(exist_ok=True)
        (home / "hub/.index.json").write_text("{}")
        (home / "profiles.yaml").write_text(
            "name: none\nfilters: ['false']\ndecisions: [{type: ban, duration: 4h}]\non_success: break\n"
        )
        (home / "simulation.yaml").write_text("simulation: off\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = home / "lapi.log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log_path.open("ab") as log:
            command: list[str | Path] = [self._programs / "crowdsec", "-c", self._configuration, "-no-cs"]
            self._process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log)
        wait_for(self._answers, "LAPI to listen", self.log_path.read_text)

    def stop(self) -> None:
        """Kill it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Remove its database, while it does not run."""
        for path in self._home.glob("crowdsec.db*"):
            path.unlink()

    def cscli(self, *arguments: str) -> str:
        """Run `cscli`; return what it prints."""
        command: list[str | Path] = [self._programs / "cscli", "-c", self._configuration, *arguments]
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
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0
