"""nodewarden's own table is missing or changed, or banned sources get past it."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.model.problems import ProblemKind

_TEXTS = {
    ProblemKind.TABLE: "nodewarden's table is not as it was made, or cannot be restored",
    ProblemKind.LEAK: "traffic from banned sources is still getting through",
}


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    if not facts.own.is_running:
        yield check.unknown("", "the daemon does not run, or did not answer: nothing guards the table")
        return
    for kind, text in _TEXTS.items():
        if kind.value in facts.own.problems:
            yield check.fail(f"problem {kind.value}", f"{text}: see `nodewarden status`")


CHECK = Check(
    id="own-table",
    title="nodewarden's table is in force",
    reason="Bans that packets get past are none.",
    severity=Severity.HIGH,
    remedy="`nodewarden status` and `nodewarden doctor` say what is wrong; another program may flush all rules.",
    needs=(Part.OWN,),
    judge=_judge,
)
