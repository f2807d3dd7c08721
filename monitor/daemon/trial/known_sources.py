"""Who is known-good while a trial waits: what the operator says of a source, then what the daemon knows of it."""

from collections.abc import Callable
from pathlib import Path

from monitor.daemon.tuning.label_file import FILE_NAME, LabelsError, read_labels
from monitor.daemon.tuning.labels import Labels, Opinion
from monitor.model.addresses import Network
from monitor.model.alerts import Alert
from monitor.model.bans import Standing


class KnownSources:
    """Labels, followed as `nodewarden label` changes them, and the standing of sources with this node."""

    def __init__(self, directory: Path, standing: Callable[[Network, Alert | None], Standing | None]) -> None:
        """Take the state directory, and who knows the allowlist, internal networks and clients."""
        self._directory = directory
        self._standing = standing
        self._stamp: tuple[int, ...] | None = None
        self._labels = Labels()
        self.trouble = ""
        """Why labels cannot be read; empty if they can."""

    def good_reason(self, network: Network, alert: Alert | None) -> str:
        """Return why a ban of a network would be a mistake, in one word; empty if it would not be."""
        self.follow()
        if label := self._labels.of(network):
            return "good" if label.opinion is Opinion.GOOD else ""
        return self._standing(network, alert) or ""

    def follow(self) -> None:
        """Read the labels again if they changed; those that were read stay while the file is damaged."""
        try:
            status = (self._directory / FILE_NAME).stat()
            stamp: tuple[int, ...] = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            stamp = ()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._labels, self.trouble = read_labels(self._directory), ""
        except LabelsError as error:
            self.trouble = f"bans of sources that are labelled good do not end a trial: {error}"
