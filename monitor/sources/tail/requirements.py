"""What log files require: that those that detectors read may be read."""

from collections.abc import Mapping
from glob import iglob
from itertools import islice
from pathlib import Path

import msgspec

from monitor.files.access import denied
from monitor.model.requirements import Part, PartKind, Privileges, Requirement, drop_in
from monitor.sources.log_scanner import LogTargets
from monitor.sources.tail.files import MAX_FILES
from monitor.sources.tail.reader import Tail
from monitor.sources.tail.settings import FilesSettings

_HOMES = ("/home", "/root", "/run/user")
"""What ProtectHome= hides."""


class FilesFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    files: Mapping[str, tuple[str, ...]]
    """By detector that reads files: those that may not be read."""
    crowded: tuple[str, ...] = ()
    """Patterns of which each leads to more files than can be followed in all."""
    hidden: tuple[str, ...] = ()
    """Directories among them that the unit's ProtectHome= hides."""

    def parts(self, settings: FilesSettings, _privileges: Privileges) -> list[Part]:
        """Return the files as a part, with a requirement for each that may not be read."""
        requirements = [
            Requirement(f"{path} (detector {name})", "may not be read", _repair(path, is_hidden=path in self.hidden))
            for name, paths in self.files.items()
            for path in paths
        ]
        requirements += [
            Requirement(f"at most {MAX_FILES} log files", f"{pattern} leads to more", f"ls -lt {pattern}")
            for pattern in self.crowded
        ]
        return [Part(Tail.name, PartKind.SOURCE, settings.enabled and bool(self.files), requirements)]


def probe(_settings: FilesSettings, targets: LogTargets) -> FilesFindings:
    """Check the permissions of the files, and of the directories that lead to them."""
    wanted = {pattern for patterns in targets.files.values() for pattern in patterns}
    files = {name: tuple(denied(patterns)) for name, patterns in targets.files.items()}
    crowded = tuple(pattern for pattern in sorted(wanted) if _leads_to_more(pattern))
    hidden = tuple(sorted({path for paths in files.values() for path in paths if _is_hidden(path)}))
    return FilesFindings(files, crowded, hidden)


def _repair(path: str, *, is_hidden: bool) -> str:
    if is_hidden:
        return drop_in("protect-home", "ProtectHome=read-only")
    return f"chgrp adm {path} && chmod g+rX {path}"


def _is_hidden(path: str) -> bool:
    """Whether systemd put an inaccessible directory, which has no permissions at all, over it (systemd.exec(5))."""
    try:
        return path in _HOMES and not Path(path).stat().st_mode & 0o777
    except OSError:
        return False


def _leads_to_more(pattern: str) -> bool:
    return sum(1 for _ in islice(iglob(pattern), MAX_FILES + 1)) > MAX_FILES  # noqa: PTH207 - an absolute pattern
