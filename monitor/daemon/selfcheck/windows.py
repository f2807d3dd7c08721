"""Windows that are too small for what attackers send: evidence is lost, and slow attackers may be missed. Pure."""

from collections.abc import Iterable
from typing import Any

from monitor.detectors.detector import Detector
from monitor.detectors.registry import NAMED
from monitor.model.crowds import shown
from monitor.model.requirements import Part, PartKind, Requirement

_MOST_ENTRIES = 1_048_576
_MOST_SHOWN = 3


def window_problems(detectors: Iterable[Detector[Any]]) -> list[str]:
    """Say which detectors forgot evidence that matters within the last one to two minutes."""
    return [
        f"the window of {one.name} is full: it forgot {one.stats.missed_lately} sources too early within two minutes, "
        f"and may miss slow attackers{_crowds(one)}; raise {_key(one)}.max_entries (now {one.limits.max_entries})"
        for one in detectors
        if one.stats.missed_lately
    ]


def windows_part(detectors: Iterable[Detector[Any]]) -> Part:
    """Return the part of the self-check: the daemon works without it, but detects less."""
    return Part(
        "windows",
        PartKind.SERVICE,
        is_wanted=True,
        requirements=[_requirement(one) for one in detectors],
        is_optional=True,
    )


def _requirement(detector: Detector[Any]) -> Requirement:
    what = f"room for the sources that {detector.name} counts"
    if not detector.stats.missed_lately:
        return Requirement(what)
    name, most = detector.name, min(2 * detector.limits.max_entries, _MOST_ENTRIES)
    opened = _key(detector).replace(".", ": {")
    setting = f"{opened}: {{max_entries: {most}" + "}" * (opened.count("{") + 1)
    return Requirement(
        what,
        f"{detector.stats.missed_lately} were forgotten too early within two minutes",
        f"echo '{setting}' > /etc/nodewarden/conf.d/60-{name}.yaml && systemctl reload nodewarden",
    )


def _key(detector: Detector[Any]) -> str:
    """Return the key of a detector's section."""
    for registration in NAMED:
        if isinstance(detector, registration.detector):
            return f"detectors.{registration.name}.{detector.name}"
    return f"detectors.{detector.name}"


def _crowds(detector: Detector[Any]) -> str:
    """Say which networks fill more than their share."""
    crowds = detector.stats.crowds
    if not crowds:
        return ""
    more = f" and {len(crowds) - _MOST_SHOWN} more" if len(crowds) > _MOST_SHOWN else ""
    return f" (kept to their share: {', '.join(map(shown, crowds[:_MOST_SHOWN]))}{more})"
