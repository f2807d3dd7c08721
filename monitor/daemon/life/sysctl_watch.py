"""Follows the sysctls that evidence depends on: nothing reports their changes, so each tick reads them.

Their files stay open, so that takes some ten microseconds. Reading them less often would add to the age that a tick may
have (`pace.CURRENT_S`) when somebody asks what is wrong.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from monitor.metrics.metric import Sample
from monitor.node import kernel_settings
from monitor.node.kernel_settings import EXPECTATIONS

_log = logging.getLogger(__name__)


class SysctlWatch:
    """The values as they were read last, and what they mean."""

    def __init__(self, uses: Callable[[], Collection[str]], root: Path = Path("/")) -> None:
        """Read once. `uses` returns what the configuration uses of `kernel_settings`."""
        self._uses = uses
        self._files = kernel_settings.value_files(root)
        self._read: tuple[Mapping[str, bytes], Collection[str]] | None = None
        self._values: dict[str, str] = {}
        self._judged: tuple[dict[str, str], Collection[str]] = {}, ()
        self._problems: list[str] = []
        """Those of the values that were judged last."""
        self._told: list[str] = []
        self.tick()

    def tick(self) -> None:
        """Read, and log what is new; call it each second."""
        read = self._files.read(), self._uses()
        if read == self._read:
            return
        self._read, self._values = read, kernel_settings.decoded(read[0])
        told, self._told = self._told, [*self.problems(), *self.notices()]
        for text in self._told:
            if text not in told:
                _log.warning("%s", text)

    def close(self) -> None:
        """End reading."""
        self._files.close()

    def problems(self) -> list[str]:
        """Say which values hide evidence."""
        judged = self._values, self._uses()
        if judged[0] is not self._judged[0] or judged[1] is not self._judged[1]:
            self._judged, self._problems = judged, kernel_settings.problems(*judged)
        return self._problems

    def notices(self) -> list[str]:
        """Say which values weaken evidence."""
        return kernel_settings.notices(self._values, self._uses())

    def samples(self) -> Iterator[Sample]:
        """Yield for each sysctl whether its value is another than evidence needs."""
        wrong = {one.expectation.name for one in kernel_settings.findings(self._values, self._uses())}
        for one in EXPECTATIONS:
            yield "nodewarden_sysctl_fault", (one.dotted,), float(one.name in wrong)
