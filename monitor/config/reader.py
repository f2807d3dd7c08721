"""Reads values from YAML nodes: the schema determines how the text of each leaf is read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import yaml

from monitor.config.document import REPLACE_TAG, position_of
from monitor.config.faults import Fault, Origin
from monitor.config.kinds import near
from monitor.config.shapes import Group, Leaf, ListRule, NamedMap, Sequence, Shape, join
from monitor.config.types import quote

TEXT_LIMIT = 4096
"""Maximum length of one value, in characters."""

_EMPTY = {"", "~", "null", "Null", "NULL"}
_WORDS = {"logpath": "files", "port": "ports", "ignoreip": "allowlist", "failregex": "filter"}
"""Keys that fail2ban's users know, and ours."""
_NAME = re.compile("[A-Za-z0-9_-]{1,64}")


class LeafValue(msgspec.Struct, frozen=True):
    """A value and its origin."""

    value: Any
    origin: Origin
    is_added: bool = False
    """Whether it is added to the list of earlier files, instead of replacing it."""

    def added_to(self, earlier: "LeafValue") -> "LeafValue":
        """Return the list of earlier files with these entries; of equal ones the first stays."""
        entries = dict(zip(earlier.value, earlier.origin.entries, strict=True))
        for value, origin in zip(self.value, self.origin.entries, strict=True):
            entries.setdefault(value, origin)
        origin = msgspec.structs.replace(self.origin, entries=tuple(entries.values()))
        return LeafValue(tuple(entries), origin, is_added=earlier.is_added)


class Branch(msgspec.Struct, frozen=True):
    """A mapping from one file, or from several files after merging."""

    origin: Origin
    children: dict[str, "Tree"] = msgspec.field(default_factory=dict)


Tree: TypeAlias = LeafValue | Branch


class Reader:
    """Reads the nodes of one file; faults are collected in `faults`, and faulty values are left out of the result."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def read(self, node: yaml.Node, shape: Shape, path: str = "") -> Tree | None:
        """Return the value of a node; None if it is faulty, or empty where a mapping is expected."""
        match shape:
            case Leaf():
                return self._leaf(node, shape, path)
            case Sequence():
                return self._sequence(node, shape, path)
            case Group() | NamedMap():
                return self._mapping(node, shape, path)

    def _leaf(self, node: yaml.Node, shape: Leaf, path: str) -> LeafValue | None:
        if not isinstance(node, yaml.ScalarNode) or _is_empty(node):
            hint = "; remove the key to keep the default" if _is_empty(node) and not path.endswith("]") else ""
            self._fault(node, path, f"expected {_article(shape.kind.noun)}, found {_describe(node)}{hint}")
        elif len(node.value) > TEXT_LIMIT:
            self._fault(
                node, path, f"{len(node.value)} characters are too many for one value: expected at most {TEXT_LIMIT}"
            )
        else:
            try:
                return LeafValue(shape.kind.read(node.value), self._origin(node))
            except ValueError as error:
                self._fault(node, path, str(error))
        return None

    def _sequence(self, node: yaml.Node, shape: Sequence, path: str) -> LeafValue | None:
        if not isinstance(node, yaml.SequenceNode):
            # An empty value could mean the default or an empty list: the operator must decide.
            hint = "; write [] for an empty list" if _is_empty(node) else "; write it as [...]"
            self._fault(node, path, f"expected a list, found {_describe(node)}{hint}")
            return None
        items = [self._leaf(item, shape.item, f"{path}[{number}]") for number, item in enumerate(node.value)]
        if None in items:
            return None
        values = tuple(item.value for item in items if item is not None)
        if shape.rule is ListRule.REPLACED:
            return LeafValue(values, self._origin(node))
        entries = tuple(item.origin for item in items if item is not None)
        origin = msgspec.structs.replace(self._origin(node), entries=entries)
        return LeafValue(values, origin, is_added=node.tag != REPLACE_TAG)

    def _mapping(self, node: yaml.Node, shape: Group | NamedMap, path: str) -> Branch | None:
        if _is_empty(node):
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
            if child is None and isinstance(shape, NamedMap) and not isinstance(inner, Leaf) and _is_empty(value_node):
                child = Branch(self._origin(key_node))  # a name without a value has all defaults
            if child is not None:
                branch.children[key] = child
        return branch

    def _entries(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
        """Yield the entries whose keys are text and not duplicates."""
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, f"expected a key, found {_describe(key_node)}")
                continue
            key = key_node.value
            if key in lines:
                self._fault(key_node, join(path, _show_key(key)), f"duplicate key; it is already in line {lines[key]}")
                continue
            lines[key], _ = position_of(key_node)
            yield key_node, key, value_node

    def _inner(self, node: yaml.Node, key: str, shape: Group | NamedMap, path: str) -> Shape | None:
        """Return the shape of the value of a key; an unknown or invalid key is a fault."""
        if isinstance(shape, NamedMap):
            wrong = shape.names.check(key)
            if not wrong:
                return shape.value
            self._fault(node, join(path, _show_key(key)), wrong)
            return None
        if key in shape.fields:
            return shape.fields[key].shape
        known = list(shape.fields)
        word = _WORDS.get(key, key)
        meant = near(word, known) or _elsewhere(word, shape, path)
        hint = f"did you mean {meant}?" if meant else f"known keys: {', '.join(known)}"
        own = [name for name, field in shape.fields.items() if isinstance(field.shape, NamedMap)]
        if own and not meant:
            hint += f"; names of your own belong below {join(path, own[0])}"
        self._fault(node, join(path, _show_key(key)), f"unknown key; {hint}")
        return None

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self.file, *position_of(node))

    def _fault(self, node: yaml.Node, path: str, text: str) -> None:
        self.faults.append(Fault(self.file, *position_of(node), path, text))


def _elsewhere(key: str, shape: Group, path: str) -> str:
    """Return where this key is below a group, as near as possible; empty if nowhere, or at several places."""
    level = [(path, shape)]
    while level:
        level = [
            (join(place, name), field.shape)
            for place, group in level
            for name, field in group.fields.items()
            if isinstance(field.shape, Group)
        ]
        found = [join(place, key) for place, group in level if key in group.fields]
        if found:
            return found[0] if len(found) == 1 else ""
    return ""


def _is_empty(node: yaml.Node) -> bool:
    """Whether this is the node of a key without a value."""
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _EMPTY


def _describe(node: yaml.Node) -> str:
    """Describe a node for a message."""
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _is_empty(node) else quote(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _show_key(key: str) -> str:
    """Return a key for a path; it is quoted if it could break the line or the path."""
    return key if _NAME.fullmatch(key) else quote(key)


def _article(noun: str) -> str:
    """Add the indefinite article to the noun of a kind."""
    if noun.startswith(("`", "text")):
        return noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
