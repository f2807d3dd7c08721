"""What is read of the host: sysctls, processes, and the files that they name."""

from collections.abc import Mapping

import msgspec


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A running process."""

    pid: int
    name: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    """Only of those that are configured by it."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks of sysctls, of Kubernetes and of etcd need."""

    sysctls: Mapping[str, str] = {}
    """By dotted name; one that does not exist is not in it."""
    processes: tuple[Process, ...] = ()
