"""Merged files to settings: defaults fill the gaps, and values that do not go together are found."""

from typing import Any

import msgspec

from monitor.config.faults import DEFAULT, Fault, Origin, fault_at
from monitor.config.reader import Branch, Found, Tree
from monitor.config.shapes import Field, Group, Section, Shape, Table, join, leaves


def merge(earlier: Branch, later: Branch) -> Branch:
    """Return both files' values: mappings merge key by key, anything else of the later file replaces the earlier's."""
    children = dict(earlier.children)
    for key, tree in later.children.items():
        known = children.get(key)
        both = isinstance(known, Branch) and isinstance(tree, Branch)
        children[key] = merge(known, tree) if both else tree  # type: ignore[arg-type]
    return Branch(later.origin, children)


class Builder:
    """Builds structs; `origins` gets the place of each value, `faults` what is missing or in conflict.

    `faulty` holds the paths that already have a fault: nothing more is said about these.
    """

    def __init__(self, faulty: frozenset[str] = frozenset()) -> None:
        self.faulty = faulty
        self.faults: list[Fault] = []
        self.origins: dict[str, Origin] = {}

    def group(self, shape: Group, branch: Branch, path: str = "", default: Any = msgspec.NODEFAULT) -> Section | None:
        """Return the struct of a section; None when a required key is missing somewhere in it.

        `default` is the section that fills the gaps; without one the struct's own defaults do.
        """
        values: dict[str, Any] = {}
        complete = True
        for key, field in shape.fields.items():
            place = join(path, key)
            value = self._field(field, field.default_in(default), branch, place)
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
        if isinstance(field.shape, Group | Table):
            return self._value(field.shape, Branch(parent.origin), path, default)
        self.faults.append(fault_at(parent.origin, path, "required, but missing"))
        return None

    def _value(self, shape: Shape, tree: Tree, path: str, default: Any) -> Any:
        if isinstance(tree, Found):
            self.origins[path] = tree.origin
            return tree.value
        if isinstance(shape, Group):
            return self.group(shape, tree, path, default)
        if isinstance(shape, Table):
            return self._table(shape, tree, path, {} if default is msgspec.NODEFAULT else default)
        raise TypeError(f"{path}: a mapping where the schema has {shape}")

    def _table(self, shape: Table, branch: Branch, path: str, defaults: dict[str, Any]) -> dict[str, Any] | None:
        """Return named things: the defaults, and what the files add to them or change in them."""
        named = dict(defaults)
        for name in defaults.keys() - branch.children.keys():
            self._default(shape.value, defaults[name], join(path, name))
        for name, tree in branch.children.items():
            named[name] = self._value(shape.value, tree, join(path, name), defaults.get(name, msgspec.NODEFAULT))
        if not named:
            self.origins[path] = branch.origin
        return None if None in named.values() else named

    def _default(self, shape: Shape, value: Any, path: str) -> None:
        for place, _ in leaves(shape, value, path):
            self.origins[place] = DEFAULT

    def _check(self, section: Section, branch: Branch, path: str) -> None:
        """Report conflicts at the first of their values that a file gives."""
        for conflict in section.conflicts():
            paths = [join(path, key) for key in conflict.keys]
            if self.faulty.intersection(paths):
                continue
            given = [place for place in paths if self.origins.get(place, DEFAULT) != DEFAULT]
            origin = self.origins[given[0]] if given else branch.origin
            self.faults.append(fault_at(origin, paths[0], conflict.text))


def build(shape: Group, branch: Branch, faulty: frozenset[str]) -> tuple[Any, dict[str, Origin], list[Fault]]:
    """Return the struct (None when faulty), the origin of each value, and the faults."""
    builder = Builder(faulty)
    section = builder.group(shape, branch)
    return section, builder.origins, builder.faults
