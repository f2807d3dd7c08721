"""Names what a compiled program follows from, so that one is used again only where compiling would yield it again."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from monitor.ebpf.headers import source_directory, system_headers

_COMPILERS = ("libbcc.so.*", "libLLVM*.so*", "libclang*.so*")


def cache_key(*parts: object) -> str:
    """Return a digest of these parts, our own sources, the compiler, the headers and the release of the kernel.

    Our own sources are read; of the distribution's files, which are large, size and time of change count.
    """
    digest = hashlib.sha256()
    for path in _own_files():
        digest.update(msgspec.msgpack.encode((path.name, path.read_bytes())))
    kernel = os.uname()
    found = [_identity(path) for path in _system_files()]
    digest.update(msgspec.msgpack.encode((found, kernel.release, kernel.machine, parts)))
    return digest.hexdigest()


def _own_files() -> Iterator[Path]:
    """Yield the programs with their headers, and the package that compiles them."""
    yield from sorted(path for path in source_directory().rglob("*.[ch]") if path.is_file())
    yield from sorted(Path(__file__).parent.glob("*.py"))


def _system_files() -> Iterator[Path]:
    """Yield files that change whenever the compiler or the headers of the system do."""
    general, own = system_headers()
    yield general / "linux/version.h"
    bindings = importlib.util.find_spec("bcc")
    if bindings and bindings.origin:
        yield Path(bindings.origin)
    libraries = Path("/usr/lib", own.name)
    for pattern in _COMPILERS:
        yield from sorted(libraries.glob(pattern))


def _identity(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, 0
    return str(path), status.st_size, status.st_mtime_ns
