"""What the modules of a package register: a name at the top of each module that has something to register."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def registered(package: ModuleType, name: str) -> Iterator[Any]:
    """Import all modules of a package by their names, and yield what they call `name`.

    `pkgutil` finds modules as well, with `inspect` and all that it imports.
    """
    stems = {file.stem for directory in package.__path__ for file in Path(directory).glob("*.py")}
    for stem in sorted(stems - {"__init__"}):
        found = getattr(importlib.import_module(f"{package.__name__}.{stem}"), name, None)
        if found is not None:
            yield found
