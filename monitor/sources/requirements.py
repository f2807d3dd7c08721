"""What a source requires of the machine: each folder has its findings, an effect, and a pure judgement of them."""

from typing import Any, Protocol

from monitor.model.requirements import Part, Privileges


class Findings(Protocol):
    """What trying found out about one source."""

    def parts(self, settings: Any, privileges: Privileges) -> list[Part]:
        """Return the source as a part, with its requirements, and optional parts that depend on it; pure."""
        ...
