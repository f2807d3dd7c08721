"""Which source feeds which detector: a detector that no source feeds would find nothing, and nobody would notice."""

from collections.abc import Iterable, Sequence
from typing import Any

from monitor.daemon.sources.registrations import SOURCES, Configured
from monitor.detectors.registration import AnyRegistration
from monitor.model.errors import PermanentError
from monitor.settings.schema import Settings


def check_fed(registrations: Iterable[AnyRegistration], sources: Sequence[Configured[Any]] = SOURCES) -> None:
    """Raise PermanentError for a detector that takes events which no source yields, whatever is configured."""
    for registration in registrations:
        if not _feeding(registration, sources):
            names = " nor ".join(event.__name__ for event in registration.detector.takes) or "any event"
            raise PermanentError(
                f"detector {registration.name} would find nothing: no source yields {names}; "
                "add the event to its source's `yields` (monitor/sources/NAME/registration.py), or change what it takes"
            )


def unfed(
    wanted: Iterable[AnyRegistration], settings: Settings, sources: Sequence[Configured[Any]] = SOURCES
) -> list[str]:
    """Name the detectors that are on while every source that feeds them is off, a sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for registration in wanted:
        feeding = _feeding(registration, sources)
        if feeding and not any(source.is_on_in(settings) for source in feeding):
            reason = " and ".join(f"{source.switch} is off" for source in feeding)
            by_reason.setdefault(reason, []).append(registration.name)
    return [
        f"{', '.join(names)} {'find' if len(names) > 1 else 'finds'} nothing: {why}" for why, names in by_reason.items()
    ]


def _feeding(registration: AnyRegistration, sources: Sequence[Configured[Any]]) -> list[Configured[Any]]:
    takes = registration.detector.takes
    return [source for source in sources if any(event in source.source.yields for event in takes)]
