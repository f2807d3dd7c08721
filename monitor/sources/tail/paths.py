"""Which log files there are by patterns of glob(7), and the directories to watch so that new ones are noticed."""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from fnmatch import translate
from glob import escape
from typing import NamedTuple, TypeAlias

from monitor.files import inotify
from monitor.sources.tail.cursors import base_names, is_compressed

_MAX_DIRECTORIES = 1024
_MAX_ENTRIES = 20_000
_MANY_ENTRIES = 2_000
_MAX_PROBLEMS = 16
_IS_PATTERN = re.compile(r"[*?\[]")


Share: TypeAlias = tuple[str, int]
"""A pattern, and the account that owns files which it leads to."""


class Match(NamedTuple):
    """A file that patterns lead to."""

    path: str
    detectors: tuple[str, ...]
    changed_ns: int
    shares: tuple[Share, ...]
    """Each pattern that leads to it, with the owner of the file."""


class Paths:
    """Looks for files and watches the directories on the way to them, from the root down.

    Directories are watched for the next name only. What cannot be followed is said in `problems`.
    """

    def __init__(self, patterns: Mapping[str, Sequence[str]], watcher: inotify.Inotify) -> None:
        """`patterns`: absolute patterns by detector."""
        self.problems: list[str] = []
        self.waiting: list[str] = []
        """Patterns that no file matches."""
        self._watcher = watcher
        self._patterns: dict[str, set[str]] = {}
        for detector, wanted in patterns.items():
            for pattern in wanted:
                self._patterns.setdefault(os.path.normpath(pattern), set()).add(detector)
        self._watches: dict[int, dict[str, re.Pattern[str]]] = {}
        """By watch of a directory: the names that matter there."""
        self._listed: dict[str, list[str]] = {}
        self._entries = 0
        self._candidates: dict[str, set[str]] = {}

    @property
    def is_costly(self) -> bool:
        """Whether the last `scan` had so many entries to read that it should not be done for every change."""
        return self._entries > _MANY_ENTRIES

    def is_relevant(self, watch: int, mask: int, name: str) -> bool:
        """Whether an event of inotify can mean that another file is to be followed."""
        names = self._watches.get(watch)
        if names is None:
            return False
        return bool(mask & (inotify.UNMOUNT | inotify.IGNORED)) or any(known.match(name) for known in names.values())

    def scan(self) -> dict[tuple[int, int], Match]:
        """Return what is there now, by device and inode; directories are watched before they are listed."""
        before, self._watches = self._watches, {}
        self._listed, self._entries, self._candidates, self.problems = {}, 0, {}, []
        for pattern in self._patterns:
            self._walk("/", pattern.strip("/").split("/"), pattern)
        found = self._matches()
        self._listed = {}
        for watch in before.keys() - self._watches.keys():
            self._watcher.remove(watch)
        return found

    def _walk(self, directory: str, names: list[str], pattern: str) -> None:
        """Follow what is left of a pattern from this directory on."""
        self._watch(directory, names[0])
        for name in self._names(directory, names[0]):
            path = os.path.join(directory, name)  # noqa: PTH118 - text all along
            if len(names) == 1:
                self._candidates.setdefault(path, set()).add(pattern)
            elif os.path.isdir(path):  # noqa: PTH112
                self._walk(path, names[1:], pattern)

    def _names(self, directory: str, pattern: str) -> list[str]:
        """Return the names in a directory that match; one that is no pattern is not looked up."""
        if not _IS_PATTERN.search(pattern):
            return [pattern]
        expression = re.compile(translate(pattern))
        return [
            name
            for name in self._list(directory)
            # Names go to the status and to logs: what others chose to break those is no log file
            if expression.match(name) and name.startswith(".") <= pattern.startswith(".") and name.isprintable()
        ]

    def _list(self, directory: str) -> list[str]:
        if directory not in self._listed:
            names = self._listed[directory] = []
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        self._entries += 1
                        if self._entries > _MAX_ENTRIES:
                            self._say(f"not all log files are found: more than {_MAX_ENTRIES} names to check")
                            break
                        names.append(entry.name)
            except OSError as error:
                self._say(f"log files in {directory} cannot be listed: {error.strerror}")
        return self._listed[directory]

    def _matches(self) -> dict[tuple[int, int], Match]:
        """Return the regular files among the candidates, each once."""
        found: dict[tuple[int, int], Match] = {}
        waiting = dict.fromkeys(self._patterns)
        for path, patterns in sorted(self._candidates.items()):
            if is_compressed(path) or self._is_older_generation(path):
                continue
            try:
                status = os.stat(path)  # noqa: PTH116 - many of them
            except PermissionError as error:
                self._say(f"{path} cannot be examined: {error.strerror}")
                continue
            except (OSError, ValueError):
                continue
            if not stat.S_ISREG(status.st_mode):
                continue
            identity = status.st_dev, status.st_ino
            first = found.get(identity)
            detectors = set(first.detectors if first else ()).union(*(self._patterns[pattern] for pattern in patterns))
            shares = (first.shares if first else ()) + tuple((pattern, status.st_uid) for pattern in sorted(patterns))
            found[identity] = Match(first.path if first else path, tuple(sorted(detectors)), status.st_mtime_ns, shares)
            self._watch_target(path)
            for pattern in patterns:
                waiting.pop(pattern, None)
        self.waiting = list(waiting)
        return found

    def _is_older_generation(self, path: str) -> bool:
        """Whether this is `NAME.1` or the like of a log that is followed itself."""
        directory, name = os.path.split(path)
        bases = (os.path.join(directory, base) for base in base_names(name))  # noqa: PTH118
        return any(base in self._candidates and os.path.isfile(base) for base in bases)  # noqa: PTH113

    def _watch_target(self, path: str) -> None:
        """Watch the directory of a symbolic link's target: that is where it is rotated."""
        if os.path.islink(path):  # noqa: PTH114 - many of them
            directory, name = os.path.split(os.path.realpath(path))
            self._watch(directory, escape(name))

    def _watch(self, directory: str, name: str) -> None:
        if not self._watcher.works:
            return
        if len(self._watches) >= _MAX_DIRECTORIES:
            self._say(f"new log files are noticed late: more than {_MAX_DIRECTORIES} directories to watch")
            return
        watch = self._watcher.add(directory, inotify.ENTRIES)
        if watch >= 0:
            names = self._watches.setdefault(watch, {})
            if name not in names:
                names[name] = re.compile(translate(name))

    def _say(self, problem: str) -> None:
        if problem not in self.problems and len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(problem)
