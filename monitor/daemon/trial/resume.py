"""The start of the daemon while a trial configuration waits: continue it, or go back."""

import logging
from pathlib import Path
from typing import NamedTuple

from monitor.daemon.trial.file import DamagedError, TrialFile, instant
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.daemon.trial.record import Ended, Instant, Remembered, Result, Trial, fault
from monitor.model.errors import ConfigError, TemporaryError
from monitor.settings.load import Loaded, load

_log = logging.getLogger(__name__)


class Resumed(NamedTuple):
    """What to start with."""

    loaded: Loaded
    keeper: TrialKeeper


def resume(path: Path, now: Instant | None = None) -> Resumed:
    """Load the configuration, with the trial that an earlier run remembered if it has time left.

    ConfigError or TemporaryError if the files alone cannot be loaded: a trial does not hide that.
    """
    base = load(path)
    file = TrialFile(base.settings.state.directory)
    now = instant() if now is None else now
    try:
        remembered = file.read()
    except DamagedError as error:
        ended = Ended(name="unknown", target="", result=Result.UNUSABLE, text=str(error), time_s=now.wall_s)
        return Resumed(base, _gone(path, file, base, ended))
    trial = remembered.trial
    if trial is None:
        return Resumed(base, TrialKeeper(path, file, remembered, base))
    if why := fault(trial, path, now):
        ended = _ended(trial, Result.UNUSABLE, f"{file.path} is damaged: {why}", now)
        return Resumed(base, _gone(path, file, base, ended))
    if trial.left_s(now) <= 0.0:
        ended = _ended(trial, Result.TIME, "nobody confirmed it in time; the daemon was not running", now)
        return Resumed(base, _gone(path, file, base, ended))
    try:
        loaded = load(path, {Path(trial.target): trial.content.encode()})
    except (ConfigError, TemporaryError) as error:
        ended = _ended(trial, Result.UNUSABLE, f"after a restart it could not be loaded any more: {error}", now)
        return Resumed(base, _gone(path, file, base, ended))
    if loaded.settings == base.settings:
        ended = _ended(trial, Result.CONFIRMED, "confirmed: the files say the same", now)
        return Resumed(base, _gone(path, file, base, ended))
    _log.warning("trial configuration %s continues, %.0f s left", trial.name, trial.left_s(now))
    trial = trial.written_at(now)
    keeper = TrialKeeper(path, file, Remembered(trial=trial, ended=remembered.ended), base)
    try:
        file.write(Remembered(trial=trial, ended=remembered.ended))
    except TemporaryError as error:
        _log.warning("%s", error)  # tried again from time to time
    return Resumed(loaded, keeper)


def without_trial(path: Path, base: Loaded) -> TrialKeeper:
    """Return a keeper that remembers nothing."""
    return TrialKeeper(path, TrialFile(base.settings.state.directory), Remembered(), base)


def _gone(path: Path, file: TrialFile, base: Loaded, ended: Ended) -> TrialKeeper:
    """Return a keeper without a trial, and have the disk say so."""
    _log.warning("trial configuration %s: %s", ended.name, ended.text)
    keeper = TrialKeeper(path, file, Remembered(ended=ended), base)
    keeper.results[ended.result] += 1
    keeper.forget()
    return keeper


def _ended(trial: Trial, result: Result, text: str, now: Instant) -> Ended:
    return Ended(name=trial.name, target=trial.target, result=result, text=text, time_s=now.wall_s)
