"""CrowdSec with its own LAPI and, if wanted, its nftables bouncer, on a host of the lab; all files in one directory.

Its parsers and scenarios are those of the hub that Debian packages: syslog, dates, sshd and iptables.
"""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.peers import packages
from bench.registry import BenchmarkError
from tests.support.daemon import wait_for
from tests.support.lab import Host

_START_S = 60.0
_END_S = 10.0
_PARSERS = ("s00-raw/syslog-logs", "s01-parse/sshd-logs", "s01-parse/iptables-logs", "s02-enrich/dateparse-enrich")
SCENARIOS = ("ssh-bf", "ssh-slow-bf", "iptables-scan-multi_ports")
"""The scenarios of the hub for brute force at sshd and for scans in the kernel log."""
_CONFIGURATION = """
common: {{daemonize: false, log_media: stdout, log_level: warning, working_dir: .}}
config_paths: {{config_dir: {home}/, data_dir: {home}/data/, simulation_path: {home}/simulation.yaml, hub_dir: {hub}/,
  index_path: {hub}/.index.json, notification_dir: {home}/none/, plugin_dir: {home}/none/}}
crowdsec_service: {{acquisition_path: {home}/acquis.yaml, parser_routines: 1}}
cscli: {{output: human}}
db_config: {{log_level: warning, type: sqlite, use_wal: true, db_path: {home}/data/crowdsec.db}}
api:
  client: {{insecure_skip_verify: false, credentials_path: {home}/local.yaml}}
  server: {{log_level: warning, listen_uri: "127.0.0.1:8080", profiles_path: {home}/profiles.yaml,
    console_path: {home}/console.yaml}}
prometheus: {{enabled: false}}
"""
_BOUNCER = """
mode: nftables
pid_dir: {home}/
update_frequency: 1s
daemonize: false
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:8080/
api_key: {key}
deny_action: DROP
supported_decisions_types: [ban]
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
nftables:
  ipv4: {{enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain}}
  ipv6: {{enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain}}
prometheus: {{enabled: false}}
"""
TRIGGER = """type: trigger
name: bench/first-failure
description: "One failed login is enough"
filter: "evt.Meta.log_type == 'ssh_failed-auth'"
groupby: evt.Meta.source_ip
labels: {service: ssh, type: bruteforce, remediation: true}
"""
"""A scenario that bans at the first failure, as `maxretry: 1` does."""
NEVER = """type: counter
name: bench/count
description: "Counts failed logins and never bans"
filter: "evt.Meta.log_type == 'ssh_failed-auth'"
groupby: evt.Meta.source_ip
capacity: -1
duration: 12h
cache_size: 5
labels: {service: ssh, type: bruteforce, remediation: false}
"""
"""A scenario that counts and never bans. (A leaky one with a capacity of a million takes 6 GB for 2,000 sources.)"""


def fetch() -> bool:
    """Unpack the packages if they are missing; return whether they are available."""
    return packages.fetch("crowdsec", "crowdsec", "crowdsec-firewall-bouncer")


class CrowdSec:
    """An installation of its own that reads some logs."""

    def __init__(
        self,
        host: Host,
        home: Path,
        logs: Sequence[Path] = (),
        scenarios: Sequence[str] = (),
        *,
        has_bouncer: bool = False,
    ) -> None:
        """Write the configuration; nothing runs yet. `scenarios`: names of `SCENARIOS`, or the text of one."""
        self._host, self._home, self._has_bouncer = host, home, has_bouncer
        root = packages.home("crowdsec")
        self._programs, hub = root / "usr/bin", root / "usr/share/crowdsec/hub"
        for directory in ("data", "scenarios", "collections", "postoverflows"):
            (home / directory).mkdir(parents=True)
        (home / "patterns").symlink_to(root / "etc/crowdsec/patterns")
        for parser in map(Path, _PARSERS):
            (home / "parsers" / parser.parent).mkdir(parents=True, exist_ok=True)
            source = hub / "parsers" / parser.parent / "crowdsecurity" / f"{parser.name}.yaml"
            (home / "parsers" / f"{parser}.yaml").symlink_to(source)
        for number, scenario in enumerate(scenarios):
            if scenario in SCENARIOS:
                source = hub / f"scenarios/crowdsecurity/{scenario}.yaml"
                (home / f"scenarios/{scenario}.yaml").symlink_to(source)
            else:
                (home / f"scenarios/{number}.yaml").write_text(scenario)
        self._configuration = home / "config.yaml"
        self._configuration.write_text(_CONFIGURATION.format(home=home, hub=hub))
        (home / "simulation.yaml").write_text("simulation: off\n")
        (home / "profiles.yaml").write_text((root / "etc/crowdsec/profiles.yaml").read_text())
        names = ", ".join(map(str, logs))
        (home / "acquis.yaml").write_text(f"filenames: [{names}]\nlabels: {{type: syslog}}\n")
        self._cscli("machines", "add", "node", "--password", "secret", "-f", home / "local.yaml", "--force")
        self._processes: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        """Start it, with its bouncer if it has one, and wait until both are ready."""
        self._launch("crowdsec", self._configuration)
        wait_for(self._answers, "CrowdSec to start", self._log, _START_S)
        if self._has_bouncer:
            key = self._cscli("bouncers", "add", "bench", "-o", "raw").strip()
            (self._home / "bouncer.yaml").write_text(_BOUNCER.format(home=self._home, key=key))
            self._launch("crowdsec-firewall-bouncer", self._home / "bouncer.yaml")
            table = ("nft", "list", "table", "ip", "crowdsec")
            wait_for(lambda: self._host.run(*table, check=False).returncode == 0, "its table", self._log, _START_S)

    def pids(self) -> list[int]:
        """Return the ids of the running processes."""
        return [process.pid for process in self._processes]

    def stop(self) -> None:
        """Stop what was started."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def read_once_s(self, log: Path) -> float:
        """Read a log from start to end in a process of its own; return its CPU seconds, its start included."""
        program, source = self._programs / "crowdsec", f"file://{log}"
        command: list[str | Path] = [program, "-c", self._configuration, "-dsn", source, "-type", "syslog"]
        with tempfile.TemporaryFile() as output:
            process = self._host.start(*command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if "Acquisition is finished" not in text:
            raise BenchmarkError(f"crowdsec failed on {log}: {text[-500:]}")
        return usage.ru_utime + usage.ru_stime

    def _launch(self, program: str, configuration: Path) -> None:
        with (self._home / "output.log").open("a") as output:
            process = self._host.start(self._programs / program, "-c", configuration, stdout=output, stderr=output)
        self._processes.append(process)

    def _answers(self) -> bool:
        if self._processes[0].poll() is not None:
            raise BenchmarkError(f"crowdsec ended: {self._log()}")
        with self._host.entered():
            return _is_listening(8080)

    def _cscli(self, *arguments: str | Path) -> str:
        return self._host.run(self._programs / "cscli", "-c", self._configuration, *arguments).stdout

    def _log(self) -> str:
        return (self._home / "output.log").read_text()[-4000:]


def _is_listening(port: int) -> bool:
    """Whether something listens at a TCP port of the current network namespace (proc_net_tcp)."""
    lines = Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)
