"""A report as JSON: the findings with what the checks say of themselves."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.audit.check import Check
from monitor.audit.findings import Finding, State
from monitor.audit.formats.texts import remedy_of, rfc3339
from monitor.audit.report import Report


def document(report: Report, checks: Mapping[str, Check], numbers: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return a report as plain data; `numbers` are those of the CIS benchmark by check."""
    counted = Counter(one.state for one in report.findings)
    return {
        "version": report.version,
        "node": report.node,
        "time": rfc3339(report.time_s),
        "time_s": report.time_s,
        "took_s": round(report.took_s, 3),
        "versions": report.versions,
        "digest": report.digest(),
        "counts": {str(state): counted[state] for state in State},
        "lacks": report.lacks,
        "blind": list(report.blind),
        "loss": list(report.loss),
        "findings": [_finding(one, checks, numbers) for one in report.findings],
        "open": report.state.open,
    }


def _finding(one: Finding, checks: Mapping[str, Check], numbers: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(one)
    check = checks.get(one.check)
    row["title"] = check.title if check else ""
    row["remedy"] = remedy_of(one, checks)
    row["cis"] = list(numbers.get(one.check, ()))
    row["suppressed_until"] = rfc3339(one.suppressed_until_s) if one.suppressed_until_s else None
    return row
