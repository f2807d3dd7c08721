"""`python -m demo.transcript [--write]`: run the commands that documents show in a lab, and renew their output.

Blocks fenced as `console` are run from top to bottom in one lab per document: a node 192.0.2.10 as it is after an
installation, with the daemon under its usual paths in a private mount namespace. A comment `<!-- lab: NAME -->` before
a block makes something happen first (see `_SCENES`). The output of a command replaces the output in the document.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from monitor.model.bans import Mode
from monitor.settings.schema import Settings
from tests.support.daemon import NODEWARDEN, wait_for
from tests.support.fortnight import fortnight
from tests.support.lab import Host, Lab
from tests.support.tuning_history import inputs, record

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs/getting-started.md", ROOT / "docs/tuning.md")
NODE, GATEWAY, SCANNER, GUESSER = "192.0.2.10", "192.0.2.1", "203.0.113.7", "198.51.100.23"
SCAN = ("nmap", "-n", "-Pn", "-sS", "-r", "-T5", "--max-retries", "0")
_PROGRAMS_S = 5.0
_WEEK_DAYS = 7
_PART = re.compile(r"<!-- lab: (?P<scene>\w+) -->|^```console\n(?P<block>.*?)^```", re.MULTILINE | re.DOTALL)
FIREWALL = """
table inet firewall {
    chain input {
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state established,related accept
        tcp dport 22 accept
        log prefix "drop: " drop
    }
}
"""
# Everything below is private to the daemon and to what enters its namespaces; it ends with the daemon.
_INSTALLED = """
set -e
mkdir "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" /etc
for place in /run /var/lib /var/log; do mount -t tmpfs tmpfs $place; done
mkdir -p /etc/nodewarden/conf.d /run/nodewarden /var/lib/nodewarden
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.53' > /etc/resolv.conf
getent group nodewarden > /dev/null || echo 'nodewarden:x:987:' >> /etc/group
cp "$2/systemd/nodewarden.yaml" /etc/nodewarden/
cp "$2/systemd/observe.yaml" /etc/nodewarden/conf.d/10-observe.yaml
printf 'sources:\\n  kernel_log:\\n    prefixes: ["drop: "]\\n' > /etc/nodewarden/conf.d/50-local.yaml
# Nobody but this demo writes the log: as in the journal of a real node, its lines prove who failed
sed -i 's/evidence: auto/evidence: proven/' /etc/nodewarden/nodewarden.yaml
# the attacker's address is private
sed -i '/^  internal:/,/mode:/ s/mode: observe/mode: enforce/' /etc/nodewarden/nodewarden.yaml
touch /var/log/auth.log
exec "$3" run
"""


def set_up_network(node: Host, stranger: Host) -> None:
    """Give the hosts addresses from the ranges for documentation, and the node its firewall."""
    for host, addresses in ((node, (NODE,)), (stranger, (GATEWAY, SCANNER, GUESSER))):
        host.run("ip", "addr", "flush", "dev", "eth0")
        for address in addresses:
            host.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"):
            host.run("ip", "route", "replace", network, "dev", "eth0")
    node.run("ip", "route", "add", "default", "via", GATEWAY)
    node.nft(FIREWALL)


class Machine:
    """A node as it is after an installation, and a host that attacks it."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Set up the network, and start the daemon."""
        self.node: Host = lab["node"]
        self.stranger: Host = lab["stranger"]
        set_up_network(self.node, self.stranger)
        self.log_path = directory / "daemon.log"
        with self.log_path.open("w") as log:
            self._daemon = self.node.start(
                *("unshare", "--mount", "--propagation", "private", "sh", "-c", _INSTALLED, "sh"),
                *(directory, ROOT, NODEWARDEN),
                stderr=log,
            )
        wait_for(lambda: self.run("nodewarden status").returncode == 0, "the daemon to answer", self.log_path.read_text)
        self._await_programs()

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run what somebody types on the node."""
        environment = {**os.environ, "PATH": f"{NODEWARDEN.parent}:{os.environ['PATH']}"}
        entered = ["nsenter", "--target", str(self._daemon.pid), "--mount", "--net", "sh", "-c", command]
        return subprocess.run(entered, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def enforce(self) -> None:
        """End observing."""
        self.run("rm /etc/nodewarden/conf.d/10-observe.yaml && nodewarden reload")

    def scan(self) -> None:
        """Scan forty ports, from the scanner's address."""
        self.stranger.run(*SCAN, "-p", "70-109", "-S", SCANNER, "-e", "eth0", NODE)
        self._await(SCANNER)

    def guess(self) -> None:
        """Let sshd's log say that somebody guesses passwords."""
        now = time.strftime("%b %e %H:%M:%S")
        lines = "".join(
            f"{now} node sshd[{4000 + number}]: Failed password for root from {GUESSER} port {number} ssh2\n"
            for number in range(40_000, 40_006)
        )
        self.run(f"cat >> /var/log/auth.log <<'END'\n{lines}END\n")
        self._await(GUESSER)

    def visit(self) -> None:
        """Do both."""
        self.scan()
        self.guess()

    def knock(self) -> None:
        """Send a few more packets from the banned address."""
        self.stranger.run(*SCAN, "-p", "22,80", "-S", GUESSER, "-e", "eth0", NODE)

    def week(self) -> None:
        """Have the recording of a week at another node, where nothing was banned."""
        settings = Settings(mode=Mode.OBSERVE)
        labelled = fortnight(days=_WEEK_DAYS, offenders=8, clients=60, monitors=1, attempts=200, probe_every_s=(300.0,))
        with tempfile.TemporaryDirectory(prefix="nodewarden-transcript-") as directory:
            record(Path(directory), inputs(labelled, settings, _WEEK_DAYS))
            self.run(f"nodewarden record export /var/lib/web1.recording --recording {directory}")

    def _await(self, source: str) -> None:
        """Wait until a source is in the list of bans, observed ones included."""
        listed = "nodewarden list --observed"
        wait_for(lambda: source in self.run(listed).stdout, f"{source} in the list", self.log_path.read_text)

    def _await_programs(self) -> None:
        """Wait for the eBPF programs, which are loaded after the daemon answers; not for long where they cannot be."""
        deadline_s = time.monotonic() + _PROGRAMS_S
        while not re.search(r"^drops +up", self.run("nodewarden status").stdout, re.MULTILINE):
            if time.monotonic() > deadline_s:
                return
            time.sleep(0.1)


_SCENES: dict[str, Callable[[Machine], None]] = {
    "enforce": Machine.enforce,
    "visit": Machine.visit,
    "knock": Machine.knock,
    "week": Machine.week,
}


class Output(NamedTuple):
    """What a command printed, what the document says, and the exit code."""

    command: str
    printed: str
    documented: str
    code: int


def commands(block: str) -> list[tuple[str, str]]:
    """Return the commands of a block, each with the output that follows it."""
    parts = re.split(r"^\$ (.+)\n", block, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def play(text: str, machine: Machine) -> tuple[str, list[Output]]:
    """Run all blocks of a document; return it with the output as it is now, and every output."""
    outputs: list[Output] = []

    def renew(part: re.Match[str]) -> str:
        if part["scene"]:
            _SCENES[part["scene"]](machine)
            return part[0]
        lines = []
        for command, documented in commands(part["block"]):
            done = machine.run(command)
            text = (done.stdout + done.stderr).replace(os.uname().release, os.uname().release.partition("-")[0])
            printed = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
            outputs.append(Output(command, printed, documented, done.returncode))
            lines.append(f"$ {command}\n{printed}")
        return f"```console\n{''.join(lines)}```"

    return _PART.sub(renew, text), outputs


def renewed(text: str) -> tuple[str, list[Output]]:
    """Play a document in a lab of its own."""
    with tempfile.TemporaryDirectory(prefix="nodewarden-transcript-") as directory, _lab() as lab:
        return play(text, Machine(lab, Path(directory)))


def _lab() -> Lab:
    return Lab("node", "stranger", label="transcript")


def main() -> int:
    """Print the documents with the output as it is now, or write them."""
    parser = argparse.ArgumentParser(prog="python -m demo.transcript", description=__doc__)
    names = " and ".join(str(document.relative_to(ROOT)) for document in DOCUMENTS)
    parser.add_argument("--write", action="store_true", help=f"write {names}")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("this creates network namespaces: run it as root", file=sys.stderr)
        return 1
    for document in DOCUMENTS:
        text, _ = renewed(document.read_text())
        if options.write:
            document.write_text(text)
        else:
            print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
