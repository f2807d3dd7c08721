"""What the table is besides its bans: made, completed, replaced where others changed it, and compared."""

import logging
from collections.abc import Sequence

from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables.fingerprint import WantedDefinition, summary
from monitor.enforcers.nftables.ruleset import TABLE
from monitor.enforcers.nftables.setup import Wanted, replace, setup
from monitor.model.addresses import Network
from monitor.model.bans import Action
from monitor.model.errors import PermanentError, TemporaryError

_log = logging.getLogger(__name__)


class TableFrame:
    """The definition of the table of one network namespace."""

    def __init__(self, max_bans: int, action: Action) -> None:
        """`max_bans` limits each of the sets of single addresses; `action` is what their rules do."""
        self._max_bans = max_bans
        self._action = action
        self._definition = WantedDefinition()
        self.why_not_refused = ""
        """Why the table drops although it should refuse, as of the last `set_up`; empty if it does as it should."""

    def act(self, action: Action) -> bool:
        """Have the next `set_up` drop or refuse; return whether that is a change."""
        if action is self._action:
            return False
        self._action = action
        self._definition = WantedDefinition()
        return True

    def set_up(self, link: NetlinkSocket, allowlist: Sequence[Network]) -> None:
        """Create, complete or replace the table; see `NftablesEnforcer.setup`. `allowlist` must be disjoint.

        Where the kernel cannot refuse, the table drops: that is better than to let everything pass.
        """
        self.why_not_refused = ""
        try:
            self._make(link, Wanted(self._max_bans, self._action, allowlist))
        except (TemporaryError, PermanentError) as error:
            if self._action is Action.DROP:
                raise
            self._definition = WantedDefinition()
            self._make(link, Wanted(self._max_bans, Action.DROP, allowlist))
            self.why_not_refused = str(error)

    def differences(self) -> list[str]:
        """Say how the table is defined otherwise than after the last `set_up`; empty if it is not.

        May be called from another thread. TemporaryError if others change nf_tables all the time meanwhile.
        """
        return self._definition.differences()

    def _make(self, link: NetlinkSocket, wanted: Wanted) -> None:
        setup(link, wanted)
        if wrong := self._definition.note():
            _log.warning("the table inet %s is replaced, because others changed it: %s", TABLE, summary(wrong))
            replace(link, wanted)
            self._definition.note(is_new=True)
