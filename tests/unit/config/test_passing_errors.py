"""What keeps the configuration from being read and may pass is not the operator's fault: the daemon tries again."""

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import main as command_line
from monitor.model.errors import ConfigError, TemporaryError
from monitor.settings.load import load

_real_open = os.open


def _failing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(path: object, *arguments: object, **more: object) -> int:
        if str(path).endswith("nodewarden.yaml"):
            raise OSError(number, os.strerror(number))
        return _real_open(path, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", fail)


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR", "EAGAIN", "ENOBUFS", "ESTALE"])
def test_an_error_that_may_pass_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Exit code 2 would keep systemd from starting the daemon again, so the error is not one of the configuration."""
    path = tmp_path / "nodewarden.yaml"
    path.touch()
    _failing(monkeypatch, getattr(errno, name))
    with pytest.raises(TemporaryError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("name", ["ENOENT", "EACCES", "EISDIR", "ELOOP"])
def test_an_error_that_stays_is_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A missing or forbidden file needs the operator."""
    path = tmp_path / "nodewarden.yaml"
    path.touch()
    _failing(monkeypatch, getattr(errno, name))
    with pytest.raises(ConfigError):
        load(path)


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), RuntimeError("can't start new thread")]
)
def test_a_start_without_means_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Nothing is left for the event loop: `run` ends with an error that `main` turns into a sentence and code 1."""

    def fail(main: object) -> None:
        main.close()  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr("monitor.daemon.life.loop.run", fail)
    result = CliRunner().invoke(command_line.cli, ["run"])
    assert isinstance(result.exception, TemporaryError)
    assert "the system lacks what the daemon needs" in str(result.exception)
