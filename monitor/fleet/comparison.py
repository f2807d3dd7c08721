"""Which nodes of a fleet differ from the others, and in what. Pure.

Digests tell that two nodes differ, not which of them is right: the larger group is taken for what is meant, and where
groups are equally large, the one with the first name, so that all nodes say the same.
"""

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias

from monitor.fleet.overview import NodeView
from monitor.fleet.records import Hello

_NAMED = 5

Said: TypeAlias = "Sequence[tuple[str, Hello]]"
"""Names of nodes, in order, with what they say of themselves."""


class Subject(enum.StrEnum):
    """In what a node differs."""

    CONFIGURATION = "configuration"
    """From nodes of its role: edge and database are not configured alike."""
    ALLOWLIST = "allowlist"
    DRIFT = "drift"
    """Other programs changed its table."""
    VERSION = "version"
    AUDIT = "audit"
    """From nodes of its role."""


class Difference(NamedTuple):
    """Nodes that differ from the larger part of a group in one subject."""

    subject: Subject
    nodes: tuple[str, ...]
    text: str
    """What people read: `web-3: other allowlist than 9 of 10`."""


def differing(nodes: Sequence[NodeView]) -> list[Difference]:
    """Return who differs; silent nodes, of which nobody knows how they are by now, do not."""
    said = [(one.name, one.hello) for one in nodes if one.hello is not None and one.is_alive]
    said.sort(key=itemgetter(0))
    return [
        *_by_role(Subject.CONFIGURATION, said),
        *_odd(Subject.ALLOWLIST, said, ""),
        *_drifted(said),
        *_odd(Subject.VERSION, said, ""),
        *_by_role(Subject.AUDIT, said),
    ]


def names(nodes: Sequence[str]) -> str:
    """Write a few names, and how many more there are."""
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return ", ".join(nodes[:_NAMED]) + more


def _by_role(subject: Subject, said: Said) -> Iterator[Difference]:
    by_role: dict[str, list[tuple[str, Hello]]] = {}
    for one in said:
        by_role.setdefault(one[1].role, []).append(one)
    for role, of_role in sorted(by_role.items()):
        yield from _odd(subject, of_role, f" of role {role}" if role else "")


def _odd(subject: Subject, said: Said, among: str) -> Iterator[Difference]:
    """Yield who says something else than most; nodes that say nothing are left out."""
    field = attrgetter(subject.value)
    counts = Counter([field(hello) for _, hello in said])  # first, since mostly all are alike
    del counts[""]
    if len(counts) < 2:
        return
    values = {name: value for name, hello in said if (value := field(hello))}
    usual, agreeing = counts.most_common(1)[0]  # of equally common ones that of the first name
    others = [name for name, value in values.items() if value == usual]
    whom = others[0] if agreeing == 1 else f"{agreeing} of {len(values)}{among}"
    by_value: dict[str, list[str]] = {}
    for name, value in values.items():
        if value != usual:
            by_value.setdefault(value, []).append(name)
    if subject is Subject.VERSION:
        for value, odd in by_value.items():
            yield Difference(subject, tuple(odd), f"{names(odd)}: version {value}, {whom}: {usual}")
        return
    odd = [name for name, value in values.items() if value != usual]
    apart = f", in {len(by_value)} variants" if len(by_value) > 1 else ""
    yield Difference(subject, tuple(odd), f"{names(odd)}: other {_WORDS[subject]} than {whom}{apart}")


_WORDS = {
    Subject.CONFIGURATION: "configuration",
    Subject.ALLOWLIST: "allowlist",
    Subject.AUDIT: "result of the last audit",
}


def _drifted(said: Said) -> Iterator[Difference]:
    counts = {name: hello.drift for name, hello in said if hello.drift}
    if counts:
        most = max(counts, key=lambda name: counts[name])
        text = f"other programs changed the table {counts[most]} times" + (f" on {most}" if len(counts) > 1 else "")
        yield Difference(Subject.DRIFT, tuple(counts), f"{names(list(counts))}: {text}")
