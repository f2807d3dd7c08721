"""What goes on around the offenders, each kind in a process of its own: `python -m tests.soak.noise KIND ARGUMENT...`.

Forged sources and strangers stay below every threshold, so none of them may be banned.
"""

import contextlib
import itertools
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.soak.offenders import append, ssh_failure, web_failure
from tests.soak.stage import SLOW_LOG, SSH_LOG, WEB_LOG
from tests.zoo.packets import SYN, tcp

_FORGED_PORTS = 8
_STRANGER_FAILURES = 2
_METRICS = ("127.0.0.1", 9843)
_IDLE = 150
_IDLE_MEMBERS = 8
_SLOW_LINE = b"2026-11-23T17:33:52+00:00 " + b"a " * 1500 + b"203.0.113.9 !\n"
_RULES = """
table inet other {{
    set s {{ type ipv4_addr; elements = {{ {elements} }} }}
    chain c {{ type filter hook input priority 10; ip saddr @s drop; }}
}}
"""


def _forged(target: str, per_s: str) -> None:
    """Send SYNs to dropped ports in the name of ever new sources, eight each: below the threshold."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        for number, source in enumerate(_strangers("11")):
            for port in range(5000, 5000 + _FORGED_PORTS):
                sender.sendto(tcp((source, 1024 + number % 60_000), (target, port), SYN), (target, 0))
            time.sleep(_FORGED_PORTS / float(per_s))


def _logs(directory: str, per_s: str) -> None:
    """Write failures of ever new sources, two each, and lines that mean nothing."""
    ssh, web = Path(directory, SSH_LOG), Path(directory, WEB_LOG)
    for number, source in enumerate(_strangers("12")):
        for line in range(_STRANGER_FAILURES):
            append(ssh, ssh_failure(source, line))
            append(web, web_failure(source, line))
        append(ssh, f"Nov 23 17:33:52 node cron[{number}]: (root) CMD (run-parts /etc/cron.hourly)\n" * 20)
        time.sleep(2 * _STRANGER_FAILURES / float(per_s))


def _slow(directory: str) -> None:
    """Write lines over which a careless filter takes exponential time."""
    while True:
        with Path(directory, SLOW_LOG).open("ab", buffering=0) as log:
            log.write(_SLOW_LINE)
        time.sleep(0.5)


def _idle() -> None:
    """Hold connections to /metrics and say nothing; replace those that are closed."""
    held: list[socket.socket] = []
    while True:
        held = [one for one in held if not _is_closed(one)]
        while len(held) < _IDLE:
            try:
                held.append(socket.create_connection(_METRICS, 1))
            except OSError:
                break
        time.sleep(0.5)


def _is_closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return not one.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _rules() -> None:
    """Load and delete the rules of another program."""
    while True:
        elements = ", ".join(f"10.99.{number // 250}.{number % 250}" for number in range(2000))
        subprocess.run(["nft", "-f", "-"], input=_RULES.format(elements=elements), text=True, check=True)
        time.sleep(2)
        subprocess.run(["nft", "delete", "table", "inet", "other"], check=True)
        time.sleep(2)


def _vandal() -> None:
    """Delete the daemon's table from time to time, as another program's flush would."""
    while True:
        time.sleep(20)
        subprocess.run(["nft", "delete", "table", "inet", "nodewarden"], check=True)


def _scraper() -> None:
    """Scrape as Prometheus does, beside the idle connections; end with a failure if three in a row are not answered."""
    in_a_row = 0
    while in_a_row < 3:
        time.sleep(5)
        try:
            with urllib.request.urlopen(f"http://{_METRICS[0]}:{_METRICS[1]}/metrics", timeout=10) as answer:
                in_a_row = 0 if b"nodewarden_bans" in answer.read() else in_a_row + 1
        except OSError as error:
            print(f"a scrape failed: {error}", file=sys.stderr)
            in_a_row += 1
    sys.exit("scrapes are not answered")


def _control(path: str) -> None:
    """Hold idle connections to the control socket, and send nonsense on others."""
    held: list[socket.socket] = []
    while True:
        held = [one for one in held if not _is_closed(one)]
        for is_idle in (True, False):
            with contextlib.suppress(OSError):
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(1)
                one.connect(path)
                if is_idle and len(held) < _IDLE_MEMBERS:
                    held.append(one)
                    continue
                one.sendall(b"\xff{[" * 1000 + b"\n")
                one.close()
        time.sleep(1)


def _clients(target: str) -> None:
    """Fetch the page of the node, as its legitimate clients do; end with a failure if ten in a row do not get it."""
    in_a_row = 0
    while in_a_row < 10:
        try:
            with socket.create_connection((target, 80), 2) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                in_a_row = 0 if client.recv(100) else in_a_row + 1
        except OSError:
            in_a_row += 1
        time.sleep(0.1)
    sys.exit("the node does not answer its client")


def _strangers(first: str) -> Iterator[str]:
    """Yield ever new public addresses."""
    generator = random.Random(first)
    for _ in itertools.count():
        yield f"{first}.{generator.randrange(256)}.{generator.randrange(256)}.{generator.randrange(1, 255)}"


KINDS: dict[str, Callable[..., None]] = {
    "forged": _forged,
    "logs": _logs,
    "slow": _slow,
    "idle": _idle,
    "rules": _rules,
    "vandal": _vandal,
    "scraper": _scraper,
    "control": _control,
    "clients": _clients,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](*sys.argv[2:])
