"""Reads the history from the file, with a connection of its own: the daemon's writing and reading never waits for it.

Works on the file of a daemon that does not run as well. A row that does not match its checksum is no row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from monitor.model.addresses import Network, network_of
from monitor.model.bans import Offence
from monitor.model.errors import MalformedRecord, TemporaryError
from monitor.state import rows
from monitor.state.schema import connect, explained
from monitor.state.tables import TABLES, VERSION, unchecked

Position = tuple[float, int]
"""Where a page of the history ends: time (seconds since the epoch) and number of its last entry."""

_COLUMNS = f"{TABLES['offences']}, row_check"
_MATCHES = f"row_check = row_check({TABLES['offences']})"
_OUTCOME = "CASE WHEN spared != '' THEN spared WHEN mode = 'enforce' THEN 'ban' ELSE 'observe' END"
_PREFIX = "substr(address, 1, CASE length(address) WHEN 4 THEN 3 ELSE 6 END)"
_HOUR_S = 3600
_SOURCES_SHOWN = 100
"""The most sources and prefixes of a report; an attacker decides how many there are."""


class HistoryQuery(NamedTuple):
    """Which entries: from `since_s` on, before `until_s` (seconds since the epoch), all conditions together."""

    since_s: float
    until_s: float
    not_banned: bool = False
    """Only what was observed or spared."""
    detector: str = ""
    source: Network | None = None
    """Only entries whose network overlaps this one."""

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition in SQL, and its parameters."""
        parts = ["time_s >= ? AND time_s < ?"]
        parameters: list[Any] = [self.since_s, self.until_s]
        if self.not_banned:
            parts.append("(mode != 'enforce' OR spared != '')")
        if self.detector:
            parts.append("detector = ?")
            parameters.append(self.detector)
        if (source := self.source) is not None:
            around = [network_of(source.address, length) for length in range(source.prefix_length)]
            places = ", ".join(["(?, ?)"] * len(around)) or "(NULL, NULL)"
            parts.append(
                "(length(address) = ? AND address >= ? AND address <= ? AND prefix_length >= ? "
                f"OR (address, prefix_length) IN (VALUES {places}))"
            )
            parameters += [len(source.address), source.address, source.last(), source.prefix_length]
            parameters += [value for one in around for value in (one.address, one.prefix_length)]
        return " AND ".join(parts), parameters


class HistoryReader:
    """One open connection; use it from one thread. Every method raises TemporaryError with what to do."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`; TemporaryError if that fails, or if the file is of another version."""
        self._path = path
        with explained(path):
            self._connection = connect(path)
            self._connection.execute("PRAGMA query_only = ON")
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            self.close()
            raise TemporaryError(
                f"{path} is of another version of nodewarden (schema {found}, this one reads {VERSION}): start the "
                "daemon once, which converts it"
            )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def page(self, query: HistoryQuery, before: Position | None, limit: int) -> tuple[list[Offence], Position | None]:
        """Return the newest entries before a position, newest first, and the position of the next page; None: no more.

        A page has at most `limit` entries, fewer if some are unreadable.
        """
        where, parameters = query.where()
        if before is not None:
            where += " AND (time_s, id) < (?, ?)"
            parameters += before
        found = self._select(
            f"SELECT id, {_COLUMNS} FROM offences WHERE {where} ORDER BY time_s DESC, id DESC LIMIT ?",  # noqa: S608
            [*parameters, limit],
        )
        entries = [offence for row in found if (offence := _read(row[1:])) is not None]
        return entries, (found[-1][1], found[-1][0]) if len(found) == limit else None

    def report(self, query: HistoryQuery) -> dict[str, Any]:
        """Sum the history up, as plain data: networks as `Network`, times in seconds since the epoch.

        `detectors` and `hours` count everything, also what has no entry of its own, unless a source is asked for:
        entries are bounded, tallies by hour are not. The first hour is counted whole.
        """
        where, parameters = query.where()
        bad = self._select(f"SELECT count(*) FROM offences WHERE {where} AND NOT {_MATCHES}", parameters)[0][0]  # noqa: S608
        rows_of = f"FROM offences WHERE {where}{f' AND {_MATCHES}' if bad else ''}"
        entries = self._select(f"SELECT count(*) {rows_of}", parameters)[0][0]
        return {
            "entries": entries,
            "unreadable": bad,
            "detectors": list(self._by_detector(query, rows_of, parameters)),
            "hours": list(self._by_hour(query, rows_of, parameters)),
            "sources": list(self._sources(rows_of, parameters)),
            "known": list(self._sources(f"{rows_of} AND standing != ''", parameters)),
            "prefixes": list(self._prefixes(rows_of, parameters)),
        }

    def _by_detector(self, query: HistoryQuery, rows_of: str, parameters: list[Any]) -> Iterator[dict[str, Any]]:
        """Yield by detector what came of its alerts, how many sources it named, and how many of these are known."""
        counts: dict[str, dict[str, int]] = {}
        for detector, outcome, count in self._tallied("detector", query, rows_of, parameters):
            counts.setdefault(detector, {})[outcome] = count
        sources = dict(
            self._select(
                f"SELECT detector, count(DISTINCT hex(address) || prefix_length) {rows_of} GROUP BY 1", parameters
            )
        )
        known: dict[str, dict[str, int]] = {}
        for detector, standing, count in self._select(
            f"SELECT detector, standing, count(DISTINCT hex(address) || prefix_length) {rows_of} AND standing != '' "
            "GROUP BY 1, 2",
            parameters,
        ):
            known.setdefault(detector, {})[standing] = count
        for detector in sorted(counts.keys() | sources.keys()):
            yield {
                "detector": detector,
                "outcomes": counts.get(detector, {}),
                "sources": sources.get(detector, 0),
                "known": known.get(detector, {}),
            }

    def _by_hour(self, query: HistoryQuery, rows_of: str, parameters: list[Any]) -> Iterator[dict[str, Any]]:
        """Yield by hour what came of alerts, oldest first; hours without any are left out."""
        hours: dict[int, dict[str, int]] = {}
        for hour, outcome, count in self._tallied("hour", query, rows_of, parameters):
            hours.setdefault(hour, {})[outcome] = count
        for hour in sorted(hours):
            yield {"hour_s": hour * _HOUR_S, "outcomes": hours[hour]}

    def _tallied(self, by: str, query: HistoryQuery, rows_of: str, parameters: list[Any]) -> list[Any]:
        """Return (`by`, outcome, count): of the tallies, or of entries where these know more or a source is named."""
        key = f"CAST(time_s / {_HOUR_S} AS INTEGER)" if by == "hour" else by
        entered = self._select(f"SELECT {key}, {_OUTCOME}, count(*) {rows_of} GROUP BY 1, 2", parameters)
        if query.source is not None:
            return entered
        where = "hour >= ? AND hour * 3600 < ?"
        values: list[Any] = [int(query.since_s // _HOUR_S), query.until_s]
        if query.detector:
            where += " AND detector = ?"
            values.append(query.detector)
        if query.not_banned:
            where += " AND outcome != 'ban'"
        matching = f"row_check = row_check({TABLES['tallies']})"
        tallied = self._select(
            f"SELECT {by}, outcome, sum(count) FROM tallies WHERE {where} AND {matching} GROUP BY 1, 2",  # noqa: S608
            values,
        )
        counts = {(name, outcome): count for name, outcome, count in tallied}
        for name, outcome, count in entered:  # a damaged tally must not hide entries
            counts[name, outcome] = max(count, counts.get((name, outcome), 0))
        return [(*key, count) for key, count in counts.items()]

    def _sources(self, rows_of: str, parameters: list[Any]) -> Iterator[dict[str, Any]]:
        """Yield the sources with the most entries."""
        found = self._select(
            "SELECT address, prefix_length, count(*), min(time_s), max(time_s), max(standing), "
            f"group_concat(DISTINCT detector), group_concat(DISTINCT {_OUTCOME}) {rows_of} "
            "GROUP BY address, prefix_length ORDER BY 3 DESC, 5 DESC LIMIT ?",
            [*parameters, _SOURCES_SHOWN],
        )
        for address, length, count, first_s, last_s, standing, detectors, outcomes in found:
            yield {
                "network": Network(address, length),
                "count": count,
                "first_s": first_s,
                "last_s": last_s,
                "standing": standing,
                "detectors": detectors.split(","),
                "outcomes": outcomes.split(","),
            }

    def _prefixes(self, rows_of: str, parameters: list[Any]) -> Iterator[dict[str, Any]]:
        """Yield the /24 (IPv6: /48) with the most sources, if there are at least two."""
        found = self._select(
            f"SELECT {_PREFIX}, length(address), count(DISTINCT hex(address) || prefix_length), count(*) {rows_of} "
            "AND prefix_length >= CASE length(address) WHEN 4 THEN 24 ELSE 48 END "
            "GROUP BY 1, 2 HAVING count(DISTINCT hex(address) || prefix_length) > 1 ORDER BY 3 DESC, 4 DESC LIMIT ?",
            [*parameters, _SOURCES_SHOWN],
        )
        for start, size, sources, count in found:
            yield {
                "network": Network(start.ljust(size, b"\0"), 24 if size == 4 else 48),
                "sources": sources,
                "count": count,
            }

    def _select(self, statement: str, parameters: list[Any]) -> list[Any]:
        with explained(self._path):
            return self._connection.execute(statement, parameters).fetchall()


@contextmanager
def reading(path: Path) -> Iterator[HistoryReader]:
    """Open the history at `path`, and close it again. TemporaryError."""
    reader = HistoryReader(path)
    try:
        yield reader
    finally:
        reader.close()


def _read(row: rows.Row) -> Offence | None:
    """Decode a row; None if it is not what was written."""
    try:
        return rows.read_offence(unchecked(row))
    except MalformedRecord:
        return None
