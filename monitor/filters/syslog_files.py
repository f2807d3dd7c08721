"""The files that a syslog daemon writes: what stands there is in the journal as well, with who wrote it."""

import posixpath

_LOG = "/var/log"
_NAMES = frozenset(
    (
        *("auth.log", "cron.log", "daemon.log", "debug", "kern.log", "mail.log", "messages", "syslog", "user.log"),
        *("mail", "mail.err", "mail.info", "mail.warn", "maillog", "secure", "warn"),
    )
)
"""As Debian's, Red Hat's and SUSE's rsyslog.conf and syslog-ng.conf name them."""


def is_syslog_file(pattern: str) -> bool:
    """Whether a syslog daemon writes this file, not the application itself."""
    directory, name = posixpath.split(posixpath.normpath(pattern))
    return directory == _LOG and name in _NAMES
