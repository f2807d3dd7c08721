"""A report as SARIF 2.1.0 (OASIS), for code scanning and dashboards of findings.

What fails is a result of kind `fail`; what is unknown of kind `open`, the standard's word for too little information;
what is suppressed carries a suppression with the operator's reason. Checks that pass are rules without results: viewers
show every result as an alert. Each result has a location, as viewers demand: the file where it can be changed, or else
the place in the ruleset, as a path below the root.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from monitor.audit.check import Check
from monitor.audit.findings import Finding, Severity, State
from monitor.audit.formats.texts import accepted, remedy_of, rfc3339, sentence
from monitor.audit.report import Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "ROOT"
_LEVELS = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}
_SCORES = {
    Severity.INFO: "0.0",
    Severity.LOW: "3.0",
    Severity.MEDIUM: "5.5",
    Severity.HIGH: "8.0",
    Severity.CRITICAL: "9.5",
}
"""The property `security-severity`, from which viewers derive the word: one value in each range of CVSS."""


def sarif(report: Report, checks: Mapping[str, Check], numbers: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return a report as plain data; `numbers` are those of the CIS benchmark by check."""
    index = {check: position for position, check in enumerate(checks)}
    notes = [f"{part} is unknown: {why}" for part, why in report.lacks.items()]
    notes += [f"every verdict may be wrong: {text}" for text in report.blind]
    notes += [f"not copied: {text}" for text in report.loss]
    run = {
        "tool": {
            "driver": {
                "name": "nodewarden",
                "version": report.versions.get("nodewarden", ""),
                "rules": [_rule(check, numbers.get(check.id, ())) for check in checks.values()],
            }
        },
        "originalUriBaseIds": {_ROOT: {"uri": "file:///"}},
        "invocations": [
            {
                "executionSuccessful": True,
                "startTimeUtc": rfc3339(report.time_s),
                "endTimeUtc": rfc3339(report.time_s + report.took_s),
                "machine": report.node,
                "toolExecutionNotifications": [{"level": "warning", "message": {"text": text}} for text in notes],
            }
        ],
        "results": [_result(one, checks, index) for one in report.findings if one.state is not State.PASS],
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(check: Check, numbers: tuple[str, ...]) -> dict[str, Any]:
    text = check.remedy
    if check.false_positives:
        text = f"{text}\nNo fault if: {check.false_positives}"
    return {
        "id": check.id,
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.reason},
        "help": {"text": text or check.title},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
        "properties": {
            "security-severity": _SCORES[check.severity],
            "tags": ["security", *(f"CIS {number}" for number in numbers)],
        },
    }


def _result(one: Finding, checks: Mapping[str, Check], index: Mapping[str, int]) -> dict[str, Any]:
    text = sentence(one)
    if remedy := remedy_of(one, checks):
        text = f"{text}\nRemedy: {remedy}"
    row: dict[str, Any] = {
        "ruleId": one.check,
        "kind": "open" if one.state is State.UNKNOWN else "fail",
        "level": "none" if one.state is State.UNKNOWN else _LEVELS[one.severity],
        "message": {"text": text},
        "locations": [_location(one)],
        "partialFingerprints": {"subject/v1": f"{one.check}:{one.subject}"},
        "properties": {"severity": str(one.severity), "state": str(one.state), "zones": list(one.zones)},
    }
    if one.check in index:
        row["ruleIndex"] = index[one.check]
    if one.state is State.SUPPRESSED:
        row["suppressions"] = [{"kind": "external", "status": "accepted", "justification": accepted(one)}]
    return row


def _location(one: Finding) -> dict[str, Any]:
    """Name the file; of what is in no file, the chain, or the check itself."""
    if one.location.startswith("/"):
        path = one.location.lstrip("/")
    elif one.rule:
        path = "/".join(("nftables", one.rule.family, one.rule.table, one.rule.chain))
    else:
        path = f"audit/{one.check}"
    return {
        "physicalLocation": {"artifactLocation": {"uri": quote(path, errors="replace"), "uriBaseId": _ROOT}},
        "logicalLocations": [{"fullyQualifiedName": one.subject or one.check}],
    }
