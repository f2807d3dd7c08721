"""The settings of section `audit`."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import OPTIONAL_PATH, duration, path
from monitor.config.shapes import Section


class AuditSettings(Section, frozen=True, kw_only=True):
    """The audit of what is open on this node: `nodewarden audit`, which `nodewarden-audit.timer` runs each day."""

    report: Annotated[
        Path,
        path(),
        Meta(
            description="The report, which root writes and the daemon reads for metrics, alerts and `status`. A file "
            "that others can write to is refused."
        ),
    ] = Path("/var/lib/nodewarden-audit/report.json")
    suppressions: Annotated[
        Path,
        path(),
        Meta(description="Findings that are accepted, each for a reason and until a day. The file may be missing."),
    ] = Path("/etc/nodewarden/audit.yaml")
    baseline: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="Open ports and rules that are accepted, as `nodewarden audit --write-baseline` wrote them. "
            "Empty: none."
        ),
    ] = ""
    kube_bench: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="Where the result of `kube-bench --json` lies, which is shown with the report. Empty: "
            "`/var/log/kube-bench.json` or `/var/log/kube-bench/kube-bench.json`, if one of them is there."
        ),
    ] = ""
    stale_after_s: Annotated[
        float,
        duration("0s", "365d"),
        Meta(description="A report of this age is a problem: audits do not run any more. 0: never."),
    ] = field(default=3 * 86400.0, name="stale_after")
