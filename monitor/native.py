"""The native extension, if it was built and fits: faster code with the same results as the Python code next to it.

Everything works without it. `NODEWARDEN_NATIVE=0` in the environment turns it off.
"""

import os
from types import ModuleType

_INTERFACE = 2
"""What NW_INTERFACE of native/native.h must be."""


def _load() -> tuple[ModuleType | None, str]:
    if os.environ.get("NODEWARDEN_NATIVE") == "0":
        return None, "NODEWARDEN_NATIVE=0 turns it off"
    try:
        from monitor import _native
    except ImportError as error:
        return None, f"it was not built: {error}"
    if _native.INTERFACE != _INTERFACE:
        return None, f"it was built for another version (interface {_native.INTERFACE}, not {_INTERFACE})"
    return _native, ""


extension, why_not = _load()
"""The module `monitor._native` or None, and why it is not used."""
