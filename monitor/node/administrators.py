"""Which users are administrators, by the system's databases of users and groups (nsswitch.conf(5))."""

import grp
import os
import pwd
from collections.abc import Callable, Iterable

import msgspec

_NO_SHELLS = frozenset({"nologin", "false", "true", "sync", "sftp-server", "git-shell", "rssh", "scponly"})
"""Names of shells of accounts that transfer files, or that nobody logs in to."""
_MAX_LOOKUPS = 256


class Account(msgspec.Struct, frozen=True):
    """A user: `groups` are the IDs of all groups, the primary one included."""

    uid: int
    shell: str
    groups: frozenset[int]


def find_account(name: str) -> Account | None:
    """Return the account of a user; None if it is unknown. May ask a directory service, so never on the loop."""
    try:
        user = pwd.getpwnam(name)
        groups = os.getgrouplist(name, user.pw_gid)
    except (KeyError, OSError, ValueError):
        return None
    return Account(user.pw_uid, user.pw_shell, frozenset((*groups, user.pw_gid)))


def find_group(name: str) -> int | None:
    """Return the ID of a group; None if it is unknown."""
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, OSError, ValueError):
        return None


class Administrators:
    """Answers who is an administrator; each user is looked up once, at most `_MAX_LOOKUPS` of them."""

    def __init__(
        self,
        groups: Iterable[str],
        account_of: Callable[[str], Account | None] = find_account,
        group_of: Callable[[str], int | None] = find_group,
    ) -> None:
        """Take the names of the groups of administrators, and how users and groups are looked up."""
        self._groups = frozenset(found for name in groups if (found := group_of(name)) is not None)
        self._account_of = account_of
        self._known: dict[str, bool] = {}

    def __contains__(self, user: object) -> bool:
        """Whether the user is root, or a member of one of the groups with a shell; unknown users are not."""
        if not isinstance(user, str):
            return False
        known = self._known.get(user)
        if known is None and len(self._known) < _MAX_LOOKUPS:
            known = self._known[user] = self._is_administrator(self._account_of(user) if user else None)
        return bool(known)

    def _is_administrator(self, account: Account | None) -> bool:
        if account is None:
            return False
        if account.uid == 0:
            return True
        return bool(account.groups & self._groups) and account.shell.rpartition("/")[2] not in _NO_SHELLS
