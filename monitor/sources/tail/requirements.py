"""What log files require: that those that detectors read may be read."""

from collections.abc import Mapping

import msgspec

from monitor.files.access import denied
from monitor.model.requirements import Part, PartKind, Privileges, Requirement
from monitor.sources.log_scanner import LogTargets
from monitor.sources.tail.reader import Tail
from monitor.sources.tail.settings import FilesSettings


class FilesFindings(msgspec.Struct, frozen=True):
    """What trying found out."""

    files: Mapping[str, tuple[str, ...]]
    """By detector that reads files: those that may not be read."""

    def parts(self, settings: FilesSettings, _privileges: Privileges) -> list[Part]:
        """Return the files as a part, with a requirement for each that may not be read."""
        requirements = [
            Requirement(f"{path} (detector {name})", "may not be read", f"chgrp adm {path} && chmod g+rX {path}")
            for name, paths in self.files.items()
            for path in paths
        ]
        return [Part(Tail.name, PartKind.SOURCE, settings.enabled and bool(self.files), requirements)]


def probe(_settings: FilesSettings, targets: LogTargets) -> FilesFindings:
    """Check the permissions of the files, and of the directories that lead to them."""
    return FilesFindings({name: tuple(denied(patterns)) for name, patterns in targets.files.items()})
