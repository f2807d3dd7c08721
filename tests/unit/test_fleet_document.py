"""What docs/fleet.md says can be followed: its settings exist, and its manifest is what Kubernetes expects."""

import re
import textwrap
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from monitor.fleet.breaker import MAX_ALLOWED_NAMED, TRIPPED_S, WITHIN_S
from monitor.fleet.settings import FleetSettings

_TEXT = (Path(__file__).parents[2] / "docs/fleet.md").read_text()


def test_settings_that_are_named_exist() -> None:
    """Each `fleet.NAME`, and the defaults that the text quotes."""
    named = set(re.findall(r"`fleet\.(\w+)", _TEXT))
    assert named - set(FleetSettings.__struct_encode_fields__) == set()
    assert "bans_per_minute" in named
    settings = FleetSettings()
    assert "60 a minute (`fleet.bans_per_minute`), each for a day at most" in _TEXT
    assert (settings.bans_per_minute, settings.max_bantime_s) == (60, 86400.0)
    assert (MAX_ALLOWED_NAMED, WITHIN_S, TRIPPED_S) == (3, 600.0, 86400.0)
    assert "three allowed networks within ten minutes" in _TEXT


@pytest.mark.parametrize("version", ["1.27", kubernetes_validate.latest_version()])
def test_the_manifest_is_valid(version: str) -> None:
    """No key is misspelt; the Service leads to the pods."""
    (block,) = re.findall(r"^ {4}apiVersion: .*\n(?:(?: {4}.*)?\n)*", _TEXT, re.MULTILINE)
    deployment, service = yaml.safe_load_all(textwrap.dedent(block))
    for one in (deployment, service):
        kubernetes_validate.validate(one, version, strict=True)
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
