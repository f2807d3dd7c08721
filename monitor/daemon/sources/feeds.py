"""Which source yields which events: a detector that no source feeds would find nothing, and nobody would notice."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from monitor.detectors.registration import AnyRegistration
from monitor.model.errors import PermanentError
from monitor.model.events import AuthFailure, DropsObserved, Event, PacketLogged, SenderObserved
from monitor.model.flows import FlowBatch, FlowIncomplete
from monitor.settings.schema import Settings


class Feed(NamedTuple):
    """What one source yields."""

    source: str
    yields: tuple[type[Event], ...]
    is_on: Callable[[Settings], bool]
    off: str
    """How the configuration says that the source is off."""


FEEDS = (
    Feed(
        "kernel_log",
        (PacketLogged,),
        lambda settings: settings.sources.kernel_log.enabled,
        "sources.kernel_log.enabled is false",
    ),
    Feed(
        "conntrack",
        (FlowBatch, FlowIncomplete),
        lambda settings: settings.sources.conntrack.enabled,
        "sources.conntrack.enabled is false",
    ),
    Feed("drops", (DropsObserved,), lambda settings: settings.sources.drops.enabled, "sources.drops.enabled is false"),
    Feed("xdp", (SenderObserved,), lambda settings: bool(settings.bans.xdp.interfaces), "bans.xdp.interfaces is empty"),
    Feed(
        "journal", (AuthFailure,), lambda settings: settings.sources.journal.enabled, "sources.journal.enabled is false"
    ),
    Feed("files", (AuthFailure,), lambda settings: settings.sources.files.enabled, "sources.files.enabled is false"),
)


def check_fed(registrations: Iterable[AnyRegistration], feeds: Sequence[Feed] = FEEDS) -> None:
    """Raise PermanentError for a detector that takes events which no source yields, whatever is configured."""
    for registration in registrations:
        takes = registration.detector.takes
        if not any(event in feed.yields for feed in feeds for event in takes):
            names = " nor ".join(event.__name__ for event in takes) or "any event"
            raise PermanentError(
                f"detector {registration.name} would find nothing: no source yields {names}; "
                "add the event to what its source yields (monitor/daemon/sources/feeds.py), or change what it takes"
            )


def unfed(wanted: Iterable[AnyRegistration], settings: Settings, feeds: Sequence[Feed] = FEEDS) -> list[str]:
    """Name the detectors that are on while every source that feeds them is off, a sentence for each reason."""
    by_reason: dict[str, list[str]] = {}
    for registration in wanted:
        takes = registration.detector.takes
        feeding = [feed for feed in feeds if any(event in feed.yields for event in takes)]
        if feeding and not any(feed.is_on(settings) for feed in feeding):
            by_reason.setdefault(" and ".join(feed.off for feed in feeding), []).append(registration.name)
    return [
        f"{', '.join(names)} {'find' if len(names) > 1 else 'finds'} nothing: {why}" for why, names in by_reason.items()
    ]
