"""Rules of a detector for the sources of single networks: another mode, another threshold, or none at all.

A network with another threshold is counted apart, by a detector of its own with its own window (`routes`): so
`findtime` may differ as well, and what one network does never fills the window of another. Mode and ban time are those
of the source that the alert is about.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from monitor.config.kinds import choice, duration, integer
from monitor.config.rule_kinds import inherited
from monitor.config.shapes import Conflict, Leaf, Section, group_of
from monitor.config.types import Inherited, format_duration
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Mode

MAX_NETWORKS = 4096
"""The most networks with rules of their own, and on the allowlist, of one detector."""
MAX_VARIANTS = 8
"""The most pairs of `findtime` and `maxretry` of one detector: each has a window of `max_entries`."""
_INHERIT = Inherited.INHERIT


class NetworkRuleSettings(Section, frozen=True, kw_only=True):
    """What differs for the sources of one network."""

    mode: Annotated[
        str, inherited(choice(Mode)), Meta(description="Whether its sources are banned or only observed.")
    ] = _INHERIT
    findtime_s: Annotated[
        float | Inherited,
        inherited(duration("1s", "1w")),
        Meta(description="How far back its sources are counted; within the range of the detector."),
    ] = msgspec.field(default=_INHERIT, name="findtime")
    maxretry: Annotated[
        int | Inherited,
        inherited(integer(1, 10_000_000)),
        Meta(description="The threshold of its sources; within the range of the detector."),
    ] = _INHERIT
    bantime_s: Annotated[
        float | Inherited, inherited(duration("1s", "365d")), Meta(description="How long its sources are banned.")
    ] = msgspec.field(default=_INHERIT, name="bantime")

    def changes(self) -> dict[str, object]:
        """Return what differs, by attribute."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if not isinstance(value, Inherited)}


class Rule(Protocol):
    """Values that take the place of some of a detector's section."""

    def changes(self) -> dict[str, object]:
        """Return what differs, by attribute."""
        ...


def conflicts(
    section: Section, networks: Mapping[str, NetworkRuleSettings], allowlist: tuple[Network, ...]
) -> Iterator[Conflict]:
    """Yield what is wrong with the rules of a detector's section."""
    if len(networks) + len(allowlist) > MAX_NETWORKS:
        yield Conflict(("networks", "allowlist"), f"{len(networks) + len(allowlist)} networks: at most {MAX_NETWORKS}")
        return
    known: dict[Network, str] = dict.fromkeys(allowlist, "in allowlist")
    variants = set()
    for name, rule in networks.items():
        network = parse_network(name)
        if (elsewhere := known.setdefault(network, f"as {name}")) != f"as {name}":
            yield Conflict((f"networks.{name}.mode",), f"{network} is there already, {elsewhere}")
            continue
        faulty = False
        for key, fault in range_faults(section, rule):
            faulty = True
            yield Conflict((f"networks.{name}.{key}",), fault)
        if not faulty:
            inner = msgspec.structs.replace(section, networks={}, **rule.changes())
            for conflict in inner.conflicts():
                yield Conflict(tuple(f"networks.{name}.{key}" for key in conflict.keys), conflict.text)
            variants.add((inner.findtime_s, getattr(inner, "maxretry", 1)))  # type: ignore[attr-defined]
    if len(variants) > MAX_VARIANTS:
        text = f"{len(variants)} different pairs of findtime and maxretry: at most {MAX_VARIANTS}"
        yield Conflict(("networks",), text)


def range_faults(section: Section, rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield keys whose value the detector itself would refuse, and why."""
    fields = {field.attribute: field for field in group_of(type(section)).fields.values()}
    for attribute, value in rule.changes().items():
        field = fields.get(attribute)
        if field is None:
            yield attribute, "this detector has no such key: one event is enough"
        elif isinstance(field.shape, Leaf):
            text = format_duration(value) if isinstance(value, float) else str(value)
            try:
                field.shape.kind.read(str(text))
            except ValueError as error:
                yield field.key, str(error)
