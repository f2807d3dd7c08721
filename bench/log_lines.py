"""Log files for benchmarks: sshd during a brute-force attack, and servers in normal operation."""

import time
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice

_SECOND_LINES = 200
"""Lines per second of a host under attack."""


def attack_lines(lines: int, start_s: float) -> Iterator[str]:
    """Yield the log lines of sshd during a brute-force attack with several attempts per connection.

    Each of 5,000 addresses returns repeatedly, with an existing or unknown user name; according to fail2ban-regex 55 %
    of the lines are failures.
    """
    return islice(_dated(_connections(), start_s), lines)


def benign_lines(lines: int, start_s: float) -> Iterator[str]:
    """Yield the log lines of a host's services: cron, systemd, logins by key, a resolver, a mail server."""
    return islice(_dated(map(_benign, count()), start_s), lines)


def _dated(messages: Iterator[str], start_s: float) -> Iterator[str]:
    for number, message in enumerate(messages):
        if number % _SECOND_LINES == 0:
            date = time.strftime("%b %e %H:%M:%S", time.localtime(start_s + number // _SECOND_LINES))
        yield f"{date} web1 {message}\n"


def _connections() -> Iterator[str]:
    for number, kind in zip(count(), cycle((_unknown, _known)), strict=False):
        pid = 1000 + number % 30000
        address = f"198.18.{number % 5000 >> 8}.{number % 5000 & 255}"
        for message in kind(f"user{number % 997}", f"{address} port {1024 + number % 60000}", address):
            yield f"sshd[{pid}]: {message}"


def _unknown(user: str, end: str, address: str) -> tuple[str, ...]:
    return (
        f"Invalid user {user} from {end}",
        "pam_unix(sshd:auth): check pass; user unknown",
        f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}",
        f"Failed password for invalid user {user} from {end} ssh2",
        "pam_unix(sshd:auth): check pass; user unknown",
        f"Failed password for invalid user {user} from {end} ssh2",
        "pam_unix(sshd:auth): check pass; user unknown",
        f"Failed password for invalid user {user} from {end} ssh2",
        f"Received disconnect from {end}:11: Bye Bye [preauth]",
        f"Disconnected from invalid user {user} {end} [preauth]",
    )


def _known(_user: str, end: str, address: str) -> tuple[str, ...]:
    attempt = f"Failed password for root from {end} ssh2"
    return (
        f"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}  user=root",
        *(attempt,) * 6,
        f"error: maximum authentication attempts exceeded for root from {end} ssh2 [preauth]",
        f"Disconnecting authenticating user root {end}: Too many authentication failures [preauth]",
        f"PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost={address}  user=root",
    )


_BENIGN: tuple[Callable[[int], str], ...] = (
    lambda n: f"CRON[{n % 30000}]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
    lambda n: f"CRON[{n % 30000}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
    lambda n: f"CRON[{n % 30000}]: pam_unix(cron:session): session closed for user root",
    lambda n: f"systemd[1]: Started session-{n}.scope - Session {n} of User deploy.",
    lambda n: f"sshd[{n % 30000}]: Connection from 10.0.{n >> 8 & 255}.{n & 255} port {1024 + n % 60000} on 10.0.0.1",
    lambda n: f"sshd[{n % 30000}]: pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)",
    lambda n: f"systemd-logind[412]: New session {n} of user deploy.",
    lambda n: f"sshd[{n % 30000}]: Starting session: command for deploy from 10.0.{n >> 8 & 255}.{n & 255} port 40000",
    lambda n: f"postfix/qmgr[812]: {n:010X}: from=<news{n}@example.org>, size={n % 90000}, nrcpt=1 (queue active)",
    lambda n: f"postfix/smtp[813]: {n:010X}: to=<a@example.com>, relay=mx.example.com[192.0.2.7]:25, status=sent",
    lambda n: f"dovecot: imap(user{n % 97}): Logged out in={n % 400} out={n % 90000} deleted=0 expunged=0",
    lambda n: f"kubelet[633]: I1123 12:00:00.{n % 1000000:06} 633 status.go:211] pod default/web-{n % 300} is ready",
    lambda n: f"unbound[733]: [733:0] info: resolving host{n % 4000}.example.net. A IN",
    lambda n: f"kernel: [{n}.123456] veth{n % 4096:x}: entered promiscuous mode",
)


def _benign(number: int) -> str:
    return _BENIGN[number % len(_BENIGN)](number)
