"""Search databases: compiled by a thread, and kept on disk, so that neither a start nor a new log holds up bans.

Compiling takes 85 ms for the filter of sshd and 3 s for forty filters; Hyperscan leaves the interpreter to others
meanwhile. Reading a compiled one takes less than a millisecond. A file is used only if nobody but its owner, who is
root or this user, can have written it, it is whole, and it was compiled by this version for this processor; otherwise
it is compiled anew.
"""

import contextlib
import hashlib
import logging
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

try:
    import hyperscan as hyperscan  # noqa: PLC0414 - for the scanner, too
except ImportError:  # no wheel for this machine: every line is a candidate, with the same result
    hyperscan = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)
DIRECTORY = "filters"
"""Its name below the state directory."""
_SUFFIX = ".hs"
_MAX_BYTES = 64 << 20
"""The most that one file may have."""
_MAX_FILES = 64
_DIGEST_BYTES = 32


class Databases:
    """Gives databases by their expressions; without a directory nothing is kept."""

    def __init__(self, directory: Path | None = None) -> None:
        """Keep what is compiled in `directory`, which is made when it is needed."""
        self._directory = directory

    def get(self, expressions: Sequence[bytes]) -> "Future[Any]":
        """Return the database; done at once if it was kept, else as soon as a thread has compiled it."""
        found: Future[Any] = Future()
        path = self._path(expressions)
        if path and (kept := self._read(path)):
            found.set_result(kept)
            return found

        def work() -> None:
            try:
                database = compile_database(expressions)
            except Exception as error:  # noqa: BLE001 - who asked gets it
                found.set_exception(error)
                return
            found.set_result(database)
            if path:
                _write(path, hyperscan.dumpb(database))

        _compiler.add(work)
        return found

    def _path(self, expressions: Sequence[bytes]) -> Path | None:
        if self._directory is None:
            return None
        digest = hashlib.sha256(_built_by())
        for one in expressions:
            digest.update(len(one).to_bytes(4) + one)
        return self._directory / (digest.hexdigest() + _SUFFIX)

    def _read(self, path: Path) -> Any:
        """Return a database that was kept; None if there is none that can be trusted."""
        if not _is_ours_alone(path.parent.lstat) or (content := _content(path)) is None:
            return None
        if hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
            return None
        try:
            database = hyperscan.loadb(content[_DIGEST_BYTES:], hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
        except hyperscan.error:
            return None
        return database


class _Compiler:
    """Carries out work one after the other, in a thread that lives as long as there is some."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_running = False

    def add(self, work: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.append(work)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="compiling filters", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return
                work = self._waiting.popleft()
            work()


_compiler = _Compiler()


def compile_database(expressions: Sequence[bytes]) -> Any:
    """Compile; whoever gets a match learns the number of the expression. Raises `hyperscan.error`."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=list(expressions), ids=list(range(len(expressions))), flags=0)
    return database


def _is_ours_alone(look: Any) -> bool:
    """Whether only root or this user can have written something."""
    try:
        found: os.stat_result = look()
    except OSError:
        return False
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISVTX)


def _content(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        found = os.fstat(descriptor)
        is_fit = stat.S_ISREG(found.st_mode) and _is_ours_alone(lambda: found) and found.st_size <= _MAX_BYTES
        with contextlib.suppress(OSError):
            return file.read(_MAX_BYTES) if is_fit else None
    return None


def _write(path: Path, database: bytes) -> None:
    """Keep a database; that this fails costs the next start some time, and nothing else."""
    new = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _forget(path.parent)
        new.write_bytes(hashlib.sha256(database).digest() + database)
        new.chmod(0o600)
        new.replace(path)
    except OSError as error:
        _log.info("a compiled filter is not kept: %s", error)
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _forget(directory: Path) -> None:
    """Delete the oldest files, so that changed filters do not fill the disk."""
    found = sorted((one for one in directory.iterdir() if one.is_file()), key=lambda one: one.lstat().st_mtime)
    for old in found[: max(0, len(found) + 1 - _MAX_FILES)]:
        old.unlink(missing_ok=True)


@cache
def _built_by() -> bytes:
    """Return what a database fits to: the version of the library and the abilities of the processor."""
    text = f"1 {getattr(hyperscan, '__version__', '')} {compile_database([b'x']).info()!r} {os.uname().machine}"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        text += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return text.encode()
