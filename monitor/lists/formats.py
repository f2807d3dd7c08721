"""Reads the lines of published lists. Pure; hostile lines are a ValueError, which costs that line.

A line must be what its format says and nothing else: `192.0.2.1 - 192.0.2.9` in a list of single addresses is no
address with a remark. Networks with host bits set are refused, because nobody can know which part is wrong.
"""

import re
from typing import NamedTuple

import msgspec

from monitor.lists.faults import ListCause, ListFault
from monitor.lists.settings import ListFormat
from monitor.model.addresses import Address, Network, parse_address, parse_network
from monitor.model.printable import printable

_MAX_LICENCE = 500
_LICENCE_LINES = 5
_LICENCE = re.compile(r"licen[cs]e|copyright|\(c\)|terms|all rights|usage policy|commercial", re.IGNORECASE)


class AddressRange(NamedTuple):
    """Addresses of one family from one to another, both included."""

    first: Address
    last: Address


class LineReader:
    """Reads `text`: one address or network a line, comments after `#` or `;`."""

    comments = "#;"
    takes_bare = True
    """Whether a line that is an address and nothing else names this address."""

    def __init__(self) -> None:
        self._licence: dict[str, None] = {}

    @property
    def licence(self) -> str:
        """What the comments of the list say of its licence, bounded; empty if nothing."""
        return " ".join(self._licence)[:_MAX_LICENCE]

    def read(self, line: str) -> Network | AddressRange | None:
        """Return what a line names; None for a comment or an empty line. ValueError if it is neither."""
        for mark in self.comments:
            if mark in line:
                line, _, comment = line.partition(mark)
                self.remember(comment)
        line = line.strip()
        return self.entry(line) if line else None

    def entry(self, text: str) -> Network | AddressRange | None:
        """Read a line without its comment."""
        return parse_network(text)

    def finish(self, entries: int) -> None:
        """Take that the list ended, with so many lines of networks; ListFault if it cannot be all of it."""

    def remember(self, comment: str) -> None:
        """Keep a comment that speaks of the licence."""
        if len(self._licence) < _LICENCE_LINES and _LICENCE.search(comment):
            text = comment.encode("latin-1", "replace").decode("utf-8", "replace")
            self._licence[printable(" ".join(text.split())[:_MAX_LICENCE]).strip("#;*/ ")] = None


class NetsetReader(LineReader):
    """Reads what `ipset save` prints, too: `add NAME NETWORK`."""

    def entry(self, text: str) -> Network | AddressRange | None:
        """Read a line; `create` and the options of elements name nothing."""
        word, *rest = text.split()
        if word == "create" and rest:
            return None
        if word == "add" and len(rest) >= 2:
            if "nomatch" in rest[2:] or "," in rest[1]:
                raise ValueError("an exception, or an element of several parts")
            text = rest[1]
        return _network_or_range(text)


class RangesReader(LineReader):
    """Reads `FIRST-LAST`, and single networks."""

    def entry(self, text: str) -> Network | AddressRange | None:
        """Read a line."""
        return _network_or_range(text)


class CsvReader(LineReader):
    """Reads a column; the separator is a comma, in lines without one a semicolon or a tab."""

    comments = ""
    takes_bare = False

    def __init__(self, column: int) -> None:
        """`column` counts from 1."""
        super().__init__()
        self._column = column
        self._is_first = True

    def read(self, line: str) -> Network | AddressRange | None:
        """Read a line; the first one may be a header. Comments are whole lines."""
        line = line.strip()
        if not line or line.startswith("#"):
            self.remember(line[1:])
            return None
        is_first, self._is_first = self._is_first, False
        try:
            return _network_or_range(self._cell(line))
        except ValueError:
            if is_first:
                return None
            raise

    def _cell(self, line: str) -> str:
        separator = next((one for one in ",;\t" if one in line), ",")
        if '"' in line:
            import csv

            try:
                (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
            except (csv.Error, ValueError) as error:
                raise ValueError(f"not comma-separated values: {error}") from None
        else:
            cells = line.split(separator, self._column)
        if len(cells) < self._column:
            raise ValueError(f"it has no column {self._column}")
        return cells[self._column - 1].strip()


class _SpamhausLine(msgspec.Struct, frozen=True):
    """A line of https://www.spamhaus.org/drop/drop_v4.json; the last one is about the list."""

    cidr: str = ""
    type: str = ""
    records: int = -1
    copyright: str = ""
    terms: str = ""


class SpamhausReader(LineReader):
    """Reads JSON lines whose last one says how many there are."""

    takes_bare = False

    def __init__(self) -> None:
        super().__init__()
        self._records: int | None = None

    def read(self, line: str) -> Network | AddressRange | None:
        """Read a line."""
        if not line.strip():
            return None
        try:
            one = _spamhaus.decode(line)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise ValueError(f"not JSON as Spamhaus writes it: {error}") from None
        if one.type == "metadata":
            self._records = one.records
            for text in (one.copyright, one.terms):
                if text:
                    self._licence[printable(" ".join(text.split())[:_MAX_LICENCE])] = None
            return None
        return parse_network(one.cidr)

    def finish(self, entries: int) -> None:
        """Check the number of networks."""
        if self._records is None:
            raise ListFault(ListCause.TRUNCATED, "the last line, which says how many networks there are, is missing")
        if 0 <= self._records != entries:
            raise ListFault(ListCause.TRUNCATED, f"it names {entries} networks and says that it has {self._records}")


_spamhaus = msgspec.json.Decoder(_SpamhausLine)


def line_reader(form: ListFormat, column: int = 1) -> LineReader:
    """Return a reader of a format."""
    match form:
        case ListFormat.NETSET:
            return NetsetReader()
        case ListFormat.RANGES:
            return RangesReader()
        case ListFormat.CSV:
            return CsvReader(column)
        case ListFormat.SPAMHAUS_JSON:
            return SpamhausReader()
        case ListFormat.TEXT:
            return LineReader()


def _network_or_range(text: str) -> Network | AddressRange:
    first, dash, last = text.partition("-")
    if not dash:
        return parse_network(text)
    low, high = parse_address(first.strip()), parse_address(last.strip())
    if len(low) != len(high) or low > high:
        raise ValueError(f"{text!r} is not a range (expected for example 192.0.2.1-192.0.2.9)")
    return AddressRange(low, high)
