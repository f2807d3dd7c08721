"""A configuration in a recording is the one that was in force."""

from pathlib import Path

import msgspec
import pytest

from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.recorded_settings import configured, read_filters, read_settings
from monitor.model.addresses import parse_network
from monitor.model.bans import AllowEntry
from monitor.model.errors import ConfigError
from monitor.recording.inputs import Configured
from monitor.recording.wire import decode, encode
from monitor.settings.load import load
from monitor.settings.schema import Settings

_EXAMPLES = [*sorted(Path("examples").glob("*.yaml")), Path("systemd/nodewarden.yaml")]


def _again(one: Configured) -> Configured:
    again = decode(encode(one))
    assert isinstance(again, Configured)
    return again


@pytest.mark.parametrize("path", [None, *_EXAMPLES], ids=str)
def test_settings_come_back(path: Path | None) -> None:
    """Defaults and every example are the same after they were recorded, sections of log detectors included."""
    settings = load(path).settings if path else Settings()
    filters = LogFilters(settings)
    filters.allowlist.append(AllowEntry(parse_network("192.0.2.0/24"), "ignoreip of fail2ban"))
    again = _again(configured(settings, filters, 1.0))
    assert read_settings(again) == settings
    assert read_filters(again).sections == filters.sections
    assert read_filters(again).allowlist == filters.allowlist


def test_a_digest_tells_configurations_apart() -> None:
    """Equal settings have one digest, others another; the time is not part of it."""
    settings = Settings()
    other = msgspec.structs.replace(settings, bans=msgspec.structs.replace(settings.bans, max_bans=77))
    digests = [
        configured(one, LogFilters(one), now_s).digest
        for one, now_s in ((settings, 1.0), (settings, 2.0), (other, 1.0))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_settings_of_another_version_are_refused_by_name() -> None:
    """A key that this version does not know is named, as in a file."""
    with pytest.raises(ConfigError, match="colour"):
        read_settings(Configured(1.0, {"bans": {"colour": "red"}}, ""))
    with pytest.raises(ConfigError):
        read_settings(Configured(1.0, {"bans": 3}, ""))
