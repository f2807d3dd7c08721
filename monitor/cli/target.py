"""The daemon that a command talks to."""

from pathlib import Path
from typing import Any

from monitor.control.client import NotRunning, ask
from monitor.control.protocol import History, Report, Request
from monitor.model.errors import ConfigError
from monitor.settings.places import DEFAULT_PATH, DEFAULT_SOCKET


class Target:
    """The daemon behind a socket; without an explicit path, behind the one its configuration names."""

    def __init__(self, socket_path: Path | None) -> None:
        """None finds the socket when it is needed."""
        self._socket_path = socket_path

    @property
    def socket_path(self) -> Path:
        """The control socket."""
        if self._socket_path is None:
            from monitor.settings.load import load

            try:
                self._socket_path = load(DEFAULT_PATH).settings.control.socket
            except ConfigError:  # missing, invalid or unreadable for this user: use the default
                self._socket_path = DEFAULT_SOCKET
        return self._socket_path

    def configured(self, socket_path: Path) -> "Target":
        """Return this target, or the daemon behind a socket that a configuration names if none was given explicitly."""
        return self if self._socket_path is not None else Target(socket_path)

    def read_history(self, request: History | Report, config_path: Path) -> Any:
        """Ask the daemon for its history; where none runs, read the file in the state directory of a configuration."""
        try:
            return self.ask(request)
        except NotRunning:
            from monitor.daemon.control.history_answers import page, report
            from monitor.settings.load import load
            from monitor.state.store import FILE_NAME

            if not config_path.exists():
                raise
            path = load(config_path).settings.state.directory / FILE_NAME
            if not path.exists():
                raise
            return (page if isinstance(request, History) else report)(path, request)

    def ask(self, request: Request) -> Any:
        """Send a request and return the result; raises DaemonUnreachable or RequestRefused, both with a message."""
        return ask(self.socket_path, request)
