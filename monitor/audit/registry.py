"""Every check there is, found in the modules of `checks`.

A module there with a module-level `CHECK` registers one, or several with `CHECKS`; all others are shared parts. Nothing
else lists checks.
"""

import importlib
import pkgutil
from collections.abc import Iterator

from monitor.audit import checks
from monitor.audit.check import Check


def _find() -> Iterator[Check]:
    for module in pkgutil.iter_modules(checks.__path__, f"{checks.__name__}."):
        found = importlib.import_module(module.name)
        yield from getattr(found, "CHECKS", ())
        if (check := getattr(found, "CHECK", None)) is not None:
            yield check


ALL: tuple[Check, ...] = tuple(sorted(_find(), key=lambda check: (-check.severity.rank, check.id)))
"""The gravest first."""
BY_ID: dict[str, Check] = {check.id: check for check in ALL}
