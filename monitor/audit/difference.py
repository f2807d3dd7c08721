"""What changed on a node from one state to a later one: ports and rules. Pure.

What either state does not know is no difference: it is `unknown`, with the reason.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from monitor.audit.baseline import Baseline, RuleLine
from monitor.audit.findings import Zone


class PortChange(msgspec.Struct, frozen=True):
    """A port that was opened or closed for a zone."""

    port: str
    """`ZONE PROTOCOL/PORT`."""
    text: str
    """Who listens, or where it is translated to."""


class TableChange(msgspec.Struct, frozen=True, kw_only=True):
    """How the rules of a table differ."""

    table: str
    added: tuple[RuleLine, ...] = ()
    removed: tuple[RuleLine, ...] = ()
    note: str = ""
    """What rules added and removed do not say: the table is new or gone, rules were moved, or are too many to list."""

    def summary(self) -> str:
        """Return the change in a few words: `3 rules added, 1 removed`."""
        counts = [f"{len(lines)} {verb}" for lines, verb in ((self.added, "added"), (self.removed, "removed")) if lines]
        if counts:
            counts[0] = counts[0].replace(" ", " rule " if counts[0].startswith("1 ") else " rules ", 1)
        return ", ".join([*counts, *filter(None, (self.note,))])


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """All changes; `unknown` says what could not be compared."""

    opened: tuple[PortChange, ...] = ()
    closed: tuple[PortChange, ...] = ()
    tables: tuple[TableChange, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.tables)


def difference(before: Baseline, now: Baseline) -> Difference:
    """Return what changed between two states of one node."""
    unknown = []
    opened: tuple[PortChange, ...] = ()
    closed: tuple[PortChange, ...] = ()
    tables: tuple[TableChange, ...] = ()
    if reason := before.lacks.get("reach") or now.lacks.get("reach"):
        unknown.append(f"ports: {reason}")
    else:
        zones = {*before.zones} & {*now.zones}
        opened = tuple(_missing(now.open, before, zones))
        closed = tuple(_missing(before.open, now, zones))
    if reason := before.lacks.get("ruleset") or now.lacks.get("ruleset"):
        unknown.append(f"rules: {reason}")
    else:
        tables = table_changes(before, now)
    return Difference(opened=opened, closed=closed, tables=tables, unknown=tuple(unknown))


def table_changes(before: Baseline, now: Baseline) -> tuple[TableChange, ...]:
    """Return how the rules of settled authors changed, by table."""
    names = sorted({*before.digests, *now.digests})
    return tuple(_table(name, before, now) for name in names if before.digests.get(name) != now.digests.get(name))


def _missing(these: dict[str, str], other: Baseline, zones: set[Zone]) -> Iterator[PortChange]:
    """Yield the ports that are known not to be open in another state."""
    known = {*other.open, *other.undecided}
    for port, text in these.items():
        if port not in known and port.partition(" ")[0] in zones:
            yield PortChange(port, text)


def _table(name: str, before: Baseline, now: Baseline) -> TableChange:
    old, new = before.rules.get(name, ()), now.rules.get(name, ())
    is_listed = not any(name in state.digests and name not in state.rules for state in (before, now))
    added, removed = (tuple(_more(new, old)), tuple(_more(old, new))) if is_listed else ((), ())
    if name not in before.digests:
        note = "the table is new"
    elif name not in now.digests:
        note = "the table is gone"
    elif added or removed:
        note = ""
    elif is_listed and old != new:
        note = "the order of rules changed"
    else:
        note = "its rules changed, and are too many to be listed" if not is_listed else "its rules changed"
    if before.nft_version != now.nft_version and not note and name in before.digests:
        note = f"nft was {before.nft_version} and is {now.nft_version}, which may print the same rules otherwise"
    return TableChange(table=name, added=added, removed=removed, note=note)


def _more(these: Iterable[RuleLine], those: Iterable[RuleLine]) -> Iterator[RuleLine]:
    """Yield what these lines have more of than those, in their order."""
    left = Counter((line.chain, line.digest) for line in those)
    for line in these:
        key = line.chain, line.digest
        if left[key]:
            left[key] -= 1
        else:
            yield line
