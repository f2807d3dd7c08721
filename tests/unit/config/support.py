"""What the tests of the configuration share."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from monitor.config.faults import InvalidConfigError
from monitor.model.errors import ConfigError
from monitor.settings.load import load


def write(directory: Path, text: str | bytes, name: str = "nodewarden.yaml") -> Path:
    """Write one file of the configuration and return its path."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults_of(path: Path) -> Sequence[str]:
    """Load what must be faulty; return one line a fault, with file names relative to the main file's directory."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert isinstance(caught.value, InvalidConfigError)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.faults)
    return [line.removeprefix(f"{path.parent}/") for line in lines]
