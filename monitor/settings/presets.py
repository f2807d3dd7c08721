"""Allowlist presets: documented networks of health checkers, by name, from `presets.yaml` in this package."""

import functools
from collections.abc import Iterable
from pathlib import Path

import msgspec
import yaml

from monitor.config.kinds import ValueKind
from monitor.config.types import quote
from monitor.model.addresses import parse_network
from monitor.model.bans import AllowEntry


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks that a cloud documents, with the page and the day of the comparison."""

    source: str
    checked: str
    networks: tuple[str, ...]


@functools.cache
def presets() -> dict[str, Preset]:
    """Return all presets by name."""
    text = Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.load(text, yaml.CSafeLoader), dict[str, Preset])


def preset_entries(names: Iterable[str]) -> list[AllowEntry]:
    """Return the entries of the allowlist for these presets."""
    return [
        AllowEntry(parse_network(network), f"preset {name} ({preset.source}, {preset.checked})")
        for name in names
        for preset in (presets()[name],)
        for network in preset.networks
    ]


def _read_preset(value: str) -> str:
    """Read the name of a preset."""
    if value not in presets():
        raise ValueError(f"{quote(value)} is not a preset (known: {', '.join(presets())})")
    return value


PRESET: ValueKind[str] = ValueKind("name of a preset", _read_preset, str, {"type": "string", "enum": list(presets())})
