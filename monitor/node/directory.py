"""Looks up users and groups by the system's databases (nsswitch.conf(5)), within a time limit.

They may ask a directory service, which may not answer for minutes, and a lookup cannot be interrupted. So each runs in
a thread that is left alone when its time is over; until it ends nothing else is asked, and the last answers count.
"""

import contextlib
import grp
import os
import pwd
import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

_TIMEOUT_S = 2.0
_MAX_REMEMBERED = 512
_T = TypeVar("_T")


class Account(msgspec.Struct, frozen=True):
    """A user: `groups` are the IDs of all groups, the primary one included."""

    uid: int
    shell: str
    groups: frozenset[int]


def find_account(name: str) -> Account | None:
    """Return the account of a user; None if it is unknown."""
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


class Directory:
    """Users and groups; for one thread at a time."""

    def __init__(
        self,
        account_of: Callable[[str], Account | None] = find_account,
        group_of: Callable[[str], int | None] = find_group,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take how users and groups are looked up, and how long a lookup may take."""
        self._account_of = account_of
        self._group_of = group_of
        self._timeout_s = timeout_s
        self._stuck: threading.Thread | None = None
        self._accounts: dict[str, Account | None] = {}
        self._groups: dict[str, int | None] = {}

    @property
    def trouble(self) -> str:
        """Why answers may be old; empty if they are not."""
        if self._stuck is None or not self._stuck.is_alive():
            return ""
        return (
            f"the system's databases of users did not answer within {self._timeout_s:g} s: sessions of administrators "
            "are protected by what is known of them (see nsswitch.conf)"
        )

    def account(self, name: str) -> Account | None:
        """Return the account of a user; None if it is unknown."""
        return self._ask(self._account_of, name, self._accounts)

    def group(self, name: str) -> int | None:
        """Return the ID of a group; None if it is unknown."""
        return self._ask(self._group_of, name, self._groups)

    def _ask(self, look_up: Callable[[str], _T | None], name: str, last: dict[str, _T | None]) -> _T | None:
        """Return an answer of now, or the last one."""
        if self._stuck and self._stuck.is_alive():
            return last.get(name)
        found: list[_T | None] = []
        thread = threading.Thread(target=lambda: found.append(look_up(name)), name="accounts", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to spare: the last answer counts
            thread.start()
            thread.join(self._timeout_s)
            self._stuck = thread if thread.is_alive() else None
        if not found:
            return last.get(name)
        if name in last or len(last) < _MAX_REMEMBERED:
            last[name] = found[0]
        return found[0]
