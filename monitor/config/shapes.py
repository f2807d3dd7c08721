"""The schema as a tree that the reader, the builder and the reference walk.

It is made from the annotations of `Section` structs: a field is a section, a `dict[str, X]` of named things (`Names` in
its annotation says which names), a `tuple[X, ...]` of values, or one value of a `Kind`.
"""

import enum
import functools
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from monitor.config import kinds, types
from monitor.config.kinds import Kind, Names
from monitor.model.addresses import Network

_ANY_NAME = Names("[A-Za-z][A-Za-z0-9_-]{0,63}", "a name of letters, digits, _ and -, a letter first")
_KIND_OF_TYPE: dict[object, Kind[Any]] = {
    bool: kinds.BOOLEAN,
    Network: kinds.NETWORK,
    types.PortRange: kinds.PORT_RANGE,
    types.Endpoint: kinds.ENDPOINT,
}


class Conflict(NamedTuple):
    """Values that are each fine but do not go together; `keys` are keys of the section, the first is to blame."""

    keys: tuple[str, ...]
    text: str


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the configuration with known keys."""

    def conflicts(self) -> Iterable[Conflict]:
        """Return what is wrong between the values of this section."""
        return ()


@dataclass(frozen=True)
class Leaf:
    """One value."""

    kind: Kind[Any]


@dataclass(frozen=True)
class Sequence:
    """A list of values; a later file replaces it as a whole."""

    item: Leaf


@dataclass(frozen=True)
class Group:
    """A section."""

    struct: type[Section]
    fields: dict[str, "Field"]


@dataclass(frozen=True)
class Table:
    """Named things of one shape."""

    value: "Group | Leaf"
    names: Names = _ANY_NAME


Shape: TypeAlias = Leaf | Sequence | Group | Table


@dataclass(frozen=True)
class Field:
    """One key of a section: its Python name, what it means, and its default (`msgspec.NODEFAULT` when required)."""

    key: str
    attribute: str
    description: str
    shape: Shape
    default: Any

    def default_in(self, section: Any) -> Any:
        """Return the default where `section` is the section's own; a `section` of NODEFAULT leaves the struct's."""
        return self.default if section is msgspec.NODEFAULT else getattr(section, self.attribute)


@functools.cache
def group_of(struct: type[Section]) -> Group:
    """Return the shape of a section; TypeError where a field's type says too little to read it."""
    fields = {}
    for info in msgspec.structs.fields(struct):
        metadata = _metadata(info.type)
        default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
        meta = next((m for m in metadata if isinstance(m, msgspec.Meta) and m.description), None)
        if meta is None:
            raise TypeError(f"{struct.__name__}.{info.name} has no description")
        shape = shape_of(info.type, f"{struct.__name__}.{info.name}")
        fields[info.encode_name] = Field(info.encode_name, info.name, str(meta.description), shape, default)
    return Group(struct, fields)


def shape_of(annotation: Any, name: str) -> Shape:
    """Return the shape that a type annotation describes; `name` is for the TypeError."""
    metadata = _metadata(annotation)
    bare = typing.get_args(annotation)[0] if metadata else annotation
    kind = next((m for m in metadata if isinstance(m, Kind)), None) or _KIND_OF_TYPE.get(bare)
    if kind is not None:
        return Leaf(kind)
    arguments = typing.get_args(bare)
    if isinstance(bare, type) and not arguments:
        if issubclass(bare, Section):
            return group_of(bare)
        if issubclass(bare, enum.StrEnum):
            return Leaf(kinds.choice(bare))
    if typing.get_origin(bare) is tuple and len(arguments) == 2 and arguments[1] is ...:
        item = shape_of(arguments[0], name)
        if isinstance(item, Leaf):
            return Sequence(item)
    if typing.get_origin(bare) is dict and arguments[0] is str:
        value = shape_of(arguments[1], name)
        if isinstance(value, Group | Leaf):
            return Table(value, next((m for m in metadata if isinstance(m, Names)), _ANY_NAME))
    raise TypeError(f"{name}: {annotation!r} needs a Kind, or is of a shape that files cannot be merged into")


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """Return what `Annotated` adds to a type."""
    return annotation.__metadata__ if typing.get_origin(annotation) is Annotated else ()


def join(path: str, key: str) -> str:
    """Return the path of a key inside the section at `path`."""
    return f"{path}.{key}" if path else key


def plain(shape: Shape, value: Any) -> Any:
    """Return a value in the configuration's own notation, as JSON or YAML would hold it."""
    match shape:
        case Leaf(kind):
            return kind.write(value)
        case Sequence(item):
            return [item.kind.write(element) for element in value]
        case Table(inner):
            return {name: plain(inner, element) for name, element in value.items()}
        case Group(_, fields):
            return {key: plain(field.shape, getattr(value, field.attribute)) for key, field in fields.items()}


def leaves(shape: Shape, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path of each value, list or empty table, and what `plain` makes of it."""
    match shape:
        case Group(_, fields):
            for key, field in fields.items():
                yield from leaves(field.shape, getattr(value, field.attribute), join(path, key))
        case Table(inner) if value:
            for name, element in value.items():
                yield from leaves(inner, element, join(path, name))
        case _:
            yield path, plain(shape, value)
