"""Keeps the services that are known across restarts: after a reboot, checks come before the services are up again."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from monitor.model.cursors import Cursor, CursorStore
from monitor.model.services import Service, Services
from monitor.node.listeners import ListenerReader

_NAME = "services"
_MAX_KEPT = 1024
_SAVE_EVERY_S = 60.0

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(list[tuple[str, int, int, float]]).decode


class Told(Protocol):
    """Who is told what is known; the pipeline does."""

    def follow_listeners(self, listening: Iterable[Service], now_s: float, *, is_seen: bool) -> None:
        """Know that these sockets listen; `is_seen`: they count as seen to work now."""

    def remember_services(self, known: Iterable[tuple[Service, float]], now_s: float) -> None:
        """Know services of an earlier run, and when they were last seen."""


class KnownServices:
    """Follows listening sockets, and saves what is known each minute: the 1,024 services seen last."""

    def __init__(
        self,
        services: Services,
        store: CursorStore,
        read: Callable[[], frozenset[Service]] | None = None,
        told: Told | None = None,
    ) -> None:
        """Load nothing yet; `told` is told what is known (default: the services themselves).

        `read` reads the listening sockets (default: those of this network namespace).
        """
        self._services = services
        self._store = store
        self._reader = ListenerReader()
        self._read = read or self._reader.read
        self._told = told or _Directly(services)
        self._listening: frozenset[Service] | None = None
        self._saved = ""
        self._save_at_s = float("-inf")

    def open(self, now_s: float, ahead_s: float = 0.0) -> None:
        """Load what an earlier run knew; what cannot be read is not known.

        `ahead_s` is how far the clock is ahead of that of the earlier run.
        """
        cursor = self._store.load_cursors().get(_NAME)
        try:
            rows = _decode(cursor.position) if cursor and isinstance(cursor.position, str) else []
            known = [
                ((bytes.fromhex(address), protocol, port), seen_s + ahead_s) for address, protocol, port, seen_s in rows
            ]
        except (msgspec.DecodeError, ValueError):
            known = []
        self._told.remember_services(known, now_s)
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Follow the listening sockets; save if it is time. Call it each second."""
        listening = self._read()
        is_due = now_s >= self._save_at_s or self._save_at_s > now_s + _SAVE_EVERY_S
        if is_due or (listening is not self._listening and listening != self._listening):
            self._listening = listening
            self._told.follow_listeners(listening, now_s, is_seen=is_due)
        if is_due:
            self._save_at_s = now_s + _SAVE_EVERY_S
            self._save()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _save(self) -> None:
        rows = [(service[0].hex(), *service[1:], seen_s) for service, seen_s in self._services.remembered()][
            -_MAX_KEPT:
        ]
        text = _encode(rows).decode()
        if text != self._saved:
            self._saved = text
            self._store.save_cursor(_NAME, Cursor("", text))


class _Directly:
    """Tells the services themselves."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.remember_services = services.remember

    def follow_listeners(self, listening: Iterable[Service], now_s: float, *, is_seen: bool) -> None:
        """Tell them."""
        self._services.follow(listening)
        if is_seen:
            self._services.see_listeners(now_s)
