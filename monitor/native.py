"""The native extension, if it was built and fits: faster code with the same results as the Python code next to it.

Everything works without it. `NODEWARDEN_NATIVE=0` in the environment turns it off.
"""

import importlib
import os
import sys
from types import ModuleType
from typing import TypeAlias

Watched: TypeAlias = tuple[int, bytes | int]
"""What `wait_quietly` looks at: an eBPF array by its descriptor with its first value, or a file with its length."""

_INTERFACE = 5
"""What NW_INTERFACE of native/native.h must be."""


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("NODEWARDEN_NATIVE") == "0":
        return None, "NODEWARDEN_NATIVE=0 turns it off"
    try:
        found = importlib.import_module("monitor._native")
    except ModuleNotFoundError:
        return None, f"there is none for Python {sys.version_info.major}.{sys.version_info.minor}"
    except ImportError as error:
        return None, f"it cannot be loaded: {error}"
    if (interface := getattr(found, "INTERFACE", None)) != _INTERFACE:
        return None, f"it was built for another version (interface {interface}, not {_INTERFACE})"
    return found, ""


extension, why_not = _load()
"""The module `monitor._native` or None, and why it is not used."""
