"""The line of `status` about the last audit."""

from collections.abc import Mapping
from typing import Any

from monitor.cli import show


def audit_line(audit: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what the last audit found, and whether somebody should read more of it."""
    graded = show.counts(audit["failing"])
    fails = f"{show.findings(sum(audit['failing'].values()))} ({graded})" if graded else ""
    rest = show.counts({"not judged": audit["unknown"], "suppressed": audit["suppressed"]})
    found = ", ".join(filter(None, (fails or "nothing fails", rest)))
    return f"audit {show.duration(audit['age_s'])} ago: {found}", bool(fails or audit["unknown"] or audit["is_stale"])
