"""Built-in filters for logs that no detector of the configuration reads."""

import fnmatch
import re
from collections.abc import Sequence

import msgspec

from monitor.detectors.failures import FailuresSettings
from monitor.filters.library import BUILT_IN, load_filter
from monitor.settings.schema import Settings

_SAMPLES = ".samples"
_EVERY_LOG = re.compile(r"[*?.]*(?:log)?[*?.]*")
"""Patterns that say nothing of the application."""


def names() -> list[str]:
    """Return the names of all built-in filters."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml") if not path.stem.endswith(_SAMPLES))


def with_filters(settings: Settings, named: Sequence[str]) -> Settings:
    """Return settings with a detector for each built-in filter that is named and that no detector has the name of."""
    detectors = settings.detectors
    known = set(names()) - set(detectors.failures)
    added = {name: FailuresSettings(filter=name) for name in named if name in known}
    if not added or detectors.from_fail2ban:  # a jail may have the name
        return settings
    failures = {**detectors.failures, **added}
    return msgspec.structs.replace(settings, detectors=msgspec.structs.replace(detectors, failures=failures))


def filters_for(log: str) -> list[str]:
    """Return the built-in filters whose application writes a file of this name."""
    return [name for name in names() if _reads(load_filter(name).files, log)]


def _reads(patterns: Sequence[str], log: str) -> bool:
    last = (pattern.rpartition("/")[2] for pattern in patterns)
    return any(not _EVERY_LOG.fullmatch(one) and fnmatch.fnmatchcase(log, one) for one in last)
