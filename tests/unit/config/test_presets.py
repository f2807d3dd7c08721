"""Allowlist presets: what is in the file, what is configured, and what the allowlist says of it."""

import datetime
from pathlib import Path

import pytest

from monitor.daemon.pipeline.wiring import build_guard
from monitor.model.addresses import host, parse_address, parse_network
from monitor.model.errors import ConfigError
from monitor.settings.bans import Bans
from monitor.settings.load import load
from monitor.settings.presets import preset_entries, presets
from monitor.settings.schema import Settings


@pytest.mark.parametrize("name", list(presets()))
def test_each_preset_names_its_source_and_is_narrow(name: str) -> None:
    """A page, a day that has been, and networks that are no large part of the internet, each once."""
    preset = presets()[name]
    assert preset.source.startswith("https://")
    assert datetime.date.fromisoformat(preset.checked) > datetime.date(2026, 1, 1)
    networks = [parse_network(text) for text in preset.networks]
    assert len(networks) == len(set(networks)) > 0
    assert all(network.prefix_length >= (16 if network.bits == 32 else 48) for network in networks)


def test_a_preset_is_on_the_allowlist_with_its_source() -> None:
    """`nodewarden allow list` and `why` show where a network comes from; other presets are not on it."""
    guard = build_guard(Settings(bans=Bans(presets=("azure-load-balancer",))), (), ())
    entry = guard.protects(host(parse_address("168.63.129.16")))
    assert entry is not None
    assert entry.reason.startswith("preset azure-load-balancer (https://learn.microsoft.com/")
    assert guard.protects(host(parse_address("35.191.0.1"))) is None
    assert preset_entries(()) == []


def test_an_unknown_preset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The message lists them."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text("bans: {presets: [gcp-load-balancer, azure]}")
    with pytest.raises(ConfigError, match=r"'azure' is not a preset \(known: gcp-load-balancer, azure-load-balancer\)"):
        load(path)
