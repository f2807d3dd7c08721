"""What is read of the host: sysctls, interfaces, processes, and the settings of Kubernetes and etcd."""

import enum
from collections.abc import Mapping

import msgspec


class ProgramKind(enum.StrEnum):
    """A program that checks judge by its settings."""

    KUBELET = "kubelet"
    APISERVER = "kube-apiserver"
    CONTROLLER_MANAGER = "kube-controller-manager"
    SCHEDULER = "kube-scheduler"
    PROXY = "kube-proxy"
    ETCD = "etcd"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A running process."""

    pid: int
    name: str
    arguments: tuple[str, ...] = ()
    """Only of those that are configured by it: the command lines of others may hold passwords."""
    environment: Mapping[str, str] = {}
    """Only of those that are configured by it."""
    gap: str = ""
    """Why the environment is not known; empty: it is, or does not matter."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """The value that is in force for a setting of a program, as text."""

    value: str
    location: str = ""
    """The file that sets it; empty: the command line, the environment or a default."""
    is_default: bool = False


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A running program with the settings that are in force."""

    kind: ProgramKind
    subject: str
    """What findings call it; the same from one run to the next."""
    settings: Mapping[str, Setting] = {}
    """By the name of the flag, without dashes. Defaults are filled in, unless there is a gap."""
    gap: str = ""
    """Why a setting that is not in `settings` is not known; empty: it is not set."""
    location: str = ""
    """Where a setting can be added: a kubelet's file, or the one with the command line, as a static pod's manifest."""

    def value(self, name: str) -> str:
        """Return the value of a setting; empty if it is not set, or not known."""
        setting = self.settings.get(name)
        return setting.value if setting else ""

    def where(self, name: str) -> str:
        """Return the file where a setting is, or can be, set; empty if that is not known."""
        setting = self.settings.get(name)
        if setting and not setting.is_default and (setting.location or self.kind is ProgramKind.KUBELET):
            return setting.location  # a flag of a kubelet wins over its file
        return self.location


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks of sysctls, of Kubernetes and of etcd need."""

    sysctls: Mapping[str, str] = {}
    """By dotted name; one that does not exist is not in it. In names of interfaces a dot is `/`, as for sysctl(8)."""
    interfaces: tuple[str, ...] = ()
    """Of the network namespace, without loopback."""
    uplinks: tuple[str, ...] = ()
    """Those with a default route: packets of strangers arrive there."""
    processes: tuple[Process, ...] = ()
    programs: tuple[Program, ...] = ()
    gap: str = ""
    """Why a program that is not in `programs` may run all the same; empty: all processes were seen."""

    def of(self, kind: ProgramKind) -> tuple[Program, ...]:
        """Return the programs of a kind."""
        return tuple(program for program in self.programs if program.kind is kind)
