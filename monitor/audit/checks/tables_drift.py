"""The rules are not those that the operator accepted, or that the last audit saw."""

import time
from collections.abc import Iterator

from monitor.audit.baselines import make_baseline
from monitor.audit.check import Check
from monitor.audit.difference import TableChange, table_changes
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, RuleRef, Severity


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    before, what = facts.baseline, "the baseline"
    if before.is_empty:
        before, what = facts.previous, "the last audit"
    if before.is_empty:
        yield check.unknown("", "there is no baseline and no earlier audit to compare with")
        return
    if reason := before.lacks.get(Part.RULESET.value):
        yield check.unknown("", f"{what} has no rules: {reason}")
        return
    when = _written(before.time_s)
    for change in table_changes(before, make_baseline(facts, before.node)):
        yield check.fail(
            change.table,
            f"since {what} of {when}: {change.summary()}{_example(change)}",
            rule=_rule(change),
        )


def _example(change: TableChange) -> str:
    line = next(iter((*change.added, *change.removed)), None)
    if line is None:
        return ""
    return f"; {'added' if change.added else 'removed'} {'by ' + line.author if line.author else ''} {line}".replace(
        "  ", " "
    )


def _rule(change: TableChange) -> RuleRef | None:
    """Return the first rule that was added, to show where."""
    if not change.added:
        return None
    family, _, table = change.table.partition(" ")
    return RuleRef(family=family, table=table, chain=change.added[0].chain, text=change.added[0].text)


def _written(time_s: float) -> str:
    """Write a time of a file, which may have any number there."""
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(time_s))
    except (OverflowError, ValueError, OSError):
        return "an unknown time"


CHECK = Check(
    id="tables-drift",
    title="The rules are those that were accepted",
    reason="A rule that nobody accepted is a mistake, a forgotten test, or somebody else's.",
    severity=Severity.MEDIUM,
    remedy="See `nodewarden audit diff`. Undo the change, or accept it: `nodewarden audit --write-baseline FILE`.",
    false_positives="A new version of nft may print the same rules otherwise. Rules of kube-proxy, network plugins,"
    " docker and other programs that write new ones all the time are left out, by their names, and contents of sets.",
    needs=(Part.RULESET,),
    judge=_judge,
)
