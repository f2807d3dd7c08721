"""Reads bytes as a file for a replay."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monitor.daemon.replay.foreign.file_report import FileReport
from monitor.daemon.replay.foreign.kinds import Kind
from monitor.daemon.replay.foreign.reading import ForeignFiles
from monitor.model.flows import FlowBatch
from monitor.recording.inputs import Events, Input
from monitor.settings.schema import Settings


class Read(NamedTuple):
    """What was read of one file."""

    inputs: list[Input]
    report: FileReport
    node: str

    @property
    def events(self) -> list[Any]:
        """All events."""
        return [event for one in self.inputs if isinstance(one, Events) for event in one.events]

    def flows(self, field: str) -> list[Any]:
        """Return what is in one list of all batches."""
        return [flow for batch in self.events if isinstance(batch, FlowBatch) for flow in getattr(batch, field)]


def read(path: Path, content: bytes | None = None, **options: Any) -> Read:
    """Read a file, which is written before if there is any content."""
    if content is not None:
        path.write_bytes(content)
    return read_all([path], **options)


def read_all(
    paths: Sequence[Path], *, settings: Settings | None = None, kind: Kind | None = None, **options: Any
) -> Read:
    """Read several files; the report is that of the first."""
    files = ForeignFiles(paths, settings or Settings(), kind=kind, **options)
    inputs = list(files.inputs())
    return Read(inputs, files.reports[0], files.node_guess)
