"""The settings of sources of log text."""

from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import size
from monitor.config.shapes import Section

_LINE = size("256B", "64KiB")


class Journal(Section, frozen=True, kw_only=True):
    """What applications write to the systemd journal."""

    enabled: Annotated[bool, Meta(description="Read the systemd journal, where a detector asks for it.")] = True
    max_line_bytes: Annotated[
        int, _LINE, Meta(description="What is longer is cut here: the bound on what one line can cost.")
    ] = 8192


class LogFiles(Section, frozen=True, kw_only=True):
    """What applications write to files."""

    enabled: Annotated[bool, Meta(description="Read log files, where a detector asks for them.")] = True
    max_line_bytes: Annotated[
        int, _LINE, Meta(description="What is longer is cut here: the bound on what one line can cost.")
    ] = 8192
