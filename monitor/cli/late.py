"""Modules of libraries that are loaded when something of them is used, not when they are imported.

asyncio imports `inspect` to be able to print a task, msgspec its description of types, subprocess the locale: a daemon
uses none of them, and they take 3 MB. Such a module is put into `sys.modules` empty. Its first use loads it, under a
lock of its own: with `importlib.util.LazyLoader` of Python 3.11 a second thread misses names that are not loaded yet.

Only what importers use inside functions can be late; `from module import name` loads it at once, which is harmless.
A package is never late: a submodule that is imported first, and uses its package, would be imported within its own
import. A late module must not be part of an import cycle either: two threads could wait for each other.
"""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader  # which imports more than this module saves elsewhere


class LateModule(ModuleType):
    """A module that executes its code when it is asked for a name that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        """Load the module, if nobody did; AttributeError if it has no such name."""
        spec = self.__spec__
        loader = spec and cast("object", spec.loader)
        if spec is not None and isinstance(loader, _LateLoader):
            loader.load(self, spec)
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}") from None


class _LateLoader:
    """Makes an empty module and remembers how to load it."""

    def __init__(self, real: "Loader", given: Mapping[str, Any]) -> None:
        self._real = real
        self._given = given
        self._lock = threading.RLock()
        self._is_due = False

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the empty module."""
        return LateModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Give it what must be there without loading it; from now on, it is loaded when it is used."""
        vars(module).update(self._given)
        self._is_due = True

    def load(self, module: ModuleType, spec: ModuleSpec) -> None:
        """Execute the code of the module; another thread waits for the end of it."""
        with self._lock:
            if not self._is_due:
                return  # the import system or the module itself asks, or the other thread did it
            self._is_due = False
            before = dict(vars(module))
            try:
                module.__loader__ = self._real
                self._real.exec_module(module)
                spec.loader = self._real
            except BaseException:
                self._restore(module, before)
                self._is_due = True  # the next use tries again
                raise

    def _restore(self, module: ModuleType, before: dict[str, Any]) -> None:
        """Take back the names of a half-loaded module; what other threads need of it is there all the time."""
        names = vars(module)
        names.update(before)
        for name in [name for name in names if name not in before]:
            del names[name]


class _Finder:
    """Finds the modules that are to be late."""

    def __init__(self, late: Mapping[str, Mapping[str, Any]]) -> None:
        self._late = late

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's specification with a loader that waits; None for all other modules."""
        if fullname not in self._late:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None and spec.submodule_search_locations is None:
            spec.loader = cast("Loader", _LateLoader(spec.loader, self._late[fullname]))
        return spec


@contextmanager
def late(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Have these modules be late if they are imported in the block; each with the names that it has at once."""
    finder = _Finder(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def is_late(module: ModuleType | None) -> bool:
    """Return whether a module was imported and not used yet."""
    return isinstance(module, LateModule) and isinstance(getattr(module.__spec__, "loader", None), _LateLoader)
