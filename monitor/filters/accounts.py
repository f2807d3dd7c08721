"""The accounts of this machine that filters name."""

import contextlib
import grp
import pwd

from monitor.model.writers import Holder

_WEB = frozenset(("apache", "http", "httpd", "nginx", "www", "www-data", "wwwrun"))
SHARED_ACCOUNTS = _WEB | {"bin", "daemon", "games", "mail", "nobody", "nogroup", "uucp"}
"""Accounts that run programs of others, such as web applications: none of them belongs to one application."""

_LOG_DAEMON = "syslog"
"""The account and group of rsyslogd on Ubuntu, which owns /var/log together with root."""


def account_uid(name: str) -> int | None:
    """Return the number of an account; None if there is none."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def log_daemon() -> frozenset[tuple[Holder, int]]:
    """Return the account and group of the syslog daemon, if it has any."""
    found = set()
    if (uid := account_uid(_LOG_DAEMON)) is not None:
        found.add((Holder.ACCOUNT, uid))
    with contextlib.suppress(KeyError):
        found.add((Holder.GROUP, grp.getgrnam(_LOG_DAEMON).gr_gid))
    return frozenset(found)
