"""The settings of the systemd journal, section `sources.journal`."""

from typing import Annotated

from msgspec import Meta

from monitor.config.shapes import Section
from monitor.sources.log_settings import MaxLineBytes


class JournalSettings(Section, frozen=True, kw_only=True):
    """Application logs in the systemd journal."""

    enabled: Annotated[bool, Meta(description="Read the systemd journal if a detector uses it.")] = True
    max_line_bytes: MaxLineBytes = 8192
