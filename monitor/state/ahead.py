"""Reads all bans while the file is checked: the check of their checksums takes as long as reading them."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from monitor.model.bans import Ban
from monitor.state.ban_rows import UNUSUAL, read_columns
from monitor.state.tables import TABLES

_READ_ROWS = 1000
MAX_AHEAD = 1_200_000
"""Bans that are read ahead; what then is in memory twice for a moment is the list of them, not the bans."""


def read_ahead(connection: sqlite3.Connection) -> list[list[Ban]] | None:
    """Return all bans of a file of the current schema, in the batches of `whole`.

    None if there are more than MAX_AHEAD, or if any row is unusual: its checksum does not match, or it is no ban.
    Raises sqlite3.Error.
    """
    usual, connection.text_factory = connection.text_factory, bytes
    found: list[list[Ban]] = []
    count = 0
    try:
        cursor = connection.execute(f"SELECT {TABLES['bans']}, row_check FROM bans")  # noqa: S608 - constants
        while rows := cursor.fetchmany(_READ_ROWS):
            if (count := count + len(rows)) > MAX_AHEAD:
                return None
            found.append(read_columns(rows))
    except UNUSUAL:
        return None
    finally:
        connection.text_factory = usual
    return list(whole(found))


def whole(batches: Iterable[Sequence[Ban]]) -> Iterator[list[Ban]]:
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
