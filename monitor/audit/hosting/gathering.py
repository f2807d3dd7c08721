"""Gathers what the checks need to know of the host.

Programs are found by the processes that run, never at fixed paths: what a file says that nothing reads does not matter.
A static pod's manifest stands for a program that does not run at the moment. Files are read as the process that names
them sees them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from monitor.audit.host import Host, Process, Program, ProgramKind
from monitor.audit.hosting.apiserver import read_apiserver
from monitor.audit.hosting.etcd import read_etcd
from monitor.audit.hosting.flags import read_flags, recognise
from monitor.audit.hosting.k3s import read_k3s, role_of
from monitor.audit.hosting.kernel_values import read_interfaces, read_uplinks, read_values
from monitor.audit.hosting.kubelet import read_kubelet
from monitor.audit.hosting.kubelite import is_kubelite, read_kubelite
from monitor.audit.hosting.manifests import Manifest, read_manifests
from monitor.audit.hosting.processes import read_processes
from monitor.audit.hosting.reader import Reader
from monitor.audit.hosting.settings import set_by

MAX_PROGRAMS = 32
"""A pod may start any number of processes that are called `kubelet`."""


def gather_host(root: Path = Path("/")) -> Host:
    """Return what is known of the host below `root`; never raises. What cannot be read is a gap."""
    interfaces = read_interfaces(root)
    seen = read_processes(root)
    programs = list(islice(_programs(root, seen.processes), MAX_PROGRAMS + 1))
    gap = seen.gap or (f"there are more than {MAX_PROGRAMS} programs" if len(programs) > MAX_PROGRAMS else "")
    return Host(
        sysctls=read_values(root, interfaces),
        interfaces=interfaces,
        uplinks=read_uplinks(root),
        processes=seen.processes,
        programs=tuple(_distinguished(programs[:MAX_PROGRAMS])),
        gap=gap,
    )


def _programs(root: Path, processes: Sequence[Process]) -> Iterator[Program]:
    """Yield the programs that run, then those of static pods that do not run."""
    manifests: list[Manifest] = []
    configured = [process for process in processes if process.arguments]
    for process in configured:
        reader = _reader(root, process)
        for program in _of_node(process, reader):
            if path := program.value("pod-manifest-path"):
                manifests += read_manifests(reader, path)
            yield program
    running = set()
    for process in configured:
        kind, arguments = recognise(process.arguments) or (ProgramKind.KUBELET, ())
        if kind is not ProgramKind.KUBELET:
            location = next((one.path for one in manifests if one.kind is kind), "")
            yield _READ[kind](arguments, process, _reader(root, process), location)
            running.add(kind)
    for one in manifests:
        if one.kind not in running and one.kind is not ProgramKind.KUBELET:
            yield _READ[one.kind](one.arguments, Process(pid=0, name=""), Reader(root), one.path)


def _of_node(process: Process, reader: Reader) -> Iterable[Program]:
    """Return a kubelet, or what else runs a node's programs in one process."""
    kind, arguments = recognise(process.arguments) or (None, ())
    if kind is ProgramKind.KUBELET:
        return (read_kubelet(arguments, reader),)
    if role_of(process):
        return read_k3s(process, reader)
    return read_kubelite(process, reader) if is_kubelite(process) else ()


def _reader(root: Path, process: Process) -> Reader:
    return Reader(root / "proc" / str(process.pid) / "root")


def _apiserver(arguments: Sequence[str], _process: Process, reader: Reader, location: str) -> Program:
    return read_apiserver(arguments, reader, location=location)


def _etcd(arguments: Sequence[str], process: Process, reader: Reader, location: str) -> Program:
    return read_etcd(arguments, process.environment, reader, location, process.gap)


def _other(kind: ProgramKind) -> Callable[[Sequence[str], Process, Reader, str], Program]:
    def read(arguments: Sequence[str], _process: Process, _reader: Reader, location: str) -> Program:
        return Program(kind=kind, subject=kind.value, settings=set_by(read_flags(kind, arguments)), location=location)

    return read


_READ = {
    ProgramKind.APISERVER: _apiserver,
    ProgramKind.ETCD: _etcd,
    **{kind: _other(kind) for kind in (ProgramKind.CONTROLLER_MANAGER, ProgramKind.SCHEDULER, ProgramKind.PROXY)},
}


def _distinguished(programs: Sequence[Program]) -> Iterator[Program]:
    """Yield programs with subjects of their own, by what stays the same when they start again."""
    of_kind = Counter(program.kind for program in programs)
    seen: Counter[str] = Counter()
    for program in programs:
        subject = program.subject
        if of_kind[program.kind] > 1:
            marks = (
                program.value(name) for name in ("name", "data-dir", "config", "config-file", "listen-client-urls")
            )
            subject = " ".join([subject, *(mark[:64] for mark in marks if mark)])
        seen[subject] += 1
        number = seen[subject]
        yield msgspec.structs.replace(program, subject=f"{subject} #{number}" if number > 1 else subject)
