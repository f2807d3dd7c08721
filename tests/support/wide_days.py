"""Random days as wide as configurations may be: what the days of `days` leave at its default.

Rules for single networks, allowlists of detectors, bans of ports, shadows, detectors that appear, vanish and change
their filter at a reload, small ledgers, answers, egress, protected services, prefixes of IPv6, a second enforcer that
fails, pods and networks behind the node, sources that stay away and come back, and clocks that are years off.
"""

import random
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import RecordedFilters, configured, read_settings
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.shadow_settings import ShadowSettings
from monitor.enforcers.protocol import Enforcer, Failure
from monitor.model.addresses import Network, host, parse_address, parse_network
from monitor.model.bans import Action, AllowEntry, Ban, Mode
from monitor.model.networks import NodeNetworks
from monitor.model.ports import pack
from monitor.node.kubernetes import POD_NETWORK
from monitor.settings.schema import Settings
from tests.support.day_events import batch
from tests.support.day_settings import BANTIMES_S, some_settings
from tests.support.days import Day

_SITES = tuple(
    map(parse_network, ("198.51.100.0/24", "203.0.113.0/30", "10.0.0.0/8", "2001:db8::/32", "100.64.0.0/10"))
)
_IPV6 = [f"2001:db8:{site:x}:{net:x}::{last:x}" for site in range(3) for net in range(5) for last in (1, 2)]
_LOGS = ("nginx", "my-app", "mail_2")
_YEARS_S = 3 * 365 * 86_400.0


class _Frail(MemoryLeader):
    """A second enforcer, as XDP: what it refuses changes nothing."""

    name = "frail"

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:
        """Fail now and then."""
        if self._chance.random() < 0.2:
            raise OSError(7, "the map is full")
        return super().add(bans, now_s)


class WideDay(Day):
    """A day with all that a configuration may say."""

    steps: Mapping[str, int] = MappingProxyType(
        {**Day.steps, "reload": 5, "restart": 2, "clock": 2, "silence": 1, "return": 3, "networks": 1, "port_ban": 3}
    )

    def __init__(self, seed: int) -> None:
        """Begin with a new daemon."""
        self._away: list[list[Any]] = []
        self._weird = random.Random(seed * 7919)
        self._frail = _Frail(random.Random(seed))
        super().__init__(seed)

    def _some_settings(self) -> Settings:
        chance = self._weird
        settings = some_settings(self._chance)
        detectors: dict[str, Any] = {}
        for name in settings.detectors.__struct_fields__:
            section = getattr(settings.detectors, name)
            if isinstance(section, dict):
                names = ["sshd", *chance.sample(_LOGS, chance.randrange(1, 3))]  # it is there by default
                detectors[name] = {one: self._varied(section["sshd"]) for one in names}
                is_off = chance.random() < 0.2
                detectors[name]["sshd"] = msgspec.structs.replace(detectors[name]["sshd"], enabled=not is_off)
            elif hasattr(section, "bantime_s"):
                detectors[name] = self._varied(section)
        egress = detectors["egress"]
        if chance.random() < 0.6:
            detectors["egress"] = msgspec.structs.replace(egress, approved=_SITES[:1], ban_ports=())
        bans = settings.bans
        wide = msgspec.structs.replace(
            settings,
            mode=chance.choice([Mode.ENFORCE] * 5 + [Mode.OBSERVE]),
            detectors=msgspec.structs.replace(settings.detectors, **detectors),
            bans=msgspec.structs.replace(
                bans,
                max_bans=chance.choice([16, 16, 24, 1024]),
                action=chance.choice([Action.DROP, Action.REJECT]),
                allowlist=tuple(chance.sample(_SITES, chance.choice([0, 0, 1]))),
                internal=msgspec.structs.replace(bans.internal, mode=chance.choice([Mode.OBSERVE, Mode.ENFORCE])),
                prefixes=msgspec.structs.replace(
                    bans.prefixes,
                    ipv6_score=chance.choice([48, 56, 64, 128]),
                    ipv6_64=chance.choice([0, 2]),
                    ipv6_56=chance.choice([0, 2]),
                    ipv6_48=chance.choice([0, 3]),
                ),
                increment=msgspec.structs.replace(
                    bans.increment,
                    enabled=chance.random() < 0.8,
                    overalljails=chance.random() < 0.5,
                    multipliers=chance.choice([(), (1.0, 5.0)]),
                    rndtime_s=chance.choice([0.0, 60.0]),
                ),
            ),
        )
        read = read_settings(configured(wide, self._filters_of(wide), self.now_s))
        assert read == wide
        return read

    def _varied(self, section: Any) -> Any:
        """Return a section with rules for networks, an allowlist, ports and a shadow, if it may have them."""
        chance = self._weird
        changes: dict[str, Any] = {}
        if chance.random() < 0.4:
            rules = {}
            for site in chance.sample(_SITES, 2):
                rule = NetworkRuleSettings(mode=chance.choice([*Mode]), bantime_s=chance.choice(BANTIMES_S))
                if "maxretry" in section.__struct_fields__:
                    rule = msgspec.structs.replace(rule, maxretry=chance.choice([1, 4]))
                rules[str(site)] = rule
            changes["networks"] = rules
        if chance.random() < 0.2:
            changes["allowlist"] = (parse_network("198.51.100.2/31"),)
        if chance.random() < 0.4:
            changes["ban_ports"] = ("tcp/22", "udp/5060")
        if chance.random() < 0.5 and "maxretry" in section.__struct_fields__:
            changes["shadow"] = ShadowSettings(maxretry=chance.choice([1, 4]), findtime_s=30.0)
        varied = msgspec.structs.replace(section, **changes)
        return section if list(varied.conflicts()) else varied

    def _filters(self) -> LogFilters:
        return self._filters_of(self._settings)

    def _filters_of(self, settings: Settings) -> LogFilters:
        sections = {name: one for name, one in settings.detectors.failures.items() if one.enabled}
        ignored = [AllowEntry(host(parse_address("198.51.100.3")), "ignoreip")] if len(sections) > 2 else []
        return RecordedFilters(sections, ignored, {name: f"{name}{one.maxretry % 2}" for name, one in sections.items()})

    def _followers(self) -> Sequence[Enforcer]:
        return (self._frail,)

    def _batch(self, names: Sequence[str]) -> list[Any]:
        events = batch(self._chance, self.now_s, names)
        if self._weird.random() < 0.3 and "source" in type(events[0]).__struct_fields__:
            wide = [parse_address(self._weird.choice(_IPV6)) for _ in events]
            events = [msgspec.structs.replace(one, source=source) for one, source in zip(events, wide, strict=True)]
        return events

    def _silence(self) -> None:
        """A source stays away; what it saw meanwhile comes later, all at once and late."""
        self._away = [self._batch(tuple(self._filters().sections)) for _ in range(3)]
        self._pass(900.0)

    def _return(self) -> None:
        for events in self._away:
            self.pipeline.process(events, self.now_s)
        self._away = []

    def _networks(self) -> None:
        """Networks and pods around the node change."""
        chance = self._weird
        self._around = NodeNetworks(
            connected=tuple(map(parse_network, ("192.0.2.0/24", "10.0.0.0/24"))),
            uplink=(parse_network("192.0.2.0/24"),),
            behind=tuple(chance.sample(_SITES, chance.randrange(2))),
            elsewhere=(parse_network("10.0.0.128/25"),) if chance.random() < 0.5 else (),
        )
        pods = [AllowEntry(parse_network("10.0.0.8/30"), POD_NETWORK)] if self._weird.random() < 0.5 else []
        self.pipeline.follow_node([self._node[0], *pods], self.now_s, self._around, None)

    def _clock(self) -> None:
        if self._weird.random() < 0.3:
            step_s = self._weird.choice([-_YEARS_S, _YEARS_S])
            self.now_s += step_s
            self.pipeline.follow_clock(step_s, self.now_s - step_s - 1, self.now_s)
        else:
            super()._clock()

    def _port_ban(self) -> None:
        """Somebody bans for some ports, and perhaps lifts it."""
        ports = pack([(6, 22)]) if self._weird.random() < 0.7 else b""
        network = msgspec.structs.replace(self._someone(), ports=ports)
        if self._weird.random() < 0.6:
            self.pipeline.order([self._wish(network)], self.now_s)
        else:
            self.pipeline.unban([network], self.now_s)

    def _someone(self) -> Network:
        if self._weird.random() < 0.3:
            return host(parse_address(self._weird.choice(_IPV6)))
        return super()._someone()
