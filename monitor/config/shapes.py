"""The schema as a tree, used by the reader, the builder and the reference.

It is derived from the annotations of `Section` structs: a field is a section, a `dict[str, X]` of named items (`Names`
in its annotation defines the valid names), a `tuple[X, ...]` of values, or one value of a `ValueKind`.
"""

import enum
import functools
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec

from monitor.config import kinds, types
from monitor.config.kinds import Names, ValueKind
from monitor.model.addresses import Network

_ANY_NAME = Names("[A-Za-z][A-Za-z0-9_-]{0,63}", "a name of letters, digits, _ and - that starts with a letter")
_KIND_OF_TYPE: dict[object, ValueKind[Any]] = {
    bool: kinds.BOOLEAN,
    Network: kinds.NETWORK,
    types.PortRange: kinds.PORT_RANGE,
    types.Endpoint: kinds.ENDPOINT,
}


class ListRule(enum.Enum):
    """What becomes of a list that several files set; in the annotation of a list, which is replaced without it."""

    MERGED = "Files add to each other's entries; `!replace [...]` drops those of earlier files."
    REPLACED = "A later file replaces the list."


MERGED = ListRule.MERGED


class Conflict(NamedTuple):
    """Values that are valid alone but not together; `keys` are keys of the section, the fault is at the first."""

    keys: tuple[str, ...]
    text: str


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the configuration with known keys."""

    def conflicts(self) -> Iterable[Conflict]:
        """Return the conflicts between the values of this section."""
        return ()


class Leaf(msgspec.Struct, frozen=True):
    """One value."""

    kind: ValueKind[Any]


class Sequence(msgspec.Struct, frozen=True):
    """A list of values, and what becomes of it if several files set it."""

    item: Leaf
    rule: ListRule = ListRule.REPLACED


class Group(msgspec.Struct, frozen=True):
    """A section."""

    struct: type[Section]
    fields: dict[str, "Field"]


class NamedMap(msgspec.Struct, frozen=True):
    """A mapping with names as keys and values of one shape."""

    value: "Group | Leaf"
    names: Names = _ANY_NAME


Shape: TypeAlias = Leaf | Sequence | Group | NamedMap


class Field(msgspec.Struct, frozen=True):
    """One key of a section: its Python name, its meaning, and its default (`msgspec.NODEFAULT` if required)."""

    key: str
    attribute: str
    description: str
    shape: Shape
    default: Any

    def default_in(self, section: Any) -> Any:
        """Return the default of this key in the default `section`; if that is NODEFAULT, the default of the struct."""
        return self.default if section is msgspec.NODEFAULT else getattr(section, self.attribute)


@functools.cache
def group_of(struct: type[Section]) -> Group:
    """Return the shape of a section; TypeError if the type of a field is not supported or has no description."""
    fields = {}
    for info in msgspec.structs.fields(struct):
        metadata = _metadata(info.type)
        default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
        meta = next((m for m in metadata if isinstance(m, msgspec.Meta) and m.description), None)
        if meta is None:
            raise TypeError(f"{struct.__name__}.{info.name} has no description")
        shape = shape_of(info.type, f"{struct.__name__}.{info.name}")
        description = f"{meta.description} {shape.rule.value}" if isinstance(shape, Sequence) else str(meta.description)
        fields[info.encode_name] = Field(info.encode_name, info.name, description, shape, default)
    return Group(struct, fields)


def shape_of(annotation: Any, name: str) -> Shape:
    """Return the shape that a type annotation describes; `name` is for the TypeError."""
    metadata = _metadata(annotation)
    bare = typing.get_args(annotation)[0] if metadata else annotation
    kind = next((m for m in metadata if isinstance(m, ValueKind)), None) or _KIND_OF_TYPE.get(bare)
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
            return Sequence(item, next((m for m in metadata if isinstance(m, ListRule)), ListRule.REPLACED))
    if typing.get_origin(bare) is dict and arguments[0] is str:
        value = shape_of(arguments[1], name)
        if isinstance(value, Group | Leaf):
            return NamedMap(value, next((m for m in metadata if isinstance(m, Names)), _ANY_NAME))
    raise TypeError(f"{name}: {annotation!r} needs a ValueKind, or is a shape that files cannot be merged into")


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """Return the metadata that `Annotated` adds to a type."""
    return annotation.__metadata__ if typing.get_origin(annotation) is Annotated else ()


def join(path: str, key: str) -> str:
    """Return the path of a key inside the section at `path`."""
    return f"{path}.{key}" if path else key


def plain(shape: Shape, value: Any) -> Any:
    """Return a value in the notation of the configuration, for JSON or YAML."""
    match shape:
        case Leaf(kind):
            return kind.write(value)
        case Sequence(item):
            return [item.kind.write(element) for element in value]
        case NamedMap(inner):
            return {name: plain(inner, element) for name, element in value.items()}
        case Group(_, fields):
            return {key: plain(field.shape, getattr(value, field.attribute)) for key, field in fields.items()}


def leaves(shape: Shape, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path of each value, list or empty mapping, and its `plain` notation."""
    match shape:
        case Group(_, fields):
            for key, field in fields.items():
                yield from leaves(field.shape, getattr(value, field.attribute), join(path, key))
        case NamedMap(inner) if value:
            for name, element in value.items():
                yield from leaves(inner, element, join(path, name))
        case _:
            yield path, plain(shape, value)
