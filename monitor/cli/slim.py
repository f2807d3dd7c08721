"""Imports the daemon's modules, without what libraries import and a daemon does not use (decisions 0149 and 0151)."""

import gc
import importlib
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any

from monitor.cli import late

_CO_COROUTINE = 0x80


def load() -> None:
    """Import the daemon and its libraries as where OpenSSL (6 MB) and backports of typing are not installed.

    asyncio then has no TLS of its own, which the fleet gives back (`loop_tls`), and hashlib computes digests itself.
    What needs TLS imports `ssl` later, when the configuration asks for it.
    """
    absent = [name for name in ("ssl", "_hashlib", "typing_extensions") if name not in sys.modules]
    sys.modules |= dict.fromkeys(absent)  # type: ignore[arg-type]  # None: importing it fails
    with late.late(_LATE):
        try:
            for name in ("asyncio", "hashlib", "hmac", "msgspec"):
                importlib.import_module(name)
        finally:
            for name in absent:
                sys.modules.pop(name, None)
            if late.is_late(decimal := sys.modules.get("decimal")):
                vars(decimal).pop("Decimal", None)  # others who ask get the real one
        importlib.import_module("monitor.daemon.life.service")
    _forget_annotations()


def _forget_annotations() -> None:
    """Drop the annotations of our functions, 0.9 MB: type checkers read them in the source. Those of classes stay."""
    if sys.version_info >= (3, 14):
        return  # they are made when they are read
    for one in gc.get_objects():
        if type(one) is FunctionType and str(one.__module__).startswith("monitor."):
            del one.__annotations__


def _is_coroutine_function(function: object) -> bool:
    """Answer asyncio, which asks this about the handler of a signal."""
    code = getattr(function, "__code__", None)
    return isinstance(code, CodeType) and bool(code.co_flags & _CO_COROUTINE)


def _unwrap(function: object, *, stop: Callable[[Any], bool] | None = None) -> object:
    """Answer asyncio, which asks this to print a task; `signal` prints the handlers that asyncio replaces."""
    passed = [function]
    while hasattr(function, "__wrapped__") and not (stop and stop(function)):
        function = function.__wrapped__
        if any(function is one for one in passed):
            raise ValueError(f"wrapper loop when unwrapping {passed[0]!r}")
        passed.append(function)
    return function


def _is_function(one: object) -> bool:
    return isinstance(one, FunctionType)


_OURS = ("monitor.fleet.comparison", "monitor.fleet.pardons", "monitor.fleet.presentation", "monitor.lists.state")
"""What of ours is used in functions that only a fleet or a block list calls."""
_LATE: dict[str, Mapping[str, Any]] = {
    "asyncio.sslproto": {},
    "asyncio.staggered": {},
    "base64": {},
    "decimal": {"Decimal": type("Decimal", (), {})},
    "inspect": {"iscoroutinefunction": _is_coroutine_function, "isfunction": _is_function, "unwrap": _unwrap},
    "locale": {},
    "msgspec.inspect": {},
    **{name: {} for name in _OURS},
}
"""What its importers use in functions only that a daemon seldom calls, or never.

msgspec asks for `Decimal` to read and write such numbers. Nothing of ours has any, so it gets an empty type.
"""
