"""How MicroK8s runs kubelet and API server, in one process that names a file of arguments for each."""

import shlex
from collections.abc import Iterator

from monitor.audit.host import Process, Program, ProgramKind
from monitor.audit.hosting.apiserver import read_apiserver
from monitor.audit.hosting.kubelet import read_kubelet
from monitor.audit.hosting.reader import Reader, Unreadable

_FILES = {"kubelet-args-file": ProgramKind.KUBELET, "apiserver-args-file": ProgramKind.APISERVER}
_MAX_WORDS = 1024


def is_kubelite(process: Process) -> bool:
    """Whether a process is that of MicroK8s."""
    return bool(process.arguments) and process.arguments[0].rpartition("/")[2] == "kubelite"


def read_kubelite(process: Process, reader: Reader) -> Iterator[Program]:
    """Yield the programs in it that have a file of arguments; never raises."""
    for argument in process.arguments[1:]:
        name, _, path = argument.lstrip("-").partition("=")
        kind = _FILES.get(name)
        if kind is None or not path:
            continue
        try:
            words = shlex.split(reader.text(path), comments=True)[:_MAX_WORDS]
        except (Unreadable, ValueError) as error:
            yield Program(kind=kind, subject=kind.value, gap=f"{path[:256]}: {error}"[:512], location=path[:256])
            continue
        if kind is ProgramKind.KUBELET:
            yield read_kubelet(words, reader)
        else:
            yield read_apiserver(words, reader, location=path[:256])
