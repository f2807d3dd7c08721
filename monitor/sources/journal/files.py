"""The files of systemd's journal: where they are, opening them, and which of them libsystemd could not open."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monitor.model.errors import PermanentError
from systemd import journal

_ROOTS = (Path("/var/log/journal"), Path("/run/log/journal"))
_MACHINE_ID = Path("/etc/machine-id")
_MACHINE_DIRECTORY = re.compile(r"[0-9a-f]{32}")
_OPEN_FILES = Path("/proc/self/fd")


def open_reader(directory: Path | None) -> Any:
    """Return a reader of all files there are; PermanentError with the remedy."""
    where = " or ".join(str(path) for path in _directories(directory))
    try:
        check_access(directory)
        # not SYSTEM_ONLY: what services with ordinary accounts write is in the files of users
        return journal.Reader(path=str(directory)) if directory else journal.Reader(flags=journal.LOCAL_ONLY)
    except PermissionError as error:
        raise PermanentError(
            f"the journal at {where} may not be read; run as root or add the account to the group systemd-journal"
        ) from error
    except OSError as error:
        raise PermanentError(
            f"there is no journal at {where} ({error.strerror}); start systemd-journald with Storage=auto, persistent "
            "or volatile, or read log files instead"
        ) from error


def check_access(directory: Path | None) -> None:
    """Raise the OSError that libsystemd keeps to itself: it opens a journal without any readable file.

    None looks where journald keeps its files.
    """
    failures = []
    for path in _directories(directory):
        try:
            os.scandir(path).close()
        except OSError as error:
            failures.append(error)
    if len(failures) == len(_directories(directory)):
        raise failures[0]
    files = journal_files(directory)
    needed = [path for path in files if path.name.startswith("system")] or files
    if needed and not any(os.access(path, os.R_OK, effective_ids=True) for path in needed):
        raise PermissionError


def missing_roots(directory: Path | None) -> list[Path]:
    """Return the directories that libsystemd looks into but that do not exist: it never sees them appear later."""
    return [root for root in ([directory] if directory else _ROOTS) if not root.exists()]


def _directories(directory: Path | None) -> list[Path]:
    """Return the directories that hold, or will hold, the journal's files."""
    if directory:
        return [directory]
    return [root / machine_id().decode() for root in _ROOTS]


def machine_id() -> bytes:
    """Return the id of this machine, as journald writes it into entries; empty if it cannot be read."""
    try:
        return _MACHINE_ID.read_text("ascii").strip().encode()
    except (OSError, ValueError):
        return b""


def journal_files(directory: Path | None) -> list[Path]:
    """Return the files that libsystemd reads there, in no order; those that journald set aside (`~`) among them."""
    directories = _directories(directory)
    if directory:
        directories += [path for path in _entries(directory) if _MACHINE_DIRECTORY.fullmatch(path.name)]
    return [path for found in directories for path in _entries(found) if path.name.endswith((".journal", ".journal~"))]


def _entries(directory: Path) -> Iterable[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return ()


def not_open(files: Iterable[Path]) -> list[Path]:
    """Return those of the files that this process has not open: libsystemd drops what it cannot read in silence."""
    opened = set()
    for link in _OPEN_FILES.iterdir():
        try:
            status = os.fstat(int(link.name))
        except OSError:  # the descriptor of the listing itself
            continue
        opened.add((status.st_dev, status.st_ino))
    missing = []
    for path in sorted(files):
        try:
            status = path.stat()
        except OSError:  # vacuumed meanwhile
            continue
        if (status.st_dev, status.st_ino) not in opened:
            missing.append(path)
    return missing
