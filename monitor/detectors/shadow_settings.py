"""Shadow thresholds of a detector: a second copy that only counts, so that operators see what a change would do."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.config.kinds import duration, integer
from monitor.config.rule_kinds import inherited
from monitor.config.shapes import Conflict, Section
from monitor.config.types import Inherited
from monitor.detectors.network_rules import range_faults

_INHERIT = Inherited.INHERIT


class ShadowSettings(Section, frozen=True, kw_only=True):
    """The thresholds of the copy; without any that differs there is none."""

    findtime_s: Annotated[
        float | Inherited,
        inherited(duration("1s", "1w")),
        Meta(description="How far back the copy counts; within the range of the detector."),
    ] = msgspec.field(default=_INHERIT, name="findtime")
    maxretry: Annotated[
        int | Inherited,
        inherited(integer(1, 10_000_000)),
        Meta(description="The threshold of the copy; within the range of the detector."),
    ] = _INHERIT

    def changes(self) -> dict[str, object]:
        """Return what differs, by attribute."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if not isinstance(value, Inherited)}


NO_SHADOW = ShadowSettings()


def shadow_conflicts(section: Section, shadow: ShadowSettings) -> Iterator[Conflict]:
    """Yield what is wrong with the shadow of a detector's section."""
    changes = shadow.changes()
    if not changes:
        return
    faulty = False
    for key, fault in range_faults(section, shadow):
        faulty = True
        yield Conflict((f"shadow.{key}",), fault)
    if faulty:
        return
    inner = msgspec.structs.replace(section, shadow=NO_SHADOW, networks={}, **changes)
    known = {conflict.text for conflict in msgspec.structs.replace(section, shadow=NO_SHADOW, networks={}).conflicts()}
    for conflict in inner.conflicts():
        if conflict.text not in known:
            yield Conflict(tuple(f"shadow.{key}" if key in changes else key for key in conflict.keys), conflict.text)
