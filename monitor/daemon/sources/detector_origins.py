"""Where each detector comes from: the defaults, a file of the configuration, or a jail of fail2ban. Pure."""

from collections.abc import Mapping

from monitor.config.faults import DEFAULT, Origin
from monitor.config.shapes import group_of, leaves
from monitor.daemon.sources.log_filters import LogFilters
from monitor.detectors.failures import DEFAULT_FAILURES
from monitor.detectors.registry import REGISTRATIONS
from monitor.detectors.settings import DetectorSettings
from monitor.settings.load import Loaded

DEFAULTS = "defaults"


def detector_origins(loaded: Loaded, filters: LogFilters) -> dict[str, str]:
    """Return by detector `defaults`, `FILE:LINE` of what makes it differ from them, or the jail with its place."""
    detectors = loaded.settings.detectors
    origins = {
        one.name: _origin(loaded.origins, f"detectors.{one.name}", detectors.section(one.name), one.settings())
        for one in REGISTRATIONS
    }
    for name in filters.sections:
        if name in filters.jails:
            origins[name] = f"fail2ban jail ({filters.jails[name]})"
        else:
            path = f"detectors.failures.{name}"
            origins[name] = _origin(loaded.origins, path, detectors.failures[name], DEFAULT_FAILURES.get(name))
    return origins


def _origin(
    origins: Mapping[str, Origin], path: str, section: DetectorSettings, default: DetectorSettings | None
) -> str:
    """Return the place of the last value of a section that differs from its default; of its filter without one."""
    if default is None:
        return str(origins.get(f"{path}.filter", DEFAULT))
    group = group_of(type(section))
    known = dict(leaves(group, default, path))
    changed = [place for place, value in leaves(group, section, path) if known.get(place) != value]
    places = [origins[place] for place in changed if origins.get(place, DEFAULT) != DEFAULT]
    return str(places[-1]) if places else DEFAULTS
