"""What the settings of all detectors have in common."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import duration
from monitor.config.shapes import Conflict, Section
from monitor.model.bans import Mode


class Detector(Section, frozen=True, kw_only=True):
    """What every detector that counts has in common."""

    mode: Annotated[Mode, Meta(description="`enforce` bans, `observe` only records what would have been banned.")] = (
        Mode.ENFORCE
    )
    findtime_s: Annotated[
        float, duration("1s", "1w"), Meta(description="How far back a source's events are counted.")
    ] = field(default=600.0, name="findtime")
    bantime_s: Annotated[float, duration("1s", "365d"), Meta(description="How long a ban lasts.")] = field(
        default=3600.0, name="bantime"
    )


def reachable(maxretry: int, max_entries: int) -> Iterable[Conflict]:
    """Say so when a threshold cannot be reached within the entries that are remembered."""
    if maxretry >= max_entries:
        text = f"{maxretry} can never be reached: it must be less than max_entries ({max_entries})"
        yield Conflict(("maxretry", "max_entries"), text)
