"""Who besides root may write a log file, or put another in its place."""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from monitor.model.writers import FileWriter, Grant, Holder

_ROOT = 0
_MAX_GRANTS = 32
"""Of one file; where there are more, everybody counts as permitted."""

# linux/posix_acl.h, linux/posix_acl_xattr.h
_ACL = "system.posix_acl_access"
_ACL_HEADER_BYTES = 4
_ACL_ENTRY = struct.Struct("<HHI")
_USER, _GROUP_OBJECT, _GROUP, _MASK, _OTHER = 0x02, 0x04, 0x08, 0x10, 0x20
_WRITE = 2
_MAX_LINKS = 40  # path_resolution(7)

_EVERYBODY = Grant(Holder.EVERYBODY, 0)

Grants = tuple[Grant, ...]


def file_writer(path: str, descriptor: int | None = None, known: dict[str, Grants] | None = None) -> FileWriter:
    """Return who besides root and our own account may write this file.

    Checked are the file itself (the open `descriptor`, where given), and every directory that leads to it, along the
    path as it is and along what it really names. `known` remembers what was found of directories between calls.
    """
    known = {} if known is None else known
    try:
        status = Path(path).stat() if descriptor is None else os.fstat(descriptor)
        grants = others(status, _acl(path if descriptor is None else descriptor))
        real = os.path.realpath(path)
        if real != path and not os.path.samestat(Path(real).stat(), status):
            return FileWriter(path, fault="its path leads elsewhere meanwhile")
        for way in dict.fromkeys((path, real)):
            grants += tuple(grant for directory in _parents(path=way) for grant in _of_directory(directory, known))
        for link in _links(path):
            grants += _of_link(link)
            grants += tuple(grant for directory in _parents(link) for grant in _of_directory(directory, known))
    except (OSError, ValueError) as error:
        fault = f"who may write it is not known: {getattr(error, 'strerror', '') or error}"
        return FileWriter(path, fault=fault)
    return FileWriter(path, real, _bounded(grants))


def _of_directory(directory: str, known: dict[str, Grants]) -> Grants:
    """Return who may replace what is in a directory."""
    if directory not in known:
        status = Path(directory).stat()
        # In a sticky directory others cannot replace what is not theirs; its owner can
        is_sticky = bool(status.st_mode & stat.S_ISVTX)
        found = _owner(status) if is_sticky else others(status, _acl(directory))
        known[directory] = _indirect(found, f"may replace what is in {directory}")
    return known[directory]


def _links(path: str) -> Iterator[str]:
    """Yield the symbolic links that a path leads through, each where it lies; OSError after too many."""
    done = "/"
    left = [part for part in path.split("/") if part]
    followed = 0
    while left:
        done = os.path.normpath(f"{done}/{left.pop(0)}")
        if not os.path.islink(done):  # noqa: PTH114 - a string
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        yield done
        target = os.readlink(done)  # noqa: PTH115 - a string
        left = [part for part in target.split("/") if part] + left
        done = "/" if target.startswith("/") else os.path.dirname(done)  # noqa: PTH120 - a string


def _of_link(path: str) -> Grants:
    """Return the owner of a symbolic link, who may lead it to any file."""
    status = Path(path).lstat()
    return _indirect(_owner(status), "may lead it elsewhere") if stat.S_ISLNK(status.st_mode) else ()


def _indirect(grants: Grants, effect: str) -> Grants:
    return tuple(Grant(one.holder, one.number, effect, is_direct=False) for one in grants)


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count]) or "/"


def _bounded(grants: Grants) -> Grants:
    distinct = tuple(dict.fromkeys(grants))
    return distinct if len(distinct) <= _MAX_GRANTS else (*distinct[: _MAX_GRANTS - 1], _EVERYBODY)


def others(status: os.stat_result, acl: bytes = b"") -> Grants:
    """Return who else may write what has this status and this access control list (xattr form)."""
    found = _owner(status)
    if acl:
        return _bounded(found + tuple(_listed(status, acl)))
    if status.st_mode & stat.S_IWOTH:
        found += (_EVERYBODY,)
    if status.st_mode & stat.S_IWGRP:
        found += _group(status.st_gid)
    return found


def _listed(status: os.stat_result, acl: bytes) -> Iterator[Grant]:
    """Yield all whom the list lets write; one that cannot be understood lets everybody."""
    body = acl[_ACL_HEADER_BYTES:]
    if len(body) % _ACL_ENTRY.size:
        yield _EVERYBODY
        return
    entries = list(_ACL_ENTRY.iter_unpack(body))
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), _WRITE)
    for tag, permissions, number in entries:
        if tag == _OTHER and permissions & _WRITE:
            yield _EVERYBODY
        elif permissions & mask & _WRITE:
            if tag == _USER:
                yield from _account(number)
            elif tag in (_GROUP_OBJECT, _GROUP):
                yield from _group(status.st_gid if tag == _GROUP_OBJECT else number)


def _owner(status: os.stat_result) -> Grants:
    return _account(status.st_uid)


def _account(number: int) -> Grants:
    # Our own account: who controls us needs no forged line
    return () if number in (_ROOT, os.geteuid()) else (Grant(Holder.ACCOUNT, number),)


def _group(number: int) -> Grants:
    return () if number == _ROOT else (Grant(Holder.GROUP, number),)


def _acl(target: str | int) -> bytes:
    try:
        return os.getxattr(target, _ACL)
    except OSError:  # none, or a file system without
        return b""
