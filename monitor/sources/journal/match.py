"""Matches of journalctl(1): parsed, handed to the journal, and evaluated on entries. Pure.

Terms of different fields must all hold, of terms for one field any; `+` separates groups of which one is enough. The
lines of one detector are alternatives as well. A detector without any line reads everything.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from monitor.model.errors import ConfigError

Value: TypeAlias = bytes | list[bytes]
"""What a field holds: a list where the entry has the field more than once."""
Entry: TypeAlias = Mapping[str, Value]
"""An entry's fields by name."""
Group: TypeAlias = tuple[tuple[str, frozenset[bytes]], ...]
"""For each field, sorted by name, the values of which one must be there."""

# What libsystemd accepts; names with two underscores are no fields but addresses of the entry.
_FIELD = re.compile(r"(?!__)[A-Z_][A-Z0-9_]{0,63}")
_MAX_KNOWN = 4096


def parse_match(terms: Sequence[str]) -> tuple[Group, ...]:
    """Return the groups of one line of terms; ConfigError says which term is wrong."""
    groups: list[dict[str, set[bytes]]] = [{}]
    for term in terms:
        if term == "+":
            groups.append({})
            continue
        field, equals, value = term.partition("=")
        if not equals or not _FIELD.fullmatch(field):
            raise ConfigError(f"journal match {term!r}: write FIELD=value, or + between groups")
        groups[-1].setdefault(field, set()).add(value.encode("utf-8", "surrogateescape"))
    if not all(groups):
        raise ConfigError(f"journal match {' '.join(terms)!r}: + stands between two groups of terms")
    return tuple(tuple((field, frozenset(group[field])) for field in sorted(group)) for group in groups)


class Matcher:
    """Tells which detectors read an entry.

    `groups` is what the journal itself can be asked for: one disjunction, each group once; empty means all entries.
    """

    def __init__(self, matches: Mapping[str, Sequence[Sequence[str]]]) -> None:
        """Parse the lines of every detector; ConfigError names the detector and the term."""
        self._detectors: list[tuple[str, frozenset[Group]]] = []
        for detector, lines in matches.items():
            try:
                groups = frozenset(group for line in lines for group in parse_match(line))
            except ConfigError as error:
                raise ConfigError(f"detector {detector}: {error}") from error
            self._detectors.append((detector, groups))
        reads_all = any(not groups for _, groups in self._detectors)
        asked = dict.fromkeys(group for _, groups in self._detectors for group in sorted(groups, key=_order))
        self.groups: tuple[Group, ...] = () if reads_all else tuple(asked)
        self._values: dict[str, set[bytes]] = {}
        for field, values in (term for group in asked for term in group):
            self._values.setdefault(field, set()).update(values)
        self._known: dict[tuple[object, ...], tuple[str, ...]] = {}

    def detectors(self, entry: Entry) -> tuple[str, ...]:
        """Return the names of the detectors that read this entry, in the order given."""
        key = tuple([_reduced(entry.get(field), values) for field, values in self._values.items()])
        found = self._known.get(key)
        if found is None:
            present = dict(zip(self._values, key, strict=True))
            found = tuple(
                name
                for name, groups in self._detectors
                if not groups or any(_holds(group, present) for group in groups)
            )
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found


def _reduced(value: Value | None, known: set[bytes]) -> frozenset[bytes] | bytes | None:
    """Return only what some match asks for, so that a key is small whatever an entry holds."""
    if isinstance(value, list):
        return frozenset(known.intersection(value))
    return value if value in known else None


def _holds(group: Group, present: Mapping[str, frozenset[bytes] | bytes | None]) -> bool:
    """Whether every field of the group has one of its values."""
    for field, values in group:
        value = present[field]
        if value is None or (values.isdisjoint(value) if isinstance(value, frozenset) else value not in values):
            return False
    return True


def _order(group: Group) -> list[tuple[str, list[bytes]]]:
    return [(field, sorted(values)) for field, values in group]
