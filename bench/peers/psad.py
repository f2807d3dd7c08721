"""psad of Debian: its analysis of a file with kernel log lines, with all its files in one directory."""

import os
import re
import tempfile
from pathlib import Path

from bench.peers import packages
from bench.registry import BenchmarkError
from tests.support.lab import Host

_PERL = ("libunix-syslog-perl", "libnet-ip-perl", "libcarp-clan-perl", "libbit-vector-perl", "libdate-calc-perl")
_IPTABLES = ("libiptables-parse-perl", "libiptables-chainmgr-perl")
# No mail, no questions to the network: only reading, counting and its own files.
_SETTINGS = {
    "ALERTING_METHODS": "nomail,noemail,nosyslog",
    "ENABLE_WHOIS_LOOKUPS": "N",
    "ENABLE_DNS_LOOKUPS": "N",
    "HOSTNAME": "node",
    "HOME_NET": "any",
}


def fetch() -> bool:
    """Unpack the package and its libraries if they are missing; return whether they are available."""
    return packages.fetch("psad", "psad", *_PERL, *_IPTABLES)


def read_s(host: Host, log: Path, directory: Path) -> float:
    """Have psad look for scans in a whole log; return its CPU seconds, its start included."""
    root = packages.home("psad")
    settings = _SETTINGS | {f"PSAD_{name}_DIR": str(directory / name) for name in ("RUN", "FIFO")}
    settings |= {"PSAD_DIR": str(directory / "log"), "PSAD_CONF_DIR": str(root / "etc/psad"), "INSTALL_ROOT": str(root)}
    settings |= {"PSAD_LIBS_DIR": str(root / "usr/share/perl5")}
    text = (root / "etc/psad/psad.conf").read_text()
    for name, value in settings.items():
        text = re.sub(rf"^({name}\s+).*?;", rf"\g<1>{value};", text, flags=re.MULTILINE)
    for name in ("RUN", "FIFO", "log"):
        (directory / name).mkdir(exist_ok=True, parents=True)
    configuration = directory / "psad.conf"
    configuration.write_text(text)
    libraries = [root / "usr/share/perl5", *(root / "usr/lib").glob("*/perl5/*")]
    command: list[str | Path] = [
        "perl",
        root / "usr/sbin/psad",
        "-c",
        configuration,
        "-A",
        "-m",
        log,
        "--no-whois",
        "--no-rdns",
    ]
    with tempfile.TemporaryFile() as output:
        process = host.start(
            *command, stdout=output, stderr=output, env={**os.environ, "PERL5LIB": ":".join(map(str, libraries))}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode or not re.search(r"Total scan sources: [1-9]", text):
        raise BenchmarkError(f"psad failed on {log}: {text[-500:]}")
    return usage.ru_utime + usage.ru_stime
