"""What a check is."""

from collections.abc import Callable, Iterator

import msgspec

from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity, State, Zone


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check: `judge` yields what fails and what is unknown; a check that yields nothing passes.

    `judge` is pure. It is not called while a part in `needs` is missing: the check is unknown then, for that reason.
    """

    id: str
    title: str
    reason: str
    """Why it matters: one or two sentences for the operator."""
    severity: Severity
    remedy: str
    false_positives: str = ""
    """When a finding is no fault; empty: there is no such case known."""
    needs: tuple[Part, ...]
    judge: Callable[["Check", Facts], Iterator[Finding]]

    def fail(
        self,
        subject: str,
        text: str,
        *,
        severity: Severity | None = None,
        zones: tuple[Zone, ...] = (),
        rule: RuleRef | None = None,
        location: str = "",
        remedy: str = "",
    ) -> Finding:
        """Return a finding that this check fails for a subject."""
        return Finding(
            check=self.id,
            subject=subject[:256],
            state=State.FAIL,
            severity=severity or self.severity,
            text=text[:2048],
            zones=zones,
            rule=rule,
            location=location[:2048],
            remedy=remedy[:2048],
        )

    def unknown(self, subject: str, text: str) -> Finding:
        """Return a finding that a subject cannot be judged, and why."""
        return Finding(
            check=self.id, subject=subject[:256], state=State.UNKNOWN, severity=self.severity, text=text[:2048]
        )

    def passed(self, text: str = "") -> Finding:
        """Return the finding of a check that found no fault; `text` says why where that is not what the title says."""
        return Finding(
            check=self.id, subject="", state=State.PASS, severity=self.severity, text=(text or self.title)[:2048]
        )
