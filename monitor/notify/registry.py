"""Every kind of channel there is, found in the modules of `monitor.notify.sections`."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from monitor.notify import sections
from monitor.notify.registration import Registration


def _find() -> Iterator[Registration[Any]]:
    """Import every module of the package, and yield what they register."""
    for module in pkgutil.iter_modules(sections.__path__, f"{sections.__name__}."):
        if (found := getattr(importlib.import_module(module.name), "CHANNEL", None)) is not None:
            yield found


KINDS: tuple[Registration[Any], ...] = tuple(sorted(_find(), key=lambda one: (one.order, one.kind)))
"""In the order of the reference."""
