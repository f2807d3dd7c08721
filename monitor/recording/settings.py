"""The settings of section `recording`."""

import re
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import ValueKind, duration, integer, size
from monitor.config.shapes import Section
from monitor.recording.ring import DIRECTORY

_DIRECTORY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


def _read_directory(value: str) -> str:
    if not _DIRECTORY.fullmatch(value):
        raise ValueError(f"{value[:64]!r} is not the name of a directory below state.directory (expected: recording)")
    return value


DIRECTORY_NAME: ValueKind[str] = ValueKind(
    "name of a directory", _read_directory, str, {"type": "string", "pattern": f"^{_DIRECTORY.pattern}$"}
)


class RecordingSettings(Section, frozen=True, kw_only=True):
    """The recording of what decisions follow from."""

    enabled: Annotated[
        bool,
        Meta(
            description="Record events, and what else decisions depend on, for `nodewarden replay`, `compare` and "
            "`tune`. Never packets, and no log text beyond what evidence shows."
        ),
    ] = True
    directory: Annotated[
        str, DIRECTORY_NAME, Meta(description="Directory of the recording, below `state.directory`.")
    ] = DIRECTORY
    max_bytes: Annotated[
        int,
        size("1MB", "1TB"),
        Meta(description="Maximum size of the recording on disk; beyond it the oldest part is removed."),
    ] = 64_000_000
    max_age_s: Annotated[float, duration("10m", "3650d"), Meta(description="How long the recording is kept.")] = field(
        default=7 * 86400.0, name="max_age"
    )
    max_events_per_second: Annotated[
        int,
        integer(1000, 1_000_000),
        Meta(
            description="Of events beyond this rate, those of sources that led to nothing are only counted, by source "
            "and second: a flood of forged sources must not displace the history. While such events filled an eighth "
            "of the recording within an hour, beyond 200 a second."
        ),
    ] = 50_000
