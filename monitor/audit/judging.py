"""Applies the checks to facts."""

from collections.abc import Iterable, Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts
from monitor.audit.findings import Finding


def judge(checks: Iterable[Check], facts: Facts) -> Iterator[Finding]:
    """Yield the findings of each check: at least one, which says pass or why nothing is known."""
    for check in checks:
        missing = [facts.lacks[part] for part in check.needs if part in facts.lacks]
        if missing:
            yield check.unknown("", "; ".join(missing))
            continue
        found = list(check.judge(check, facts))
        yield from found or (check.passed(),)
