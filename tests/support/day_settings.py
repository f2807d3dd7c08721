"""Configurations of random days: low thresholds and small tables."""

import random
from typing import Any

import msgspec

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import RecordedFilters
from monitor.model.addresses import parse_network
from monitor.model.bans import Mode
from monitor.settings.schema import Settings

_RATE = 150
"""Thresholds above this are those of rates, which have other limits."""
BANTIMES_S: tuple[float, ...] = (30.0, 200.0, 2000.0)


def some_settings(chance: random.Random) -> Settings:
    """Return settings with low thresholds and small tables."""
    settings = Settings()
    detectors: dict[str, Any] = {}
    for name in settings.detectors.__struct_fields__:
        section = getattr(settings.detectors, name)
        if isinstance(section, dict):
            detectors[name] = {"sshd": _lowered(section["sshd"], chance)}
        elif hasattr(section, "bantime_s"):
            detectors[name] = _lowered(section, chance)
    bans = settings.bans
    return msgspec.structs.replace(
        settings,
        detectors=msgspec.structs.replace(settings.detectors, **detectors),
        bans=msgspec.structs.replace(
            bans,
            allowlist=(parse_network("198.51.100.1"),) if chance.random() < 0.5 else (),
            budget=msgspec.structs.replace(bans.budget, bans_per_minute=chance.choice([3, 300])),
            increment=msgspec.structs.replace(bans.increment, rndtime_s=chance.choice([0.0, 100.0])),
            recidive=msgspec.structs.replace(bans.recidive, maxretry=chance.choice([2, 5])),
            prefixes=msgspec.structs.replace(bans.prefixes, ipv4_24=chance.choice([0, 3])),
            escalate_spoofable=chance.random() < 0.5,
            max_bans=1024,
        ),
    )


def _lowered(section: Any, chance: random.Random) -> Any:
    names = section.__struct_fields__
    changes: dict[str, Any] = {"mode": chance.choice([Mode.ENFORCE, Mode.ENFORCE, Mode.OBSERVE])}
    changes["bantime_s"] = chance.choice(BANTIMES_S)
    changes["findtime_s"] = chance.choice([60.0, 600.0])
    if "maxretry" in names:
        changes["maxretry"] = chance.choice([10, 12]) if section.maxretry > _RATE else chance.choice([2, 3, 6])
    if "allowlist" in names and chance.random() < 0.2:
        changes["allowlist"] = (parse_network("198.51.100.4/30"),)
    if "max_entries" in names:
        changes["max_entries"] = 1024
    if "total" in names:
        changes["total"] = 100
    return msgspec.structs.replace(section, **changes)


def log_filters(settings: Settings) -> LogFilters:
    """Return what the pipeline needs of log filters; reading the filters themselves takes long."""
    return RecordedFilters(settings.detectors.failures, ())
