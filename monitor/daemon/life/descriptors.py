"""File descriptors: as many as this process may have, a quarter of them reserved for sources and state.

Strangers can open connections to /metrics, and members of a group those to the control socket. Both servers refuse
connections before sources, state and the service manager run short.
"""

import os
import resource

_MOST = 65_536
"""More would only make tables of the kernel larger."""
_RESERVED_SHARE = 4


def raise_limit() -> int:
    """Raise this process's limit as far as it may; return the limit. Where the sandbox forbids it, it stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return soft if soft != resource.RLIM_INFINITY else _MOST
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):  # the unit sets soft and hard limit alike, and permits no change
        return soft
    return most


class Descriptors:
    """Knows the limit, and whether it is near."""

    def __init__(self, limit: int) -> None:
        """Take the limit of this process."""
        self._limit = limit
        self._lowest_free = 0

    @property
    def reserved_from(self) -> int:
        """The lowest descriptor that servers must leave to the rest: the kernel gives the lowest that is free."""
        return self._limit - self._limit // _RESERVED_SHARE

    def check(self) -> None:
        """Find the lowest free descriptor: all below it are in use. One system call, however many there are."""
        try:
            self._lowest_free = os.dup(0)
        except OSError:
            self._lowest_free = self._limit
        else:
            os.close(self._lowest_free)

    def problems(self) -> list[str]:
        """Say whether descriptors are short."""
        if self._lowest_free < self.reserved_from:
            return []
        text = f"file descriptors are short: at least {self._lowest_free} of {self._limit} are in use. Connections to "
        return [text + "metrics.listen and control.socket are refused first; raise LimitNOFILE of the unit"]
