"""The commands about messages to people: the notifier itself, a test of its channels, and how it is."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from monitor.cli import show
from monitor.cli.list_renewal import config_option
from monitor.cli.notify_report import is_well, say_state
from monitor.cli.owned_state import alone, become_owner
from monitor.cli.target import Target
from monitor.control.protocol import Events
from monitor.model.errors import ConfigError, NodewardenError, TemporaryError, explain
from monitor.notify.channel import Again, Refused
from monitor.notify.message import Item, Kind, Message, Urgency
from monitor.notify.registration import Place, Registration
from monitor.notify.sections.base import ChannelSettings
from monitor.notify.settings import NotifySettings
from monitor.notify.state import STATE_NAME, notify_directory, read_state
from monitor.notify.work import Work
from monitor.settings.load import Loaded, load

_log = logging.getLogger(__name__)
_ROUND_S = 0.5
_LOOK_S = 5.0
_BUSY = "another notifier runs already, and two would send everything twice: `systemctl status nodewarden-notify`"
_CREDENTIALS = Path("/run/credentials/nodewarden-notify.service")


class NotifyError(NodewardenError):
    """A command about notifications cannot be carried out; the message says what to do."""


@click.group("notify")
def notify_group() -> None:
    """Send messages about bans and problems: mail, webhooks, Alertmanager, syslog."""


@notify_group.command()
@config_option
@click.pass_obj
def run(target: Target, path: Path) -> None:
    """Follow the daemon and send messages. nodewarden-notify.service runs this.

    Without a channel in the configuration it ends at once. Changes of the configuration are followed.
    """
    from monitor.daemon.life.logs import set_up

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    watch = _ConfigWatch(path)  # before it is read: what changes meanwhile is noticed later
    loaded = load(path)
    set_up(loaded.settings.log)
    become_owner(loaded.settings.state.directory)
    with alone(notify_directory(loaded.settings.state.directory), _BUSY):
        while _has_channels(loaded) and not stopped.is_set():
            loaded = _run(target, watch, loaded, stopped)
    if not stopped.is_set():
        show.say("no channel is configured in section notify: nothing to do")


def _has_channels(loaded: Loaded) -> bool:
    return any(loaded.settings.notify.channels())


def _run(target: Target, watch: "_ConfigWatch", loaded: Loaded, stopped: threading.Event) -> Loaded:
    """Work until it is stopped or the configuration changes; return the configuration then."""
    settings = loaded.settings
    daemon = target.configured(settings.control.socket)
    directory = notify_directory(settings.state.directory)

    def ask(after: int, run: str = "") -> Any:
        return daemon.ask(Events(after, run=run))

    work = Work(settings.notify, os.uname().nodename, directory, ask)
    try:
        work.start()
    except (OSError, RuntimeError) as error:
        raise TemporaryError(f"the channels cannot be started: {explain(error)}") from error
    _log.info("following %s for %d channels", daemon.socket_path, len(work.notifier.lines))
    try:
        while not stopped.wait(_ROUND_S):
            work.round()
            changed = watch.changed(loaded)
            if changed is not None:
                _log.info("the configuration changed")
                return changed
    finally:
        work.close()
    return loaded


class _ConfigWatch:
    """Notices that files of the configuration changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamps = self._look()
        self._due_s = time.monotonic() + _LOOK_S

    def changed(self, loaded: Loaded) -> Loaded | None:
        """Return the new configuration, if it is another one and valid."""
        if time.monotonic() < self._due_s:
            return None
        self._due_s = time.monotonic() + _LOOK_S
        stamps = self._look()
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            new = load(self._path)
        except (ConfigError, TemporaryError) as error:
            _log.error("the changed configuration is not used: %s", error)
            return None
        old, now = loaded.settings, new.settings
        is_same = (old.notify, old.state, old.control) == (now.notify, now.state, now.control)
        return None if is_same else new

    def _look(self) -> list[tuple[str, int, int, int]]:
        stamps = []
        with contextlib.suppress(OSError):
            for path in (self._path, *sorted((self._path.parent / "conf.d").glob("*.yaml"))):
                with contextlib.suppress(OSError):
                    found = path.stat()
                    stamps.append((str(path), found.st_ino, found.st_mtime_ns, found.st_size))
        return stamps


@notify_group.command()
@click.argument("name", required=False)
@click.option("--all", "is_all", is_flag=True, help="Test every channel.")
@config_option
@show.json_option
def test(name: str | None, is_all: bool, path: Path, is_json: bool) -> None:
    """Send a test message through channel NAME, and show what came of it. Exit code 1 if one failed."""
    settings = load(path).settings
    channels = {one[0]: one for one in settings.notify.channels()}
    if bool(name) == is_all:
        raise click.UsageError("give the NAME of a channel, or --all")
    if name and name not in channels:
        raise click.UsageError(f"{name!r} is no channel of the configuration{_known(settings.notify)}")
    if "CREDENTIALS_DIRECTORY" not in os.environ and _CREDENTIALS.is_dir():
        os.environ["CREDENTIALS_DIRECTORY"] = str(_CREDENTIALS)  # of the unit, while it runs
    become_owner(settings.state.directory)
    results = []
    for one in [channels[name]] if name else channels.values():
        started_s = time.monotonic()
        fault = _try(*one, notify_directory(settings.state.directory))
        took_s = time.monotonic() - started_s
        results.append({"name": one[0], "kind": one[1].kind, "ok": not fault, "fault": fault, "took_s": took_s})
        if not is_json:
            text = f"{one[0]}: failed after {took_s:.1f} s: {fault}" if fault else f"{one[0]}: sent in {took_s:.1f} s"
            show.say(text, err=bool(fault), fg="red" if fault else "green")
    if is_json:
        show.as_json(results)
    if not all(result["ok"] for result in results):
        sys.exit(1)


def _try(name: str, kind: Registration[Any], section: ChannelSettings, directory: Path) -> str:
    """Send a test message; return what went wrong."""
    host = os.uname().nodename
    place = Place(host=host, directory=directory / name)
    try:
        place.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        channel = kind.make(name, section, place)
    except (OSError, ValueError, ImportError) as error:
        return explain(error)
    try:
        channel.send(test_message(host, name, time.time()))
    except Again as error:
        return str(error) or "it failed for now"
    except Refused as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - what it raises may hold what it sent, and that a secret
        return f"internal fault: {type(error).__name__}"
    finally:
        channel.close()
    return ""


def test_message(host: str, name: str, now_s: float) -> Message:
    """Return the message that says that it arrived."""
    text = f"test message of channel {name}: messages of nodewarden arrive here"
    return Message(
        host=host,
        kind=Kind.TEST,
        urgency=Urgency.INFO,
        group="test",
        title=f"{host}: {text}",
        items=(Item(time_s=now_s, text=text, why="nodewarden notify status"),),
        count=1,
        since_s=now_s,
        time_s=now_s,
        event={"event": "test", "time_s": now_s, "text": text},
    )


def _known(settings: NotifySettings) -> str:
    names = [name for name, _, _ in settings.channels()]
    return f" (channels: {', '.join(names)})" if names else ": section notify has none"


@notify_group.command()
@config_option
@show.json_option
def status(path: Path, is_json: bool) -> None:
    """Show what the notifier sent, what waits, and what fails. Exit code 1 if a channel fails or nothing runs."""
    settings = load(path).settings
    names = [name for name, _, _ in settings.notify.channels()]
    state = read_state(notify_directory(settings.state.directory) / STATE_NAME)
    if is_json:
        show.as_json(None if state is None else msgspec.to_builtins(state))
        is_good = is_well(names, state, time.time())
    else:
        is_good = say_state(names, state, time.time())
    if not is_good:
        sys.exit(1)
