"""Which nodes of a fleet differ from the others, and in what. Pure.

Digests tell that two nodes differ, not which of them is right: the larger group is taken for what is meant, and where
groups are equally large, the one with the first name, so that all nodes say the same.
"""

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from monitor.fleet.overview import NodeView

_NAMED = 5


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
    alive = sorted((one for one in nodes if one.is_alive), key=lambda one: one.name)
    return [
        *_by_role(Subject.CONFIGURATION, alive),
        *_odd(Subject.ALLOWLIST, _values(alive, "allowlist"), ""),
        *_drifted(alive),
        *_odd(Subject.VERSION, _values(alive, "version"), ""),
        *_by_role(Subject.AUDIT, alive),
    ]


def names(nodes: Sequence[str]) -> str:
    """Write a few names, and how many more there are."""
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return ", ".join(nodes[:_NAMED]) + more


def _values(nodes: Iterable[NodeView], field: str) -> dict[str, str]:
    """Return what a field of the hello says, by node; without those that say nothing."""
    said = ((one.name, getattr(one.hello, field)) for one in nodes)
    return {name: value for name, value in said if value}


def _by_role(subject: Subject, nodes: Sequence[NodeView]) -> Iterator[Difference]:
    by_role: dict[str, list[NodeView]] = {}
    for one in nodes:
        if one.hello:
            by_role.setdefault(one.hello.role, []).append(one)
    for role, of_role in sorted(by_role.items()):
        yield from _odd(subject, _values(of_role, subject.value), f" of role {role}" if role else "")


def _odd(subject: Subject, values: dict[str, str], among: str) -> Iterator[Difference]:
    counts = Counter(values.values())
    if len(counts) < 2:
        return
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


def _drifted(nodes: Sequence[NodeView]) -> Iterator[Difference]:
    counts = {one.name: one.hello.drift for one in nodes if one.hello and one.hello.drift}
    if counts:
        most = max(counts, key=lambda name: counts[name])
        text = f"other programs changed the table {counts[most]} times" + (f" on {most}" if len(counts) > 1 else "")
        yield Difference(Subject.DRIFT, tuple(counts), f"{names(list(counts))}: {text}")
