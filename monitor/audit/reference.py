"""The reference of all checks, from the checks: `python -m monitor.audit.reference > docs/audit-checks.md`."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.cis import LATEST, numbers
from monitor.audit.facts import Part
from monitor.audit.registry import ALL

_HEAD = f"""\
# Checks of the audit

Written by `make docs` from `monitor/audit/checks`. What states and severities mean, and how to run an audit:
[audit](audit.md). Numbers are those of the CIS Kubernetes Benchmark {LATEST}; `nodewarden audit --cis VERSION` shows
those of others.
"""
_PARTS = {
    Part.REACH: "packets in a copy of the firewall",
    Part.RULESET: "the rules",
    Part.HOST: "the host",
    Part.OWN: "nodewarden itself",
    Part.BASELINE: "the baseline",
}


def reference() -> str:
    """Return the document."""
    return "\n".join([_HEAD, *_overview(), *(line for check in ALL for line in _section(check))]) + "\n"


def _overview() -> Iterator[str]:
    yield "| check | severity | CIS | what is right |"
    yield "| --- | --- | --- | --- |"
    for check in ALL:
        cis = ", ".join(numbers(check.id)) or "-"
        yield f"| [{check.id}](#{check.id}) | {check.severity} | {cis} | {_cell(check.title)} |"


def _section(check: Check) -> Iterator[str]:
    yield f"\n## {check.id}\n"
    judged = " and ".join(_PARTS[part] for part in check.needs)
    yield f"{_sentence(check.title)} Severity: {check.severity}. Judged by: {judged}.\n"
    yield f"{_sentence(check.reason)}\n"
    yield f"**Remedy.** {_sentence(check.remedy)}"
    if check.false_positives:
        yield f"\n**No fault if:** {_sentence(check.false_positives)}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "`", ":")) else f"{text}."


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the document
