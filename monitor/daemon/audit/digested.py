"""What the daemon keeps of a report: numbers, and the gravest findings in words."""

import re
from collections import Counter

import msgspec

from monitor.audit.findings import Finding, Severity, State
from monitor.audit.report import Result

MAX_CHECKS = 128
"""Checks that metrics name; the others share one label."""
OTHER = "other"
_MAX_GRAVE = 8
_MAX_LACKS = 8
_is_name = re.compile("[a-z0-9][a-z0-9-]{0,63}").fullmatch
GRAVE = (Severity.CRITICAL, Severity.HIGH)


class Digested(msgspec.Struct, frozen=True, kw_only=True):
    """One report without its findings."""

    time_s: float
    digest: str
    failing: dict[tuple[str, Severity], int]
    """By check and severity."""
    unknown: int
    suppressed: int
    grave: tuple[str, ...]
    """Findings of high and critical severity, a few of them, for people."""
    lacks: tuple[str, ...]
    """Parts that could not be gathered, and why."""

    def of(self, *severities: Severity) -> int:
        """Return how many findings fail with one of these severities."""
        return sum(count for (_, severity), count in self.failing.items() if severity in severities)


def digested(result: Result) -> Digested:
    """Return what is kept of a result."""
    fails = list(result.of(State.FAIL))
    grave = [one for one in fails if one.severity in GRAVE]
    return Digested(
        time_s=result.time_s,
        digest=result.digest(),
        failing=_by_check(result),
        unknown=sum(1 for _ in result.of(State.UNKNOWN)),
        suppressed=sum(1 for _ in result.of(State.SUPPRESSED)),
        grave=tuple(map(_say, grave[:_MAX_GRAVE])),
        lacks=tuple(f"{part}: {why}" for part, why in list(result.lacks.items())[:_MAX_LACKS]),
    )


def _by_check(result: Result) -> dict[tuple[str, Severity], int]:
    """Count what fails; names of checks are labels of metrics, so they are bounded."""
    counted: Counter[tuple[str, Severity]] = Counter()
    names: set[str] = set()
    for (check, severity), count in result.counts(State.FAIL).items():
        if check not in names and len(names) < MAX_CHECKS and _is_name(check):
            names.add(check)
        counted[check if check in names else OTHER, severity] += count
    return dict(counted)


def _say(one: Finding) -> str:
    return f"{one.check} {one.subject} ({one.severity}): {one.text}"
