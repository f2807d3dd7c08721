"""How a kind of channel registers itself: a module of `monitor.notify.sections` ends with `CHANNEL = Registration(…)`.

The section is light, since the daemon reads it as well; the class that sends is named, and imported by the notifier
only.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from monitor.notify.channel import Channel
from monitor.notify.sections.base import ChannelSettings

SettingsT = TypeVar("SettingsT", bound=ChannelSettings)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a channel works."""

    host: str
    """The name of this host."""
    directory: Path
    """A directory of the channel's own, which exists and in which it may write."""


def _nothing(section: Any) -> Iterator[tuple[str, str]]:  # noqa: ARG001 - see Registration.findings
    return iter(())


class Registration(msgspec.Struct, Generic[SettingsT], frozen=True, kw_only=True):
    """One kind of channel."""

    kind: str
    """Its key in section `notify`."""
    settings: type[SettingsT]
    summary: str
    """A sentence that describes it in the reference of the configuration."""
    implementation: str
    """`MODULE:CLASS` of what sends; it is made with the name of the channel, its section and a Place."""
    order: int = 100
    is_single: bool = False
    """Whether it gets each ban as a message of its own, at once, without digests and `max_per_hour`."""
    findings: Callable[[SettingsT], Iterator[tuple[str, str]]] = _nothing
    """Yields keys of a section with what is wrong with what they refer to; files whose key ends in `_file` are checked
    without it."""

    def make(self, name: str, section: SettingsT, place: Place) -> Channel:
        """Make a channel; ValueError with a text for people if it cannot be made now."""
        module, _, attribute = self.implementation.partition(":")
        channel: Channel = getattr(importlib.import_module(module), attribute)(name, section, place)
        return channel
