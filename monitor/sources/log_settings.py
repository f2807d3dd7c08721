"""What the settings of all sources of log text have in common."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import size

MaxLineBytes = Annotated[
    int,
    size("256B", "64KiB"),
    Meta(description="Cut lines longer than this. It bounds what one line can cost."),
]
