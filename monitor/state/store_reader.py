"""The reading half of the store, on a connection of its own."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_ALLOW_ENTRIES, Ban, Offence
from monitor.model.cursors import Cursor
from monitor.model.errors import MalformedRecord
from monitor.state import rows
from monitor.state.ahead import whole
from monitor.state.ban_rows import read_bans
from monitor.state.changes import Allowed, SavedContent
from monitor.state.schema import connect, explained, tolerant
from monitor.state.tables import TABLES, unchecked

_READ_ROWS = 1000
_STRENGTHS = frozenset(map(str, Strength))
_T = TypeVar("_T")


class StoreReader:
    """What the file contains. Every method may be called from any thread; TemporaryError if it cannot be read."""

    def __init__(self, path: Path, ahead: list[list[Ban]] | None) -> None:
        """Connect; `ahead` has the bans that were read when the file was checked."""
        self.path = path
        self._reader = connect(path)
        self._read_lock = threading.Lock()
        self._unreadable: Counter[str] = Counter()
        self._ahead = ahead
        """What was read when the file was checked, until it is asked for or something is written."""
        self._reader.execute("PRAGMA query_only = ON")

    def bans(self) -> Iterator[Ban]:
        """Yield all claims, including those that have expired since; the claims of one network are consecutive."""
        return chain.from_iterable(self.ban_batches())

    def ban_batches(self) -> Iterator[list[Ban]]:
        """Yield all claims, about a thousand at a time; all claims of one address are in one list, consecutively."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            yield from whole(self._batches("bans", "", (), read_bans, text_factory=bytes))
            return
        ahead.reverse()
        while ahead:  # what is taken is not kept
            yield ahead.pop()

    def count_addresses(self, after_s: float) -> dict[tuple[Strength, int], int]:
        """Return how many single addresses are banned, for all ports and until later than `after_s` (wall time).

        The key is strength and bits of an address.
        """
        where = "mode = 'enforce' AND ports = x'' AND prefix_length = 8 * length(address) AND until_s > ?"
        query = f"SELECT strength, prefix_length, count(DISTINCT address) FROM bans WHERE {where} GROUP BY 1, 2"  # noqa: S608
        with explained(self.path), self._read_lock:
            counts = self._reader.execute(query, (after_s,)).fetchall()
        return {(Strength(word), bits): count for word, bits, count in counts if word in _STRENGTHS}

    def cursors(self) -> dict[str, Cursor]:
        """Return the saved cursors, by name."""
        return dict(self._read("cursors", "", (), rows.read_cursor))

    def allowed(self, limit: int = MAX_ALLOW_ENTRIES) -> list[Allowed]:
        """Return the networks allowed by an operator, oldest first, at most `limit`."""
        return list(self._read("allowed", "ORDER BY added_s LIMIT ?", (limit,), rows.read_allowed))

    def windows(self) -> dict[str, SavedContent]:
        """Return what detectors counted, by name; nothing from a file that another account can have written."""
        with explained(self.path):
            owner = self.path.stat().st_uid
        return dict(self._read("windows", "", (), rows.read_window)) if owner in (0, os.geteuid()) else {}

    def offences(self, since_s: float, limit: int = -1) -> Iterator[Offence]:
        """Yield the last `limit` (all: -1) offences since `since_s` (seconds since the epoch), oldest first.

        None of them was spared.
        """
        newest = "SELECT id FROM offences WHERE time_s >= ? AND spared = '' ORDER BY time_s DESC, id DESC LIMIT ?"
        where = f"WHERE id IN ({newest}) ORDER BY time_s, id"
        return self._read("offences", where, (since_s, limit), rows.read_offence)

    def offences_of(self, network: Network, limit: int) -> list[Offence]:
        """Return the last offences of exactly this network, spared ones included, newest first."""
        where = "WHERE address = ? AND prefix_length = ? ORDER BY time_s DESC, id DESC LIMIT ?"
        parameters = network.address, network.prefix_length, limit
        return list(self._read("offences", where, parameters, rows.read_offence))

    def _read(
        self, table: str, where: str, parameters: tuple[Any, ...], read: Callable[[rows.Row], _T]
    ) -> Iterator[_T]:
        """Yield the results of a query; invalid rows are counted and skipped."""

        def read_each(batch: Sequence[rows.Row]) -> tuple[list[_T], int]:
            found, malformed = [], 0
            for row in batch:
                try:
                    found.append(read(unchecked(row)))
                except MalformedRecord:
                    malformed += 1
            return found, malformed

        return chain.from_iterable(self._batches(table, where, parameters, read_each))

    def _batches(
        self,
        table: str,
        where: str,
        parameters: tuple[Any, ...],
        read: Callable[[Sequence[rows.Row]], tuple[list[_T], int]],
        text_factory: Callable[[bytes], str | bytes] = tolerant,
    ) -> Iterator[list[_T]]:
        """Yield the results of a query, a thousand rows at a time; `read` returns how many it skipped, too."""
        unreadable = 0
        with explained(self.path), self._read_lock:
            columns = f"{TABLES[table]}, row_check"
            cursor = self._reader.execute(f"SELECT {columns} FROM {table} {where}", parameters)  # noqa: S608
        while True:
            with explained(self.path), self._read_lock:
                self._reader.text_factory = text_factory
                try:
                    batch = cursor.fetchmany(_READ_ROWS)
                finally:
                    self._reader.text_factory = tolerant
            if not batch:
                break
            found, malformed = read(batch)
            unreadable += malformed
            yield found
        if unreadable > self._unreadable[table]:
            self._unreadable[table] = unreadable
