"""Keeps a trial configuration in force, and goes back automatically unless it is confirmed in time.

The daemon never writes into /etc. A trial stands for a file of the configuration: whenever the configuration is read,
its content is taken in the place of that file. Going back is to read the files as they are, so there is nothing to put
back, and nothing that somebody else wrote can be lost. It is remembered in the state directory before it takes effect,
so that a restart within its time continues it, and a restart after that does not.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from monitor.config.types import format_duration
from monitor.daemon.trial.file import TrialFile, instant
from monitor.daemon.trial.record import Ended, Instant, Opinion, Remembered, Result, Trial, TrialRefused, opinion
from monitor.files.regular import digest, digest_of
from monitor.model.errors import ConfigError, NodewardenError, TemporaryError
from monitor.settings.load import Loaded, load

_log = logging.getLogger(__name__)
LIMIT_BYTES = 1 << 20
"""Of a file of the configuration."""
_TOLD_S = 86_400.0
_TRY_AGAIN_S = 5.0


class Configuration(Protocol):
    """What puts configurations into force."""

    def reload(self) -> Any:
        """Follow the files and what stands for some of them; NodewardenError if that fails, and the old one stays."""

    def put_back(self, loaded: Loaded) -> None:
        """Put a configuration into force that was read earlier; NodewardenError if that fails."""


class TrialKeeper:
    """The trial that waits, if there is one, and how the last one ended."""

    def __init__(self, path: Path, file: TrialFile, remembered: Remembered, base: Loaded) -> None:
        """Take the main file, what an earlier run remembered, and the configuration as the files alone say it."""
        self._path = path
        self._file = file
        self.trial = remembered.trial
        self.ended = remembered.ended
        self.base = base
        """The last valid configuration without a trial."""
        self.results: Counter[str] = Counter(dict.fromkeys(("started", *Result), 0))
        self.on_change: Callable[[str, str, str], None] = lambda *_: None
        """Is told the name of a trial, what became of it, and why."""
        self.banned_good = ""
        """Which known-good source was banned under the trial."""
        self.refused: Callable[[], int] = lambda: 0
        """Counts the bans that had no budget, in total."""
        self._refused_before = 0
        self._is_going_back = False
        self._tried_s = float("-inf")
        self._troubles: dict[str, str] = {}

    def attach(self, configuration: Configuration) -> None:
        """Take what puts configurations into force."""
        self._configuration = configuration

    @property
    def standing(self) -> Mapping[Path, bytes]:
        """The contents that take the place of files while a trial waits."""
        return {Path(self.trial.target): self.trial.content.encode()} if self.trial else {}

    def start(self, trial: Trial) -> Any:
        """Put a trial, which was checked, into force; return what the reload did. NodewardenError: nothing changed."""
        self._file.write(Remembered(trial=trial, ended=self.ended))
        self.trial, self.banned_good = trial, ""
        try:
            done = self._configuration.reload()
        except NodewardenError:
            self.trial = None
            self.forget()
            self._try_back()  # it may have failed halfway
            raise
        self._refused_before = self.refused()
        self.results["started"] += 1
        text = f"in force for {format_duration(trial.limit_s)} unless it is confirmed"
        _log.warning("trial configuration %s: %s", trial.name, text)
        self.on_change(trial.name, "started", text)
        return done

    def followed(self, loaded: Loaded) -> None:
        """Take note of a configuration that is in force now: files that say the same as the trial confirm it."""
        if self.trial is None:
            self.base = loaded
            return
        try:
            base = load(self._path)
        except (ConfigError, TemporaryError):
            return  # the one before is what to go back to
        self.base = base
        if base.settings == loaded.settings:
            self._finish(Opinion(Result.CONFIRMED, "confirmed: the files say the same"))

    def confirm(self) -> None:
        """Keep the trial: the files must say the same by now; TrialRefused if they do not."""
        if self.trial is None:
            raise TrialRefused(self.nothing_waits)
        self._configuration.reload()  # and that confirms it
        if self.trial is not None:
            raise TrialRefused(
                f"{self.trial.target} does not say what the trial configuration says: put it there (as root, "
                "`nodewarden apply --confirm` does), or go back with `nodewarden apply --back`"
            )

    @property
    def nothing_waits(self) -> str:
        """Say that there is no trial, and how the last one ended."""
        last = f"; the last one, {self.ended.name}: {self.ended.text}" if self.ended else ""
        return f"no trial configuration waits to be confirmed{last}"

    def go_back(self, why: Opinion) -> None:
        """End the trial and put into force what the files say, or the last that was valid. Tried again if it fails."""
        self._finish(self._as_the_file_says(why))
        self._try_back()

    def _as_the_file_says(self, why: Opinion) -> Opinion:
        """Say what is true where the file holds the trial already: a confirmation that was killed halfway leaves it."""
        trial = self.trial
        if trial is None or digest(Path(trial.target), LIMIT_BYTES) != digest_of(trial.content.encode()):
            return why
        if why.result is Result.TIME:
            return Opinion(Result.CONFIRMED, f"{trial.target} says the same: it stays in force")
        return Opinion(
            why.result, f"{why.text}; but {trial.target} says the same, so it stays in force: change that file"
        )

    def tick(self, now: Instant) -> None:
        """End the trial if its time is over or it did harm; write down from time to time how much of it is used."""
        if self._is_going_back:
            if not 0.0 <= now.boot_s - self._tried_s < _TRY_AGAIN_S:
                self._tried_s = now.boot_s
                self._try_back()
            return
        if self._troubles.pop("forget", None):
            self.forget()
        trial = self.trial
        if trial is None:
            return
        self._refused_before = min(self._refused_before, self.refused())  # another budget counts anew
        refused = self.refused() - self._refused_before
        if why := opinion(trial, now, refused=refused, banned_good=self.banned_good):
            self.go_back(why)
        elif trial.is_due(now):
            self.trial = trial.written_at(now)
            self._troubles.pop("save", None)
            try:
                self._file.write(Remembered(trial=self.trial, ended=self.ended), is_lasting=False)
            except TemporaryError as error:
                self._troubles["save"] = f"how long the trial configuration is in force cannot be saved: {error}"

    def _finish(self, why: Opinion) -> None:
        """Note how the trial ended; from now on it stands for nothing."""
        trial = self.trial
        if trial is None:
            return
        now = instant()
        self.trial = None
        self.ended = Ended(name=trial.name, target=trial.target, result=why.result, text=why.text, time_s=now.wall_s)
        self.results[why.result] += 1
        self.forget()
        level = logging.INFO if why.result is Result.CONFIRMED else logging.WARNING
        text = why.text if why.result is Result.CONFIRMED else f"going back: {why.text}"
        _log.log(level, "trial configuration %s: %s", trial.name, text)
        self.on_change(trial.name, why.result, text)

    def forget(self) -> None:
        """Have the disk say that no trial waits; without room for how it ended, that is lost."""
        self._troubles.pop("save", None)
        try:
            self._file.write(Remembered(ended=self.ended))
        except TemporaryError:
            try:
                self._file.remove()
            except TemporaryError as error:
                text = f"a restart would put the ended trial configuration in force again: {error}; remove this file"
                self._troubles["forget"] = text

    def _try_back(self) -> None:
        try:
            self._configuration.reload()
        except NodewardenError as error:
            self._fall_back(error)
        else:
            self._troubles.pop("back", None)
        self._is_going_back = "back" in self._troubles

    def _fall_back(self, fault: NodewardenError) -> None:
        """Put into force what was valid last: the files on disk are not."""
        try:
            self._configuration.put_back(self.base)
        except NodewardenError as error:
            self._troubles["back"] = f"the trial configuration is still in force, going back failed: {error}"
            return
        self._troubles.pop("back", None)
        _log.error("the files on disk cannot be put in force, the configuration before the trial is:\n%s", fault)

    def describe(self, now: Instant) -> dict[str, Any]:
        """Return the trial that waits and how the last one ended, as plain data."""
        trial = self.trial
        waiting = None
        if trial is not None:
            waiting = {
                "name": trial.name,
                "target": trial.target,
                "content": trial.content,
                "before": trial.before,
                "started_s": trial.started_s,
                "left_s": trial.left_s(now),
                "is_target_changed": digest(Path(trial.target), LIMIT_BYTES) != trial.before,
            }
        return {"waiting": waiting, "ended": msgspec.to_builtins(self.ended)}

    def notices(self, now: Instant) -> list[str]:
        """Say that a trial waits, or for a day how the last one ended."""
        if self.trial is not None:
            left = format_duration(float(int(self.trial.left_s(now))))
            text = (
                f"trial configuration {self.trial.name}, {left} left: `nodewarden apply --confirm` keeps it, "
                "`nodewarden apply --back` goes back"
            )
            if digest(Path(self.trial.target), LIMIT_BYTES) != self.trial.before:
                text += f"; {self.trial.target} was changed meanwhile: it is not overwritten, put both together by hand"
            return [text]
        ended = self.ended
        if ended is None or ended.result is Result.CONFIRMED or not 0.0 <= now.wall_s - ended.time_s < _TOLD_S:
            return []
        return [f"trial configuration {ended.name} ended: {ended.text}"]

    def problems(self) -> list[str]:
        """Say what keeps a trial from ending as it should."""
        return list(self._troubles.values())
