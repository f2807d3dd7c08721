"""One owner of the table in each network namespace: a lock that the kernel drops with its holder.

Two daemons would revert each other's changes for ever, and the allowlist of one would be lost. A path is no lock: a pod
and a unit share the network namespace, not the file system. So the lock is the binding of a group of nfnetlink_log
(NFULNL_CFG_CMD_BIND): one socket of a network namespace can have it, CAP_NET_ADMIN is needed for it, so that other
accounts cannot take it first, and it ends with the socket. No rule logs to the group.

An abstract Unix socket says who the holder is. It is no part of the lock: anybody can make one, so what it says is
only shown, with the account that the kernel names.
"""

import contextlib
import errno
import os
import pwd
import re
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor import __version__
from monitor.enforcers.netlink import NLM_F_REQUEST, NetlinkRequest
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.errors import AlreadyOwned, NodewardenError, TemporaryError

GROUP: Final = 0x4E57
""""NW" as a number: the group that the owner has bound."""
_CONFIG: Final = 4 << 8 | 1  # NFNL_SUBSYS_ULOG, NFULNL_MSG_CONFIG of linux/netfilter/nfnetlink_log.h
_BIND: Final = struct.pack("=HHB3x", 5, 1, 1)  # NFULA_CFG_CMD: NFULNL_CFG_CMD_BIND
_HELD: Final = (errno.EPERM, errno.EBUSY, errno.EEXIST)
"""The answer of kernels to a group that another socket has; EPERM is also that to a process without the privilege."""
_UNLOCKED: Final = "a second nodewarden in this network namespace would not be noticed"
_PREFIX: Final = "nodewarden-owner/"
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
_UNIX_SOCKETS = Path("/proc/self/net/unix")
_MAX_SHOWN = 3
_MAX_PATH = 40
_MAX_COMMAND = 100
_UNPRINTABLE = re.compile(r"[^ -~]")


class Owner:
    """Ownership of the network namespace of the calling thread, from `take` to `close`."""

    def __init__(self, configuration: Path | None = None) -> None:
        """Hold nothing yet; `configuration` is shown to others."""
        self._configuration = str(configuration or "")
        self._lock: NetlinkSocket | None = None
        self._sign: socket.socket | None = None
        self.notice = ""
        """Why there is no lock although this process may change the table; empty if there is one."""

    def take(self) -> None:
        """Become the owner; AlreadyOwned if another process is. Without CAP_NET_ADMIN nothing is taken or needed."""
        if not self.try_to_take():
            raise AlreadyOwned(f"{_holders()} owns this network namespace and its table inet nodewarden: stop it first")

    def try_to_take(self) -> bool:
        """Become the owner; False if another process is."""
        try:
            lock = NetlinkSocket()
        except NodewardenError as error:
            self.notice = f"{_UNLOCKED}: {error}"
            return True
        code = _bind(lock, GROUP)
        is_held = code in _HELD and not _bind(lock, _other_group())
        if code:
            lock.close()
            if not is_held and code != errno.EPERM:
                self.notice = f"{_UNLOCKED}: nfnetlink_log says {os.strerror(code)} (modprobe nfnetlink_log)"
            return not is_held
        self._lock = lock
        with contextlib.suppress(OSError):
            self._sign = _make_sign(self._configuration)
        return True

    def close(self) -> None:
        """End the ownership."""
        for held in (self._lock, self._sign):
            if held is not None:
                held.close()
        self._lock = self._sign = None

    def __enter__(self) -> "Owner":
        """Take the ownership."""
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()


def _bind(lock: NetlinkSocket, group: int) -> int:
    """Bind a group of nfnetlink_log to the socket; return the errno."""
    request = NetlinkRequest(_CONFIG, NLM_F_REQUEST, struct.pack(">BBH", 0, 0, group) + _BIND)
    try:
        (answer,) = lock.query([request], refusals=True)
    except TemporaryError:
        return errno.EAGAIN
    return answer if isinstance(answer, int) else 0


def _other_group() -> int:
    """Return a group that hardly anybody has: if it can be bound, the privilege is there, and the lock is held."""
    return (GROUP + 1 + secrets.randbelow(0xFF)) & 0xFFFF


def _make_sign(configuration: str) -> socket.socket:
    """Make the socket that says who this is."""
    since = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())
    text = f"{_PREFIX}{secrets.token_hex(4)}/{__version__} pid {os.getpid()} since {since} {configuration[:_MAX_PATH]}"
    sign = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        sign.bind(b"\0" + text.encode("ascii", "replace"))
        sign.listen(1)
    except OSError:
        sign.close()
        raise
    return sign


def _holders() -> str:
    """Describe those who say that they own this network namespace; anybody can."""
    shown = list(_signs())[:_MAX_SHOWN]
    return " or ".join(shown) if shown else "another process"


def _signs() -> Iterator[str]:
    try:
        lines = _UNIX_SOCKETS.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, found, name = line.partition(f" @{_PREFIX}")
        if found:
            yield _describe(_PREFIX + name)


def _describe(name: str) -> str:
    """Describe the process behind a sign: what the kernel says of it, and what it says itself."""
    said = _UNPRINTABLE.sub("?", name.partition("/")[2].partition("/")[2])
    who = "a process"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # noqa: FBT003 - the standard library's
        asking.connect(b"\0" + name.encode("utf-8", "replace"))
        pid, uid, _ = _PEER.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        who = f"process {pid}{_command(pid)}, user {_account(uid)}" if pid else f"a process of user {_account(uid)}"
    return f"{who} (nodewarden {said})"


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        unit = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").strip().rpartition("/")[2]
    except OSError:
        return ""
    where = f" of {unit}" if unit.endswith(".service") else ""
    return _UNPRINTABLE.sub("?", f" [{command[:_MAX_COMMAND]}]{where}")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def why_not_ours() -> str:
    """Return who else owns this network namespace; empty if nobody does, or if that cannot be known."""
    owner = Owner()
    try:
        owner.take()
    except AlreadyOwned as error:
        return str(error)
    except (NodewardenError, OSError):
        return ""
    owner.close()
    return owner.notice
