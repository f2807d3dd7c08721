"""Attackers in the same lab. They must be banned: a zoo whose daemon sees nothing would show no bans either."""

from datetime import datetime

from tests.zoo.behaviour import Behaviour, Visit
from tests.zoo.topology import GUARDED


def scan(visit: Visit) -> None:
    """Scan 60 closed ports."""
    (source,) = visit.outside()
    scanner = ("nmap", "-n", "-Pn", "-sS", "-T5", "--max-retries", "0", "-S", source, "-e", "eth0", "-p", "1000-1059")
    visit.world.run(*scanner, visit.address4, timeout_s=30)


def guess_passwords(visit: Visit) -> None:
    """Let sshd log eight wrong passwords."""
    (source,) = visit.outside()
    now = datetime.now().astimezone().strftime("%b %e %H:%M:%S")
    lines = (
        f"{now} node sshd[{4000 + port}]: Failed password for root from {source} port {port} ssh2"
        for port in range(40000, 40008)
    )
    visit.write_log("sshd", *lines)


CONTROLS = (
    Behaviour("control: scan", scan),
    Behaviour("control: scan behind a firewall", scan, (GUARDED,)),
    Behaviour("control: wrong passwords", guess_passwords),
)
