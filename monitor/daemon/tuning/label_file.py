"""The file of labels in the state directory: written by `nodewarden label`, read by all that judge bans.

The daemon owns the directory and root writes into it. So no link there is followed: the new file is created, never
opened, gets the directory's owner, and takes the old one's place in one step.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from monitor.daemon.tuning.labels import Label, Labels, Opinion
from monitor.files.regular import read_regular
from monitor.model.addresses import Network, parse_network
from monitor.model.errors import PermanentError, explain

FILE_NAME = "labels.json"
MAX_LABELS = 10_000
MAX_REASON = 200
"""Characters of a reason."""
_MAX_BYTES = 16_000_000
"""More than `MAX_LABELS` of the longest labels take, each character of a reason escaped."""
_VERSION = 1


class LabelsError(PermanentError):
    """The labels cannot be read, written or taken; the message says why and what to do."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    network: str
    opinion: Opinion
    reason: str
    since_s: float


class _Document(msgspec.Struct, frozen=True):
    version: int
    labels: list[msgspec.Raw]


def read_labels(directory: Path) -> Labels:
    """Return the labels of a state directory; none if there is no file. LabelsError if it is damaged or unreadable."""
    try:
        return read_label_file(directory / FILE_NAME)
    except LabelsError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Labels()
        raise


def read_label_file(path: Path) -> Labels:
    """Return the labels of a file. LabelsError if it is missing, damaged or unreadable."""
    try:
        content = read_regular(path, _MAX_BYTES)
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path} cannot be read: {explain(error)}") from error
    if len(content) > _MAX_BYTES:
        raise LabelsError(f"{path} is larger than {_MAX_BYTES} bytes: not written by `nodewarden label`; move it away")
    try:
        return Labels(_decoded(content))
    except (msgspec.DecodeError, ValueError) as error:
        raise LabelsError(f"{path} is damaged: {error}; repair it or move it away") from error


def _decoded(content: bytes) -> Iterator[Label]:
    document = msgspec.json.decode(content, type=_Document)
    if document.version != _VERSION:
        raise ValueError(f"it has version {document.version}, and this program reads version {_VERSION}")
    if len(document.labels) > MAX_LABELS:
        raise ValueError(f"it has {len(document.labels)} labels, and at most {MAX_LABELS} are allowed")
    for number, raw in enumerate(document.labels, 1):
        try:
            row = msgspec.json.decode(raw, type=_Row)
            yield Label(parse_network(row.network), row.opinion, row.reason[:MAX_REASON], row.since_s)
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"label {number}: {error}") from error


class LabelFile:
    """Changes the labels of a state directory; two commands at once wait for each other."""

    def __init__(self, directory: Path) -> None:
        """Take the state directory, which must exist when something is changed."""
        self._directory = directory

    def put(self, labels: list[Label]) -> None:
        """Add labels; one for the same network is replaced. LabelsError if they do not fit or cannot be written."""
        if any(len(label.reason) > MAX_REASON for label in labels):
            raise LabelsError(f"a reason has at most {MAX_REASON} characters")
        with self._locked():
            known = read_labels(self._directory).by_network | {label.network: label for label in labels}
            if len(known) > MAX_LABELS:
                raise LabelsError(f"there is room for {MAX_LABELS} labels: remove some, or label a network instead")
            self._write(list(known.values()))

    def remove(self, networks: Iterable[Network]) -> list[Network]:
        """Remove the labels of these networks; return those that had none. LabelsError if that cannot be written."""
        with self._locked():
            known = dict(read_labels(self._directory).by_network)
            unknown = [network for network in networks if known.pop(network, None) is None]
            self._write(list(known.values()))
        return unknown

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the directory itself: a lock on a file in it would leave that file behind."""
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LabelsError(f"{self._directory} cannot be opened: {explain(error)}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, labels: list[Label]) -> None:
        rows = [_Row(str(one.network), one.opinion, one.reason, one.since_s) for one in labels]
        text = msgspec.json.format(msgspec.json.encode({"version": _VERSION, "labels": rows}), indent=1)
        path, new = self._directory / FILE_NAME, self._directory / f".{FILE_NAME}.new"
        try:
            new.unlink(missing_ok=True)  # left by a writer that was killed: we hold the lock
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                _give(file.fileno(), self._directory.stat())
                os.fsync(file.fileno())
            new.replace(path)
            self._keep()
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise LabelsError(f"{path} cannot be written: {explain(error)}") from error

    def _keep(self) -> None:
        """Have the new name outlive a loss of power."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Give a file to the directory's owner, so that the daemon can read it; who is not root keeps it."""
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
