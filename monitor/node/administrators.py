"""Which users are administrators."""

from collections.abc import Iterable

from monitor.model.bans import ADMIN_GROUPS
from monitor.node.directory import Account, Directory

_NO_SHELLS = frozenset({"nologin", "false", "true", "sync", "sftp-server", "git-shell", "rssh", "scponly"})
"""Names of shells of accounts that transfer files, or that nobody logs in to."""
_MAX_LOOKUPS = 256


class Administrators:
    """Answers who is an administrator; each user is looked up once, at most `_MAX_LOOKUPS` of them."""

    def __init__(self, groups: Iterable[str], directory: Directory) -> None:
        """Take the names of the groups of administrators, and what knows users and groups."""
        ids = {name: directory.group(name) for name in groups}
        self._groups = frozenset(found for found in ids.values() if found is not None)
        # distributions have different ones of the usual groups
        self.unknown_groups = [name for name, found in ids.items() if found is None and name not in ADMIN_GROUPS]
        """Configured groups that do not exist."""
        self._directory = directory
        self._known: dict[str, bool] = {}

    def __contains__(self, user: object) -> bool:
        """Whether the user is root, or a member of one of the groups with a shell; unknown users are not."""
        if not isinstance(user, str):
            return False
        known = self._known.get(user)
        if known is None and len(self._known) < _MAX_LOOKUPS:
            known = self._known[user] = self._is_administrator(self._directory.account(user) if user else None)
        return bool(known)

    def _is_administrator(self, account: Account | None) -> bool:
        if account is None:
            return False
        if account.uid == 0:
            return True
        return bool(account.groups & self._groups) and account.shell.rpartition("/")[2] not in _NO_SHELLS
