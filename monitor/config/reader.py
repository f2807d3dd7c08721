"""YAML nodes to values: each leaf is read by the type that the schema expects, from its own text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from monitor.config.document import place_of
from monitor.config.faults import Fault, Origin
from monitor.config.kinds import near
from monitor.config.shapes import Group, Leaf, Sequence, Shape, Table, join
from monitor.config.types import quote

TEXT_LIMIT = 4096
"""How many characters one value may have."""

_EMPTY = {"", "~", "null", "Null", "NULL"}
_NAME = re.compile("[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Found:
    """A value as one file gives it."""

    value: Any
    origin: Origin


@dataclass(frozen=True)
class Branch:
    """A mapping as one file gives it, or as several files do after merging."""

    origin: Origin
    children: dict[str, "Tree"] = field(default_factory=dict)


Tree: TypeAlias = Found | Branch


class Reader:
    """Reads the nodes of one file; faults gather in `faults` and what they concern is left out of the result."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def read(self, node: yaml.Node, shape: Shape, path: str = "") -> Tree | None:
        """Return what a node says; None when it is faulty, or says nothing where a mapping is expected."""
        match shape:
            case Leaf():
                return self._leaf(node, shape, path)
            case Sequence():
                return self._sequence(node, shape, path)
            case Group() | Table():
                return self._mapping(node, shape, path)

    def _leaf(self, node: yaml.Node, shape: Leaf, path: str) -> Found | None:
        if not isinstance(node, yaml.ScalarNode) or _says_nothing(node):
            hint = "; remove the key to keep the default" if _says_nothing(node) and not path.endswith("]") else ""
            self._fault(node, path, f"expected {_article(shape.kind.noun)}, found {_describe(node)}{hint}")
        elif len(node.value) > TEXT_LIMIT:
            self._fault(
                node, path, f"{len(node.value)} characters are too many for one value: expected {TEXT_LIMIT} at most"
            )
        else:
            try:
                return Found(shape.kind.read(node.value), self._origin(node))
            except ValueError as error:
                self._fault(node, path, str(error))
        return None

    def _sequence(self, node: yaml.Node, shape: Sequence, path: str) -> Found | None:
        if not isinstance(node, yaml.SequenceNode):
            # A list with nothing in it could mean the default or no item: the operator must say which.
            hint = "; write [] for an empty list" if _says_nothing(node) else "; write it as [...]"
            self._fault(node, path, f"expected a list, found {_describe(node)}{hint}")
            return None
        items = [self._leaf(item, shape.item, f"{path}[{number}]") for number, item in enumerate(node.value)]
        if None in items:
            return None
        return Found(tuple(item.value for item in items if item is not None), self._origin(node))

    def _mapping(self, node: yaml.Node, shape: Group | Table, path: str) -> Branch | None:
        if _says_nothing(node):
            return None
        if not isinstance(node, yaml.MappingNode):
            hint = ", ".join(list(shape.fields)[:8]) if isinstance(shape, Group) else "names"
            self._fault(node, path, f"expected a mapping with keys ({hint}), found {_describe(node)}")
            return None
        branch = Branch(self._origin(node))
        for key_node, key, value_node in self._entries(node, path):
            inner = self._inner(key_node, key, shape, path)
            if inner is None:
                continue
            child = self.read(value_node, inner, join(path, key))
            if child is None and isinstance(shape, Table) and not isinstance(inner, Leaf) and _says_nothing(value_node):
                child = Branch(self._origin(key_node))  # a name alone is there, with defaults
            if child is not None:
                branch.children[key] = child
        return branch

    def _entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
        """Yield the entries whose keys are text and come for the first time."""
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, f"expected a key, found {_describe(key_node)}")
                continue
            key = key_node.value
            if key in lines:
                self._fault(key_node, join(path, _show_key(key)), f"duplicate key; it is already in line {lines[key]}")
                continue
            lines[key], _ = place_of(key_node)
            yield key_node, key, value_node

    def _inner(self, node: yaml.Node, key: str, shape: Group | Table, path: str) -> Shape | None:
        """Return the shape of a key's value; a key that cannot be is a fault."""
        if isinstance(shape, Table):
            wrong = shape.names.check(key)
            if not wrong:
                return shape.value
            self._fault(node, join(path, _show_key(key)), wrong)
            return None
        if key in shape.fields:
            return shape.fields[key].shape
        known = list(shape.fields)
        meant = near(key, known)
        hint = f"did you mean {meant}?" if meant else f"known here: {', '.join(known)}"
        self._fault(node, join(path, _show_key(key)), f"unknown key; {hint}")
        return None

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self.file, *place_of(node))

    def _fault(self, node: yaml.Node, path: str, text: str) -> None:
        self.faults.append(Fault(self.file, *place_of(node), path, text))


def _says_nothing(node: yaml.Node) -> bool:
    """Whether this is what YAML reads after a key that nothing follows."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _EMPTY


def _describe(node: yaml.Node) -> str:
    """Say what a node is, for a message."""
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _says_nothing(node) else quote(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _show_key(key: str) -> str:
    """Write a key inside a path; one that could break the line or the path is quoted."""
    return key if _NAME.fullmatch(key) else quote(key)


def _article(noun: str) -> str:
    """Put the article that people expect before a kind's noun."""
    if noun.startswith(("`", "text")):
        return noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
