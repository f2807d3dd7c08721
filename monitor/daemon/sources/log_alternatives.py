"""Where a detector with `backend: auto` can read: files or the journal. Which of them counts, `log_choice` says."""

import glob
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import msgspec

from monitor.detectors.failures import Backend, FailuresSettings
from monitor.filters.definition import FilterDefinition
from monitor.filters.syslog_files import is_syslog_file
from monitor.model.errors import ConfigError
from monitor.model.pods import pattern_of

JournalMatches: TypeAlias = tuple[tuple[str, ...], ...]
"""Lines of journalctl(1)'s terms."""

_MAX_TRIED = 64
_JOURNALS = ("run/log/journal", "var/log/journal")


class Alternatives(msgspec.Struct, frozen=True):
    """What the log of one detector can be, in this order: the first that is there counts, and no other."""

    files: tuple[str, ...]
    """Files that count before the journal: those that the configuration names, or only the application writes."""
    matches: JournalMatches
    """What to read of the journal."""
    rest: tuple[str, ...]
    """Files that count where there is no journal: a syslog daemon writes there what the journal has, too."""
    is_journal_only: bool = False
    """Whether the configuration says so; no matches then mean the whole journal."""

    @property
    def is_choice(self) -> bool:
        """Whether there is more than one place."""
        return bool(self.matches and (self.files or self.rest))

    def files_to_read(self, *, has_journal: bool) -> tuple[str, ...]:
        """Return the files that may count."""
        return self.files if has_journal else self.files + self.rest


def alternatives(
    own_files: tuple[str, ...], own_matches: JournalMatches, files: tuple[str, ...], matches: JournalMatches
) -> Alternatives:
    """Return where to read, by what the section of a detector names (`own_`) and what its filter does.

    Files that the section names come first. A section that names only what to read in the journal means the journal.
    """
    if own_files:
        return Alternatives(own_files, own_matches, ())
    if own_matches:
        return Alternatives((), own_matches, files)
    first = tuple(pattern for pattern in files if not is_syslog_file(pattern))
    return Alternatives(first, matches, tuple(pattern for pattern in files if is_syslog_file(pattern)))


def find_journal(root: Path = Path("/"), known: str = "") -> str:
    """Return a directory in which journald keeps a journal, in memory or on disk, one a machine; empty without one.

    Asked every few seconds, so it only looks whether the `known` one is still there, if there is one.
    """
    if known and os.path.isdir(known):  # noqa: PTH112 - a path costs more than the question
        return known
    return next(filter(None, (_directory_in(root / directory) for directory in _JOURNALS)), "")


def _directory_in(path: Path) -> str:
    try:
        with os.scandir(path) as entries:
            return next((entry.path for entry in entries if entry.is_dir()), "")
    except OSError:
        return ""


def is_any_there(patterns: Iterable[str]) -> bool:
    """Whether one of these absolute patterns of glob(7) leads to something."""
    return any(glob.glob(pattern) for pattern in patterns)  # noqa: PTH207 - Path.glob would take ** for whole trees


def is_any_readable(patterns: Iterable[str]) -> bool:
    """Whether one of these absolute patterns of glob(7) leads to a file that this process may read."""
    found = (path for pattern in patterns for path in glob.iglob(pattern))  # noqa: PTH207
    return any(os.access(path, os.R_OK, effective_ids=True) for path in islice(found, _MAX_TRIED))


def nothing_there(patterns: Iterable[str], *, is_journal_absent: bool) -> str:
    """Say that there is nothing to read: no file, and no journal where it could be read instead."""
    also = ", and there is no journal" if is_journal_absent else ""
    return f"no file matches {' or '.join(patterns)}{also}"


def where_to_read(
    section: FailuresSettings, definition: FilterDefinition, *, reads_journal: bool, reads_files: bool
) -> Alternatives:
    """Return what a section can read, with these sources on; where it is the journal alone, no files are named."""
    own = tuple(tuple(line.split()) for line in section.journalmatch)
    if section.backend is Backend.JOURNAL:
        return Alternatives((), own or definition.journalmatch, (), is_journal_only=True)
    files = (*section.files, *map(pattern_of, section.pods))
    found = alternatives(files, own, definition.files, definition.journalmatch)
    if section.backend is Backend.FILES or not found.matches or not reads_journal:
        return Alternatives(found.files + found.rest, (), ())
    is_journal_only = not found.is_choice or not reads_files
    return Alternatives((), found.matches, (), is_journal_only=True) if is_journal_only else found


def check_files(patterns: tuple[str, ...], *, is_read: bool) -> None:
    """Raise ConfigError if these files cannot be what a detector reads; `is_read`: files are read at all."""
    if not is_read:
        raise ConfigError("it reads files, but sources.files is off")
    if not patterns:
        raise ConfigError("neither section nor filter say which files to read: name them in `files`")
    for pattern in patterns:
        if not pattern.startswith("/"):
            raise ConfigError(f"{pattern!r} is not an absolute path")
