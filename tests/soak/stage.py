"""The soak's lab: a node whose firewall logs what it drops, the daemon that reads packets, connections and logs."""

from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.firewall import counting_only
from tests.support.lab import Host, Lab

PREFIX = "nodewarden-soak: "
OPEN_PORTS = range(20_000, 21_000)
"""The firewall lets these pass, nobody listens: the node answers with RST, and only connection tracking tells of it."""
SSH_LOG, WEB_LOG, SLOW_LOG = "sshd.log", "access.log", "slow.log"

_FIREWALL = f"""
table inet firewall {{
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname lo accept
        ct state established,related accept
        meta l4proto {{ icmp, ipv6-icmp }} accept
        tcp dport {{ 80, {OPEN_PORTS.start}-{OPEN_PORTS.stop - 1} }} accept
        log prefix "{PREFIX}" drop
    }}
}}
"""
_SLOW_FILTER = """description: Takes exponential time.
failregex: ['(?:\\w+\\s?)+<HOST>$']
"""
_DETECTORS = """
detectors:
  failures:
    sshd: {{backend: files, files: ['{directory}/{ssh}'], evidence: proven}}
    web: {{filter: nginx-scan, backend: files, files: ['{directory}/{web}'], evidence: proven, maxretry: 5}}
    slow: {{filter: '{directory}/slow.yaml', backend: files, files: ['{directory}/{slow}']}}
"""


class Stage:
    """Four hosts and the daemon on one of them; the lab is built, nothing runs yet."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """`directory` takes configuration, logs and state."""
        self.node: Host = lab["node"]
        self.offenders: Host = lab["offenders"]
        self.forgers: Host = lab["forgers"]
        self.clients: Host = lab["clients"]
        self.directory = directory
        self.node.nft(_FIREWALL)
        # Answers to sources that do not exist leave the node, too.
        self.node.run("ip", "route", "add", "default", "via", self.forgers.address4)
        self.node.run("ip", "-6", "route", "add", "default", "via", self.forgers.address6)
        for name in (SSH_LOG, WEB_LOG, SLOW_LOG):
            (directory / name).touch()
        (directory / "slow.yaml").write_text(_SLOW_FILTER)
        detectors = _DETECTORS.format(directory=directory, ssh=SSH_LOG, web=WEB_LOG, slow=SLOW_LOG)
        self.daemon = Daemon(self.node, directory, counting_only(PREFIX) + detectors)
