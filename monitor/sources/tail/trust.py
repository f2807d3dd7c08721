"""Who besides root and system accounts could write a log file: what such a file says proves nothing."""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_FIRST_USER_ID = 1000  # login.defs(5): UID_MIN, GID_MIN
_ORDINARY_GROUPS = frozenset((100,))  # `users`: distributions put people there

# linux/posix_acl.h, linux/posix_acl_xattr.h
_ACL = "system.posix_acl_access"
_ACL_HEADER_BYTES = 4
_ACL_ENTRY = struct.Struct("<HHI")
_USER, _GROUP_OBJECT, _GROUP, _MASK, _OTHER = 0x02, 0x04, 0x08, 0x10, 0x20
_WRITE = 2


def untrusted_reason(path: str, descriptor: int | None = None, known: dict[str, str] | None = None) -> str:
    """Return why others than root, system accounts and our own could have written this file; empty: nobody could.

    Checked are the file itself (the open `descriptor`, where given), and every directory that leads to it, along the
    path as it is and along what it really names. `known` remembers what was found of directories between calls.
    """
    known = {} if known is None else known
    try:
        status = Path(path).stat() if descriptor is None else os.fstat(descriptor)
        if reason := others(status, _acl(path if descriptor is None else descriptor)):
            return f"{reason} may write it"
        real = os.path.realpath(path)
        for way in dict.fromkeys((path, real)):
            if reason := _on_the_way(way, known):
                return reason
        return _link_reason(path) if real != path else ""
    except (OSError, ValueError) as error:
        return f"who may write it is not known: {getattr(error, 'strerror', '') or error}"


def _on_the_way(path: str, known: dict[str, str]) -> str:
    """Return what is wrong with the directories on the way to a path."""
    for directory in _parents(path):
        if directory not in known:
            status = Path(directory).stat()
            # In a sticky directory others cannot replace what is not theirs; its owner can
            is_sticky = bool(status.st_mode & stat.S_ISVTX)
            reason = _owner(status) if is_sticky else others(status, _acl(directory))
            known[directory] = f"{reason} may replace what is in {directory}" if reason else ""
        if known[directory]:
            return known[directory]
    return ""


def _link_reason(path: str) -> str:
    """Return what is wrong with the owner of a symbolic link: it may lead to any file."""
    status = Path(path).lstat()
    reason = _owner(status) if stat.S_ISLNK(status.st_mode) else ""
    return f"{reason} may lead it elsewhere" if reason else ""


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for count in range(1, len(parts)):
        yield "/".join(parts[:count]) or "/"


def others(status: os.stat_result, acl: bytes = b"") -> str:
    """Return who else may write what has this status and this access control list (xattr form); empty: nobody."""
    if reason := _owner(status):
        return reason
    if acl:
        return _listed(status, acl)
    if status.st_mode & stat.S_IWOTH:
        return "everybody"
    if status.st_mode & stat.S_IWGRP and not _is_system_group(status.st_gid):
        return f"group {status.st_gid}"
    return ""


def _listed(status: os.stat_result, acl: bytes) -> str:
    """Return the first whom the list lets write; one that cannot be understood lets everybody."""
    body = acl[_ACL_HEADER_BYTES:]
    if len(body) % _ACL_ENTRY.size:
        return "everybody"
    entries = list(_ACL_ENTRY.iter_unpack(body))
    mask = next((permissions for tag, permissions, _ in entries if tag == _MASK), _WRITE)
    for tag, permissions, number in entries:
        if tag == _OTHER and permissions & _WRITE:
            return "everybody"
        if not permissions & mask & _WRITE:
            continue
        if tag == _USER and not _is_system_account(number):
            return f"account {number}"
        group = status.st_gid if tag == _GROUP_OBJECT else number
        if tag in (_GROUP_OBJECT, _GROUP) and not _is_system_group(group):
            return f"group {group}"
    return ""


def _owner(status: os.stat_result) -> str:
    return "" if _is_system_account(status.st_uid) else f"account {status.st_uid}"


def _is_system_account(number: int) -> bool:
    return number < _FIRST_USER_ID or number == os.geteuid()  # who controls us needs no forged line


def _is_system_group(number: int) -> bool:
    return number < _FIRST_USER_ID and number not in _ORDINARY_GROUPS


def _acl(target: str | int) -> bytes:
    try:
        return os.getxattr(target, _ACL)
    except OSError:  # none, or a file system without
        return b""
