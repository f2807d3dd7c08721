"""Strategies for Hypothesis: inputs of every type, made from annotations: a new field needs nothing here."""

import enum
import types
import typing
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from monitor.model.flows import AnyAttempt, AnyFlow, Flow, FlowIncomplete
from monitor.recording.inputs import INPUTS, TYPE_OF, Events, Input

_SUBTYPES: dict[Any, tuple[Any, ...]] = {
    Flow: get_args(AnyFlow),
    FlowIncomplete: get_args(AnyAttempt),
}
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    float: st.floats(allow_nan=False),
    int: st.integers(0, 2**64 - 1),
    str: st.text(max_size=5),
    bytes: st.binary(max_size=16),
    bool: st.booleans(),
    type(None): st.none(),
    Any: st.one_of(st.booleans(), st.text(max_size=5), st.lists(st.integers(0, 9), max_size=2)),
}


def of_type(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of an annotation."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(of_type, inner))
    if origin is list:
        return st.lists(st.one_of(*map(of_type, _SUBTYPES.get(inner[0], inner))), max_size=3)
    if origin is dict:
        return st.dictionaries(of_type(inner[0]), of_type(inner[1]), max_size=2)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return st.lists(of_type(inner[0]), max_size=3).map(tuple)
        return st.tuples(*map(of_type, inner))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = get_type_hints(hint)
        return st.builds(hint, **{name: of_type(hints[name]) for name in hint.__struct_fields__})
    raise TypeError(f"no strategy for {hint}")


def batches() -> st.SearchStrategy[Events]:
    """Return a strategy for batches of events of every type."""
    of_one_type = [st.lists(of_type(event), min_size=1, max_size=4) for event in TYPE_OF.values()]
    return st.builds(Events, of_type(float), st.one_of(of_one_type))


def inputs() -> st.SearchStrategy[Input]:
    """Return a strategy for inputs of every type."""
    return st.one_of(batches(), *(of_type(one) for one in INPUTS if one is not Events))
