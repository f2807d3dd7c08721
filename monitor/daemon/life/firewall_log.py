"""Looks from time to time, in a thread, whether the firewall's rules log what the kernel log source needs."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from monitor.daemon.selfcheck.firewall import firewall_part, look_at_rules
from monitor.enforcers.nftables.log_rules import Finding
from monitor.model.errors import SYSTEM_FAULTS
from monitor.model.requirements import Part
from monitor.model.retry import Worker
from monitor.settings.schema import Settings

_log = logging.getLogger(__name__)
_EVERY_S = 300.0


class FirewallLog:
    """What was found last; nothing while the source is off."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        look: Callable[[Settings], list[Finding]] = look_at_rules,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find nothing yet. `settings` returns those in force, `look` reads the rules.

        `clock` is monotonic, in seconds.
        """
        self._settings = settings
        self._look = look
        self._clock = clock
        self._worker = Worker("firewall")
        self._job: Future[list[Finding]] | None = None
        self._due_s = float("-inf")
        self._found: list[Finding] = []

    @property
    def _is_on(self) -> bool:
        return self._settings().sources.kernel_log.enabled

    @property
    def findings(self) -> list[Finding]:
        """What is wrong, if the source is on."""
        return self._found if self._is_on else []

    def notices(self) -> list[str]:
        """Say what is wrong."""
        return [one.text for one in self.findings]

    def part(self) -> Part:
        """Return the part of the self-check."""
        return firewall_part(self.findings, is_wanted=self._is_on)

    def tick(self) -> None:
        """Take what was found, and look again when it is time; call it each second."""
        if self._job and self._job.done():
            self._take(self._job)
            self._job = None
        if self._job is None and self._is_on and self._clock() >= self._due_s:
            self._due_s = self._clock() + _EVERY_S
            self._job = self._worker.submit(self._look, self._settings())

    def renew(self) -> None:
        """Look again soon: the settings changed."""
        self._due_s = float("-inf")

    def close(self) -> None:
        """Look no more."""
        self._worker.shutdown(cancel=True)

    def _take(self, job: Future[list[Finding]]) -> None:
        try:
            found = job.result()
        except SYSTEM_FAULTS as error:  # nf_tables kept changing, or is missing: what was found before stays
            _log.debug("the rules of the firewall could not be read: %s", error)
            return
        for one in found:
            if one not in self._found:
                _log.warning("%s; %s", one.text, one.repair)
        self._found = found
