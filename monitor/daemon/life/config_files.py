"""The files that what is in force was read from, compared with those on disk: no edit that waits may be forgotten.

An operator may edit and not reload, a package may replace a filter, a reload may be refused: the daemon runs on with
what it has, and a restart would change that. So `status` says what differs, since when, and whether it could be put in
force.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from monitor.files.regular import digest_of, read_regular
from monitor.metrics.metric import Sample
from monitor.model.errors import ConfigError, TemporaryError
from monitor.model.requirements import Part, PartKind, Requirement
from monitor.settings.changes import AFTER_RESTART

_log = logging.getLogger(__name__)
_INTERVAL_S = 5.0
_SHOWN = 3
_LIMIT_BYTES = 1 << 20
_MAX_FILES = 4096
_UNREADABLE = "unreadable"
_FRESH_S = 2.0
"""A directory that was changed just now may be changed again without another time: those of files are that inexact."""
_READ_EVERY_S = 60.0
"""How often all is read, whatever times say: an edit right after a reading, or another image of a file system, may
leave them as they were."""
_AGAIN_S = 60.0
"""A fault need not be in a file: the system may have lacked something, or a group is made later."""
_REPAIR = "nodewarden config check"

Stamp = tuple[int, ...]
Stamps = dict[Path, Stamp]


class ConfigFiles:
    """What differs between the files on disk and those in force, since when, and why it is not in force."""

    def __init__(self, path: Path, find_faults: Callable[[], str]) -> None:
        """`path` is the main file; `find_faults` says what keeps the files on disk from being put in force."""
        self._path = path
        self._find_faults = find_faults
        self._more: frozenset[Path] = frozenset()
        self._in_force: dict[Path, str] = {}
        self._on_disk: dict[Path, str] = {}
        self._stamps: Stamps = {}
        self._seen: list[tuple[str, Stamp | None]] = []
        """All that was looked at, also what was not there; empty if it has to be read again."""
        self._read_s = self._looked_s = float("-inf")
        self._since_s = 0.0
        self._is_examined = True
        self._examined_s = float("-inf")
        self.fault = ""
        """Why the files on disk cannot be put in force; empty if they can, or are."""
        self.waiting: list[str] = []
        """The settings of the last reload that only a restart puts in force."""

    def follow(self, more: Iterable[Path]) -> None:
        """Take the files as they are now for those in force; `more` are files that the configuration names."""
        self._more = frozenset(more)
        self._stamps, self._in_force = self._read({}, {})
        self._on_disk = self._in_force
        self._since_s, self._is_examined, self.fault = 0.0, True, ""

    def refuse(self, fault: str, now_s: float) -> None:
        """Note that the files on disk cannot be put in force."""
        self._stamps, self._on_disk = self._read(self._stamps, self._on_disk)
        self._since_s = self._since_s or now_s
        self._is_examined, self._examined_s, self.fault = False, now_s, fault

    @property
    def changed(self) -> list[Path]:
        """The files that are not as they were when they were put in force."""
        paths = sorted(self._in_force.keys() | self._on_disk.keys())
        return [path for path in paths if self._in_force.get(path, "") != self._on_disk.get(path, "")]

    @property
    def has_news(self) -> bool:
        """Whether ticks have to be done: what changed is not tried out yet."""
        return not self._is_examined

    def tick(self, now_s: float) -> None:
        """Compare from time to time. What changed is tried out once it has stayed the same for one interval."""
        if 0 <= now_s - self._looked_s < _INTERVAL_S:
            return
        self._looked_s = now_s
        on_disk = self._on_disk
        if not 0 <= now_s - self._read_s < _READ_EVERY_S:
            self._read_s = now_s
            self._stamps, on_disk = self._read(self._stamps, self._on_disk, is_all=True)
        elif not self._is_untouched():
            self._stamps, on_disk = self._read(self._stamps, self._on_disk)
        if on_disk != self._on_disk:
            self._on_disk, self._is_examined = on_disk, False
            if not self.changed:
                self._since_s, self.fault, self._is_examined = 0.0, "", True
                _log.info("the configuration on disk is again the one in force")
            self._since_s = self._since_s or (now_s if self.changed else 0.0)
            if not self._has_settled(now_s):
                return
        if not self._is_examined or (self.fault and not 0 <= now_s - self._examined_s < _AGAIN_S):
            self._is_examined, self._examined_s = True, now_s
            known, self.fault = self.fault, self._find_faults()
            if self.fault and self.fault != known:
                _log.warning("the configuration on disk cannot be put in force:\n%s", self.fault)

    def _has_settled(self, now_s: float) -> bool:
        """Whether all that changed did so an interval ago: a daemon that rested need not wait for another one."""
        ctimes_ns = [self._stamps[path][1] if path in self._stamps else None for path in self.changed]
        return all(one is not None and now_s - one / 1e9 >= _INTERVAL_S for one in ctimes_ns)

    def problems(self) -> list[str]:
        """Say what keeps the files on disk from being put in force."""
        if not self.fault:
            return []
        what = "the configuration in force has faults, so that a reload was refused"
        if self.changed:
            since = f"since {_moment(self._since_s)} (changed: {self._names()})"
            what = f"the configuration on disk is faulty or cannot be read, an older one is in force {since}"
        return [f"{what}:\n{self.fault}"]

    def notices(self) -> list[str]:
        """Say what differs from what is in force."""
        waiting = [f"{', '.join(self.waiting)} changed: {AFTER_RESTART}"] if self.waiting else []
        if self.fault or not self.changed:
            return waiting
        what = f"the configuration on disk differs from the one in force since {_moment(self._since_s)}"
        return [f"{what}: {self._names()}; `nodewarden reload` puts it in force", *waiting]

    def part(self) -> Part:
        """Return what doctor says about it."""
        first, *rest = self.fault.splitlines() or [""]
        more = f" and {len(rest)} more" if rest else ""
        needed = Requirement("files that can be put in force", first and f"{first}{more}", _REPAIR)
        return Part("configuration", PartKind.SERVICE, is_wanted=True, requirements=[needed])

    def samples(self) -> list[Sample]:
        """Return whether files on disk are valid, and in force."""
        return [
            ("nodewarden_config_last_reload_successful", (), float(not self.fault)),
            ("nodewarden_config_in_force", (), float(not self.changed and not self.waiting)),
        ]

    def _names(self) -> str:
        names = [f"{path}{'' if path in self._on_disk else ' (gone)'}" for path in self.changed]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ", ".join(names[:_SHOWN]) + more

    def _read(
        self, stamps: Stamps, digests: Mapping[Path, str], *, is_all: bool = False
    ) -> tuple[Stamps, dict[Path, str]]:
        """Return stamp and digest of each file that is there; one whose stamp is known is not read again.

        `is_all`: it is, and only if the system lacks something for that it counts as before.
        """
        new_stamps: Stamps = {}
        found: dict[Path, str] = {}
        directory = self._path.parent / "conf.d"
        changed = _stamp(directory)
        seen = [(str(directory), changed)]
        names = _names_in(directory)
        is_sure = names is not None and (changed is None or abs(time.time() - changed[0] / 1e9) >= _FRESH_S)
        for path in self._paths(directory, names or ()):
            stamp = _stamp(path)
            seen.append((str(path), stamp))
            if stamp is None:
                continue
            known = digests.get(path, "") if stamps.get(path) == stamp else ""
            digest = _digest(path) if is_all or not known else known
            found[path] = known if known and digest.startswith(_UNREADABLE) else digest
            if found[path].startswith(_UNREADABLE):  # it may be readable the next time
                is_sure = False
            else:
                new_stamps[path] = stamp
        self._seen = seen if is_sure else []
        return new_stamps, found

    def _is_untouched(self) -> bool:
        """Return whether all files, and the names in the directory, are those of the last reading."""
        return bool(self._seen) and all(_stamp(path) == stamp for path, stamp in self._seen)

    def _paths(self, directory: Path, names: Iterable[str]) -> set[Path]:
        paths = {self._path, *self._more}
        paths.update(directory / one for one in names if one.endswith(".yaml") and not one.startswith("."))
        return paths if len(paths) <= _MAX_FILES else set(sorted(paths)[:_MAX_FILES])


def fault_of(examine: Callable[[], object]) -> str:
    """Return the faults that trying out the configuration raises; empty if there are none."""
    try:
        examine()
    except (ConfigError, TemporaryError) as error:
        return str(error)
    return ""


def _names_in(directory: Path) -> list[str] | None:
    """Return the names in a directory, none if it is not there; None if the system lacks something."""
    try:
        with os.scandir(directory) as entries:
            return [one.name for one in entries]
    except FileNotFoundError:
        return []
    except OSError:
        return None


def _stamp(path: str | Path) -> Stamp | None:
    """Return what changes with a file; None if it is not there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path costs more than the question
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode


def _digest(path: Path) -> str:
    try:
        return digest_of(read_regular(path, _LIMIT_BYTES))
    except (OSError, ValueError) as error:
        return f"{_UNREADABLE}: {error}"


def _moment(time_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_s))
