"""Which alerts report the problems of `status`: those of a kind without an alert of its own share NodewardenProblem."""

from monitor.model.problems import ProblemKind

SHARED = "NodewardenProblem"

ALERTS_OF: dict[ProblemKind, tuple[str, ...]] = {
    ProblemKind.BUDGET: ("NodewardenBudgetExhausted",),
    ProblemKind.ROOM: ("NodewardenNoRoom", "NodewardenSetNearlyFull"),
    ProblemKind.ALLOWLIST_FULL: ("NodewardenAllowlistCut",),
    ProblemKind.FLOOD: ("NodewardenFlood",),
    ProblemKind.RECORDS_LOST: ("NodewardenRecordsLost",),
    ProblemKind.CONNTRACK_FULL: ("NodewardenConntrackNearlyFull",),
    ProblemKind.NAMES: ("NodewardenNameUnresolved",),
    ProblemKind.SCRAPER_BANNED: ("NodewardenScraperBanned",),
    ProblemKind.LEAK: ("NodewardenBanWithoutEffect",),
    ProblemKind.STATE: ("NodewardenStateNotSaved",),
    ProblemKind.TABLE: ("NodewardenTableMissing", "NodewardenTableFault"),
    ProblemKind.REFUSED: ("NodewardenBanRefused",),
    ProblemKind.LISTS: ("NodewardenListFault",),
    ProblemKind.NOTIFY: ("NodewardenNotifyFault",),
    ProblemKind.LISTENER: ("NodewardenListenerErrors",),
    ProblemKind.INTERNAL: ("NodewardenInternalErrors",),
    ProblemKind.FLEET: ("NodewardenFleetServer",),
    ProblemKind.FLEET_BREAKER: ("NodewardenFleetBreaker",),
    ProblemKind.FLEET_DIFFERS: ("NodewardenFleetDiffers",),
    ProblemKind.FLEET_WAITING: ("NodewardenFleetWaiting",),
    ProblemKind.AUDIT: ("NodewardenAuditStale",),
}
"""Kinds with alerts of their own, which fire for each problem of the kind."""


def shared_kinds() -> list[ProblemKind]:
    """Return the kinds that NodewardenProblem reports."""
    return [kind for kind in ProblemKind if kind not in ALERTS_OF]
