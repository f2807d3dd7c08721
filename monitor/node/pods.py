"""Which pod has an address or a network namespace, by what the container runtime left on this node.

Two facts are read, neither of which takes an API token or the host's process IDs: the results that libcni keeps
(`cni_results`), and the inode numbers of the namespaces that they name, which are the numbers that eBPF programs see.
Files are read again only if they changed.
"""

import heapq
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from monitor.files.access import denied
from monitor.files.changes import read_bounded
from monitor.model.errors import MalformedRecord, explain
from monitor.model.pods import MAX_ATTACHMENTS, PodTable
from monitor.model.printable import printable
from monitor.node.cni_results import Attachment, parse_result

RESULT_DIRECTORIES = (Path("/var/lib/cni/results"), Path("/var/lib/cni/cache/results"))
"""Of libcni as containerd, CRI-O and cri-dockerd use it."""
NETNS_DIRECTORY = Path("/run/netns")
MAX_FILE_BYTES = 64 << 10
_OWN_NETNS = Path("/proc/self/ns/net")


_MAX_LISTED = 8 * MAX_ATTACHMENTS
"""Files of a directory that are looked at."""
_Identity = tuple[int, int, int]


class _File(NamedTuple):
    """A file as it was read: `fault` says why it names nobody."""

    identity: _Identity
    attachment: Attachment | None
    fault: str


def denied_to_us(root: Path = Path("/")) -> list[str]:
    """Return the directories with results of CNI, or their parents, that this process may not read."""
    return list(denied(str(root / path.relative_to("/") / "*") for path in RESULT_DIRECTORIES))


class PodReader:
    """Reads the files; for one thread at a time."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Take the directory below which all files are; nothing is read yet."""
        self._root = root
        self._files: dict[Path, _File] = {}

    @property
    def watched(self) -> list[Path]:
        """The directories whose change may change what `read` returns."""
        return [self._below(path) for path in RESULT_DIRECTORIES]

    def read(self) -> PodTable:
        """Return the pods of now. Never raises; without a container runtime there are none."""
        notices: list[str] = []
        self._files = dict(self._current(notices))
        by_age = sorted(self._files.values(), key=lambda file: file.identity)  # the latest of an address counts
        faults = [file.fault for file in by_age if file.fault]
        if faults:
            notices.append(f"{len(faults)} results of CNI name no pod, the last one because: {faults[-1]}")
        attachments = [file.attachment for file in by_age if file.attachment]
        by_address = {address: one.pod for one in attachments for address in one.addresses}
        by_netns = {inode: one.pod for one in attachments if (inode := self._inode(one.netns)) is not None}
        if attachments and not by_netns:
            notices.append(
                f"drops are not named by pod: no network namespace of a pod is visible in {NETNS_DIRECTORY} "
                "(in a container it must be mounted with mountPropagation HostToContainer)"
            )
        return PodTable(by_address, by_netns, tuple(notices))

    def _current(self, notices: list[str]) -> Iterator[tuple[Path, _File]]:
        """Yield the files of now, those that did not change as they were read before.

        Runtimes may leave files of pods that are long gone: where there are too many, the latest are read.
        """
        found = [one for directory in self.watched for one in _listed(directory, notices)]
        if len(found) > MAX_ATTACHMENTS:
            notices.append(f"pods beyond {MAX_ATTACHMENTS} interfaces are not named, those with the oldest results")
            found = heapq.nlargest(MAX_ATTACHMENTS, found)
        for identity, name in found:
            path = Path(name)
            before = self._files.get(path)
            yield path, before if before and before.identity == identity else _read(path, identity)

    def _inode(self, netns: str) -> int | None:
        """Return the number of a pod's network namespace; None if the file is none, or the node's own.

        Where a mount is not visible, its file is an empty one of another file system.
        """
        if not netns:
            return None
        try:
            state, own = self._below(Path(netns)).stat(), _OWN_NETNS.stat()
        except OSError:
            return None
        return state.st_ino if state.st_dev == own.st_dev and state.st_ino != own.st_ino else None

    def _below(self, path: Path) -> Path:
        return self._root / path.relative_to("/")


def _listed(directory: Path, notices: list[str]) -> list[tuple[_Identity, str]]:
    """Return the paths in a directory, each with what changes with its content; the time of change comes first."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in islice(entries, _MAX_LISTED):
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:  # it is gone
                    continue
                found.append(((state.st_mtime_ns, state.st_ino, state.st_size), entry.path))
    except FileNotFoundError:
        pass
    except OSError as error:
        notices.append(f"pods are not named: {directory}: {explain(error)}; see `nodewarden doctor`")
    return found


def _read(path: Path, identity: _Identity) -> _File:
    """Read one file; what is wrong with it is kept with it."""
    data, name = read_bounded(path, MAX_FILE_BYTES), printable(path.name)
    if data is None:
        return _File(identity, None, f"{name}: no permission, or not a regular file")
    if len(data) > MAX_FILE_BYTES:
        return _File(identity, None, f"{name}: more than {MAX_FILE_BYTES} bytes")
    try:
        return _File(identity, parse_result(data.decode(errors="replace")), "")
    except MalformedRecord as error:
        return _File(identity, None, f"{name}: {error}")
