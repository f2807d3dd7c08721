"""Builds settings from merged files: adds defaults and reports values that conflict."""

from typing import Any

import msgspec

from monitor.config.faults import DEFAULT, Fault, Origin, fault_at
from monitor.config.reader import Branch, LeafValue, Tree
from monitor.config.shapes import Field, Group, NamedMap, Section, Shape, join, leaves


def merge(earlier: Branch, later: Branch) -> Branch:
    """Merge the values of two files, the later of which takes precedence.

    Mappings merge key by key, and lists that are merged entry by entry; other values replace the earlier.
    """
    children = dict(earlier.children)
    for key, tree in later.children.items():
        known = children.get(key)
        if isinstance(known, Branch) and isinstance(tree, Branch):
            children[key] = merge(known, tree)
        elif isinstance(known, LeafValue) and isinstance(tree, LeafValue) and tree.is_added:
            children[key] = tree.added_to(known)
        else:
            children[key] = tree
    return Branch(later.origin, children)


class Builder:
    """Builds structs; collects the origin of each value in `origins`, and missing or conflicting values in `faults`.

    `faulty` contains the paths that already have a fault, for which no other fault is reported.
    """

    def __init__(self, faulty: frozenset[str] = frozenset()) -> None:
        self.faulty = faulty
        self.faults: list[Fault] = []
        self.origins: dict[str, Origin] = {}

    def group(self, shape: Group, branch: Branch, path: str = "", default: Any = msgspec.NODEFAULT) -> Section | None:
        """Return the struct of a section; None if a required key in it is missing.

        `default` is the section with the default values; without one, those of the struct apply.
        """
        values: dict[str, Any] = {}
        complete = True
        for key, field in shape.fields.items():
            child_path = join(path, key)
            value = self._field(field, field.default_in(default), branch, child_path)
            complete = complete and value is not None
            values[field.attribute] = value
        if not complete:
            return None
        section = shape.struct(**values)
        self._check(section, branch, path)
        return section

    def _field(self, field: Field, default: Any, parent: Branch, path: str) -> Any:
        tree = parent.children.get(field.key)
        if tree is not None:
            return self._value(field.shape, tree, path, default)
        if default is not msgspec.NODEFAULT:
            self._default(field.shape, default, path)
            return default
        if path in self.faulty:
            return None
        if isinstance(field.shape, Group | NamedMap):
            return self._value(field.shape, Branch(parent.origin), path, default)
        self.faults.append(fault_at(parent.origin, path, "required, but missing"))
        return None

    def _value(self, shape: Shape, tree: Tree, path: str, default: Any) -> Any:
        if isinstance(tree, LeafValue):
            self.origins[path] = tree.origin
            return tree.value
        if isinstance(shape, Group):
            return self.group(shape, tree, path, default)
        if isinstance(shape, NamedMap):
            return self._table(shape, tree, path, {} if default is msgspec.NODEFAULT else default)
        raise TypeError(f"{path}: a mapping where the schema has {shape}")

    def _table(self, shape: NamedMap, branch: Branch, path: str, defaults: dict[str, Any]) -> dict[str, Any] | None:
        """Return the named items: the defaults with the additions and changes of the files."""
        named = dict(defaults)
        for name in defaults.keys() - branch.children.keys():
            self._default(shape.value, defaults[name], join(path, name))
        for name, tree in branch.children.items():
            named[name] = self._value(shape.value, tree, join(path, name), defaults.get(name, msgspec.NODEFAULT))
        if not named:
            self.origins[path] = branch.origin
        return None if None in named.values() else named

    def _default(self, shape: Shape, value: Any, path: str) -> None:
        for leaf_path, _ in leaves(shape, value, path):
            self.origins[leaf_path] = DEFAULT

    def _check(self, section: Section, branch: Branch, path: str) -> None:
        """Report each conflict at the first of its values that is set in a file."""
        for conflict in section.conflicts():
            paths = [join(path, key) for key in conflict.keys]
            if self.faulty.intersection(paths):
                continue
            given = [leaf_path for leaf_path in paths if self.origins.get(leaf_path, DEFAULT) != DEFAULT]
            origin = self.origins[given[0]] if given else branch.origin
            self.faults.append(fault_at(origin, paths[0], conflict.text))


def build(shape: Group, branch: Branch, faulty: frozenset[str]) -> tuple[Any, dict[str, Origin], list[Fault]]:
    """Return the struct (None if it has faults), the origin of each value, and the faults."""
    builder = Builder(faulty)
    section = builder.group(shape, branch)
    return section, builder.origins, builder.faults
