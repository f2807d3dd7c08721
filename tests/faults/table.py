"""The table of faults: every system call of the running daemon, with every errno that it can return.

The calls are those that `strace -f -c` counts on a daemon with all sources at work. The errnos are those of the manual
pages, and those that a seccomp filter, a security module or a lack of memory can add to any call.

Left out are calls that cannot fail (getpid, gettid, rt_sigaction, rt_sigprocmask, restart_syscall, exit), and calls
whose errors the C library does not hand on: futex, set_robust_list and rseq, where it aborts on an errno that no kernel
returns, and munmap and madvise, which it ignores.
"""

from collections.abc import Iterator
from typing import NamedTuple

_DENIED = ("EPERM", "EACCES")
_FULL = ("EMFILE", "ENFILE", "ENOMEM")
_MEMORY = ("ENOMEM", "ENOBUFS")

ERRNOS: dict[str, tuple[str, ...]] = {
    # sockets: nf_tables, conntrack, rtnetlink, listeners, control, metrics, sd_notify
    "socket": (*_FULL, *_DENIED, "ENOBUFS", "EAFNOSUPPORT", "EPROTONOSUPPORT"),
    "bind": (*_DENIED, "ENOMEM", "EADDRINUSE", "EADDRNOTAVAIL"),
    "connect": (*_DENIED, "ECONNREFUSED", "EAGAIN", "ETIMEDOUT", "ENOENT"),
    "getsockname": ("ENOBUFS", "ENOMEM"),
    "getsockopt": ("ENOPROTOOPT", "ENOMEM"),
    "setsockopt": (*_DENIED, *_MEMORY, "ENOPROTOOPT"),
    "sendto": (*_DENIED, *_MEMORY, "EAGAIN", "EINTR", "EIO", "ECONNREFUSED", "EPIPE", "EMSGSIZE"),
    "sendmsg": (*_DENIED, *_MEMORY, "EAGAIN", "EINTR", "EIO", "ECONNREFUSED", "EPIPE", "EMSGSIZE"),
    "recvfrom": (*_MEMORY, "EAGAIN", "EINTR", "EIO", "ECONNRESET", "ECONNREFUSED", "EPERM"),
    "recvmsg": (*_MEMORY, "EAGAIN", "EINTR", "EIO", "ECONNRESET", "ECONNREFUSED", "EPERM"),
    "accept4": (*_FULL, "ENOBUFS", "ECONNABORTED", "EAGAIN", "EPERM", "EPROTO"),
    "shutdown": ("ENOTCONN", "EIO"),
    # files: logs, journal, /dev/kmsg, /proc, SQLite
    "openat": (*_FULL, *_DENIED, "ENOENT", "EIO", "EINTR", "ELOOP", "ENOSPC", "EROFS", "ENXIO"),
    "read": ("EIO", "EINTR", "EAGAIN", "ENOMEM", "EPIPE", "EISDIR", "EPERM", "EINVAL"),
    "pread64": ("EIO", "EINTR", "ENOMEM"),
    "write": ("EIO", "EINTR", "EAGAIN", "ENOSPC", "EDQUOT", "EPIPE", "ENOMEM"),
    "pwrite64": ("EIO", "EINTR", "ENOSPC", "EDQUOT", "EFBIG", "ENOMEM"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "lseek": ("EIO", "ESPIPE", "EINVAL", "EOVERFLOW"),
    "close": ("EIO", "EINTR", "ENOSPC"),
    "newfstatat": (*_DENIED, "ENOENT", "ENOMEM", "EIO", "ELOOP", "ENOTDIR"),
    "faccessat2": (*_DENIED, "ENOENT", "EIO", "ENOMEM", "ENOSYS"),
    "readlinkat": (*_DENIED, "ENOENT", "EIO", "EINVAL", "ENOMEM"),
    "getdents64": ("EIO", "ENOENT", "ENOMEM", "EPERM"),
    "ioctl": ("ENOTTY", "EINVAL", "ENOMEM"),
    "fcntl": ("EAGAIN", "EACCES", "ENOLCK", "EIO", "EINTR"),
    # waiting and watching
    "epoll_wait": ("EINTR", "EBADF", "EINVAL", "ENOMEM"),
    "epoll_ctl": ("ENOMEM", "ENOSPC", "EPERM"),
    "poll": ("EINTR", "ENOMEM"),
    "pselect6": ("EINTR", "ENOMEM"),
    "inotify_add_watch": (*_DENIED, "ENOENT", "ENOMEM", "ENOSPC"),
    "setitimer": ("EINVAL", "EPERM"),
    # memory, threads, eBPF
    "mmap": ("ENOMEM", "EAGAIN", "EPERM", "ENFILE"),
    "mprotect": ("ENOMEM", "EACCES"),
    "brk": ("ENOMEM",),
    "clone3": ("EAGAIN", "ENOMEM", "EPERM"),
    "bpf": (*_DENIED, "ENOMEM", "EAGAIN", "ENOENT", "EINVAL", "E2BIG", "ENOSPC"),
}


class Case(NamedTuple):
    """One call that fails with one errno."""

    call: str
    errno: str

    def __str__(self) -> str:
        """Return it as in the table."""
        return f"{self.call} {self.errno}"


def all_cases() -> Iterator[Case]:
    """Yield the whole table."""
    for call, errnos in ERRNOS.items():
        for errno in errnos:
            yield Case(call, errno)
