"""Joins the log lines of one connection: fail2ban's MLFID, NOFAIL, MLFFORGET and MLFGAINED (jail.conf(5))."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from monitor.filters.groups import Values
from monitor.native import extension

if TYPE_CHECKING:
    from monitor import _native

_MAX_CONNECTIONS = 4096
_MAX_AGE_S = 300.0
_ADDRESSES = ("ip4", "ip6")


class _Connection:
    """What the lines of one connection have reported so far."""

    __slots__ = ("has_more_users", "is_pending", "seen_s", "user", "values")

    def __init__(self, seen_s: float) -> None:
        self.values: Values = {}
        self.user: str | None = None
        """The first user name that was tried."""
        self.has_more_users = False
        self.is_pending = False
        """Whether it has failed while its source address is still unknown."""
        self.seen_s = seen_s

    def learn(self, values: Values, now_s: float) -> None:
        self.seen_s = now_s
        if user := values.get("user"):
            if self.user is None:
                self.user = user
            elif self.user != user:
                self.has_more_users = True
        known = self.values
        for name, value in values.items():
            if value is not None and (value or name not in _ADDRESSES):  # no address is no news
                known[name] = value


class Connections:
    """Recently logged connections, by the identity that the filter extracts (usually a process ID).

    Remembers at most 4,096 of them, each for five minutes: later, another connection may have the same process ID.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._known: OrderedDict[str, _Connection] = OrderedDict()
        self.evicted = 0
        """Connections forgotten early because there were too many: their failures may lack an address."""

    def __len__(self) -> int:
        """Return the number of remembered connections."""
        return len(self._known)

    def merge(self, identity: str, values: Values, now_s: float) -> Values | None:
        """Add a line; return all that is known of its connection if the line is a failure, None if it is not.

        A line that only adds information (NOFAIL) is not a failure, unless a failure without an address is pending or
        a second user name was tried. A successful login (MLFGAINED) is not one either and clears pending failures.
        """
        pop = values.pop
        is_gained = bool(pop("mlfgained", None))
        is_nofail = bool(pop("nofail", None)) or is_gained
        is_last = bool(pop("mlfforget", None))
        connection = self._get(identity, now_s)
        if connection is None:
            connection = _Connection(now_s)
            if not is_last:
                self._put(identity, connection)
        elif is_last:
            del self._known[identity]
        connection.learn(values, now_s)
        was_pending = connection.is_pending and not is_gained
        connection.is_pending = False
        if is_nofail and not was_pending and not connection.has_more_users:
            return None
        return connection.values

    def wait(self, identity: str) -> None:
        """Record a failure whose address is not known yet: a later line may contain it."""
        if connection := self._known.get(identity):
            connection.is_pending = True

    def _get(self, identity: str, now_s: float) -> _Connection | None:
        connection = self._known.get(identity)
        if connection is None:
            return None
        if abs(now_s - connection.seen_s) > _MAX_AGE_S:
            del self._known[identity]
            return None
        self._known.move_to_end(identity)
        return connection

    def _put(self, identity: str, connection: _Connection) -> None:
        self._known[identity] = connection
        if len(self._known) > _MAX_CONNECTIONS:
            self._known.popitem(last=False)
            self.evicted += 1


def make_connections() -> "Connections | _native.Connections":
    """Return an empty table of connections: the native one if the extension is there."""
    return Connections() if extension is None else extension.Connections(_MAX_CONNECTIONS)
