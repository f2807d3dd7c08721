"""What a changed configuration leaves of what a detector had counted: operators must know what starts from zero."""

import enum

import msgspec

from monitor.config.types import format_duration
from monitor.detectors.limits import Limits


class Extent(enum.StrEnum):
    """How much was kept."""

    ALL = "all"
    COUNTS = "counts"
    """What was counted, as far as it counts under the new thresholds."""
    NOTHING = "nothing"


class Kept(msgspec.Struct, frozen=True):
    """How much a detector kept, and in words what changed and what was reset."""

    extent: Extent
    text: str


def changed_limits(old: Limits, new: Limits) -> str:
    """Name the thresholds that changed: `maxretry 5 to 3, findtime 10m to 1m`; empty if none did."""
    changes = []
    if old.maxretry != new.maxretry:
        changes.append(f"maxretry {old.maxretry} to {new.maxretry}")
    if old.findtime_s != new.findtime_s:
        changes.append(f"findtime {format_duration(old.findtime_s)} to {format_duration(new.findtime_s)}")
    if old.max_entries != new.max_entries:
        changes.append(f"max_entries {old.max_entries} to {new.max_entries}")
    return ", ".join(changes)


def kept_counts(old: Limits, new: Limits) -> Kept:
    """Return what a detector says that continues with what was counted under other thresholds."""
    parts = [changed_limits(old, new) or "another setting changed", "counts kept"]
    if new.findtime_s > old.findtime_s:
        parts.append(f"of the last {format_duration(old.findtime_s)}: what was before is not known")
    elif new.findtime_s < old.findtime_s:
        parts.append(f"of the last {format_duration(new.findtime_s)}")
    text = f"{parts[0]}; {' '.join(parts[1:])}"
    if new.max_entries < old.max_entries:
        text += "; the fullest keys, where not all have room"
    return Kept(Extent.COUNTS, text)
