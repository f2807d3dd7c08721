"""Search databases: compiled by a thread, and kept on disk, so that neither a start nor a new log holds up bans.

Compiling takes 85 ms for the filter of sshd and 3 s for forty filters; Hyperscan leaves the interpreter to others
meanwhile. Reading a compiled one takes less than a millisecond. A file is used only if nobody else can have written it,
it is whole (`monitor.files.kept`), and it was compiled by this version for this processor; otherwise it is compiled
anew.
"""

import contextlib
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any

from monitor.files.kept import KeptFiles

try:
    import hyperscan as hyperscan  # noqa: PLC0414 - for the scanner, too
except ImportError:  # no wheel for this machine: every line is a candidate, with the same result
    hyperscan = None  # type: ignore[assignment]

DIRECTORY = "filters"
"""Its name below the state directory."""
_SUFFIX = ".hs"
_MAX_BYTES = 64 << 20
"""The most that one file may have."""
MAX_FILES = 512
"""A log has one, as do expressions that are not known to be searchable; as many logs are followed."""
_YES, _NO = b"searchable", b"too large"


class Databases:
    """Gives databases by their expressions; without a directory nothing is kept."""

    def __init__(self, directory: Path | None = None) -> None:
        """Keep what is compiled in `directory`, which is made when it is needed."""
        self._is_keeping = directory is not None
        self._files = KeptFiles(directory, _SUFFIX, _MAX_BYTES, max_files=MAX_FILES, makes_directory=True)

    def get(self, expressions: Sequence[bytes]) -> "Future[Any]":
        """Return the database; done at once if it was kept, else as soon as a thread has compiled it."""
        found: Future[Any] = Future()
        key = _key(expressions) if self._is_keeping else ""
        if key and (kept := self._read(key)):
            found.set_result(kept)
            return found

        def work() -> None:
            try:
                database = compile_database(expressions)
            except Exception as error:  # noqa: BLE001 - who asked gets it
                found.set_exception(error)
                return
            found.set_result(database)
            if key:
                self._files.put(key, hyperscan.dumpb(database))

        _compiler.add(work)
        return found

    def can_search(self, expression: bytes) -> bool:
        """Whether Hyperscan takes an expression; to try a large one takes 0.2 s, so the answer is kept as well."""
        key = _key([_YES, expression]) if self._is_keeping else ""
        if key and (kept := self._files.get(key)) in (_YES, _NO):
            return kept == _YES
        try:
            compile_database([expression])
            answer = _YES
        except hyperscan.error:
            answer = _NO
        if key:
            self._files.put(key, answer)
        return answer == _YES

    def _read(self, key: str) -> Any:
        """Return a database that was kept; None if there is none that can be trusted."""
        if (content := self._files.get(key)) is None:
            return None
        try:
            database = hyperscan.loadb(content, hyperscan.HS_MODE_BLOCK)
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


def _key(expressions: Sequence[bytes]) -> str:
    """Return the digest of all that a database follows from."""
    digest = hashlib.sha256(_built_by())
    for one in expressions:
        digest.update(len(one).to_bytes(4) + one)
    return digest.hexdigest()


@cache
def _built_by() -> bytes:
    """Return what a database fits to: the version of the library and the abilities of the processor."""
    text = f"1 {getattr(hyperscan, '__version__', '')} {compile_database([b'x']).info()!r} {os.uname().machine}"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        text += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return text.encode()
