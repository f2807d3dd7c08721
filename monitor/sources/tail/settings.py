"""The settings of log files, section `sources.files`."""

from typing import Annotated

from msgspec import Meta

from monitor.config.shapes import Section
from monitor.sources.log_settings import MaxLineBytes


class FilesSettings(Section, frozen=True, kw_only=True):
    """Application logs in files."""

    enabled: Annotated[bool, Meta(description="Read log files if a detector uses them.")] = True
    max_line_bytes: MaxLineBytes = 8192
