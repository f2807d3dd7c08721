"""The reading half of the store, on a connection of its own."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from monitor.model.addresses import Network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_ALLOW_ENTRIES, Ban, Offence
from monitor.model.cursors import Cursor
from monitor.model.errors import MalformedRecord, TemporaryError
from monitor.state import rows
from monitor.state.ban_rows import are_as_written, read_bans
from monitor.state.changes import Allowed, SavedContent
from monitor.state.schema import connect, explained, tolerant
from monitor.state.tables import TABLES, unchecked

_READ_ROWS = 1000
_STRENGTHS = frozenset(map(str, Strength))
_T = TypeVar("_T")


class DamagedFile(TemporaryError):  # noqa: N818 - named after what the caller must replace
    """What is on the disk is not what was written: open the file again, which saves what can be saved."""


class StoreReader:
    """What the file contains. Every method may be called from any thread; TemporaryError if it cannot be read."""

    def __init__(self, path: Path, *, are_bans_checked: bool) -> None:
        """Connect; `are_bans_checked`: whether all bans were compared with their checksums when it was opened."""
        self.path = path
        self._reader = connect(path)
        self._read_lock = threading.Lock()
        self._unreadable: Counter[str] = Counter()
        self._are_bans_checked = are_bans_checked
        self._reader.execute("PRAGMA query_only = ON")

    def bans(self) -> Iterator[Ban]:
        """Yield all claims, including those that have expired since; the claims of one network are consecutive."""
        return chain.from_iterable(self.ban_batches())

    def ban_batches(self) -> Iterator[list[Ban]]:
        """Yield all claims, about a thousand at a time; all claims of one address are in one list, consecutively.

        DamagedFile before the first row that does not match its checksum, unless that was checked at the opening.
        """
        yield from _whole(self._batches("bans", "", (), self._read_bans, text_factory=bytes))
        self._are_bans_checked = True

    def _read_bans(self, batch: Sequence[rows.Row]) -> tuple[list[Ban], int]:
        found, malformed = read_bans(batch)
        if malformed and not self._are_bans_checked and not are_as_written(batch):
            raise DamagedFile(f"{self.path} is damaged: rows of bans do not match their checksums")
        return found, malformed

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


def _whole(batches: Iterable[Sequence[Ban]]) -> Iterator[list[Ban]]:
    """Yield bans so that all of one address are in one list; they come in the order of their addresses."""
    kept: list[Ban] = []
    for batch in batches:
        kept += batch
        first = max(0, len(kept) - 1)
        while first and kept[first - 1].network.address == kept[first].network.address:
            first -= 1
        if first:
            yield kept[:first]
            del kept[:first]
    if kept:
        yield kept
