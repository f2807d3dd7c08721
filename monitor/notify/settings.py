"""The settings of section `notify`: a mapping of named channels for each kind, and what they share."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from monitor.config.kinds import Names, duration, integer
from monitor.config.shapes import Conflict, Section
from monitor.notify.registration import Registration
from monitor.notify.registry import KINDS
from monitor.notify.sections.base import ChannelSettings

CHANNEL_NAMES = Names("[a-z0-9][a-z0-9_-]{0,31}", "a name of 1 to 32 lower-case letters, digits, _ and -")
MAX_CHANNELS = 16


class _Common(Section, frozen=True, kw_only=True):
    """What channels share."""

    digest_every_s: Annotated[
        float,
        duration("10s", "1d"),
        Meta(
            description="The first event of a group (detector and set) is sent at once, what follows as one digest of "
            "the group each time this has passed."
        ),
    ] = field(default=300.0, name="digest_every")
    max_per_hour: Annotated[
        int,
        integer(1, 10_000),
        Meta(
            description="At most this many messages of a channel within an hour, unless it has a `max_per_hour` of its "
            "own; the next message says how many more events there were."
        ),
    ] = 30
    queue: Annotated[
        int,
        integer(10, 100_000),
        Meta(
            description="How many messages wait for a channel that is slow or down, in memory and on disk. Beyond it "
            "the oldest are dropped, and counted."
        ),
    ] = 1000


_Kinds: Any = msgspec.defstruct(
    "_Kinds",
    [
        (
            one.kind,
            Annotated[dict[str, one.settings], CHANNEL_NAMES, Meta(description=one.summary)],  # type: ignore[name-defined]
            field(default_factory=dict),
        )
        for one in KINDS
    ],
    bases=(_Common,),
    module=__name__,
    frozen=True,
    kw_only=True,
)


class NotifySettings(_Kinds, frozen=True, kw_only=True):  # type: ignore[misc,call-arg]  # a mapping for each kind
    """Messages to people: what nodewarden-notify.service sends, and where."""

    def channels(self) -> Iterator[tuple[str, Registration[Any], ChannelSettings]]:
        """Yield each channel: its name, its kind, its section."""
        for kind in KINDS:
            for name, section in getattr(self, kind.kind).items():
                yield name, kind, section

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a name that two channels have: it names a channel in metrics and commands. Refuse too many."""
        names = Counter(name for name, _, _ in self.channels())
        for name, kind, _ in self.channels():
            if names[name] > 1:
                yield Conflict((f"{kind.kind}.{name}",), f"two channels have the name {name}: give each its own")
        if names.total() > MAX_CHANNELS:
            yield Conflict(("queue",), f"{names.total()} channels are too many: expected at most {MAX_CHANNELS}")
