"""What programs read: JSON, JUnit and SARIF, valid for those who read them, whatever a rule or process is called."""

import json
from xml.etree import ElementTree

import jsonschema
import pytest

from monitor.audit.findings import State
from monitor.audit.formats.document import document
from monitor.audit.formats.junit import junit
from monitor.audit.formats.sarif import sarif
from monitor.audit.report import Report, encodable
from tests.unit.audit.report_support import CHECKS, RULE, everything, finding, report

_NUMBERS = {"exposed-etcd": ("2.1", "2.2")}
_HOSTILE = "\x1b[2J\x00\u202e\ufffe\udcff</failure>]]>&\n"


def _closed(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _many(items: object) -> dict[str, object]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_MESSAGE = _closed(["text"], text=_TEXT)
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
_ARTIFACT = _closed(["uri"], uri={"type": "string", "pattern": r"^[A-Za-z0-9%/._~:-]+$"}, uriBaseId={"const": "ROOT"})
_LOCATION = _closed(
    ["physicalLocation"],
    physicalLocation=_closed(["artifactLocation"], artifactLocation=_ARTIFACT),
    logicalLocations=_many(_closed([], fullyQualifiedName=_TEXT)),
)
_SUPPRESSION = _closed(
    ["kind"], kind={"enum": ["inSource", "external"]}, status={"const": "accepted"}, justification=_TEXT
)
_RESULT = _closed(
    ["message", "ruleId", "locations"],
    ruleId=_TEXT,
    ruleIndex={"type": "integer", "minimum": 0},
    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
    level=_LEVEL,
    message=_MESSAGE,
    locations=_many(_LOCATION) | {"minItems": 1},
    suppressions=_many(_SUPPRESSION),
    partialFingerprints={"type": "object", "additionalProperties": _TEXT},
    properties={"type": "object"},
)
_RULE = _closed(
    ["id"],
    id=_TEXT,
    shortDescription=_MESSAGE,
    fullDescription=_MESSAGE,
    help=_MESSAGE,
    defaultConfiguration=_closed([], level=_LEVEL),
    properties=_closed([], tags=_many(_TEXT) | {"uniqueItems": True}, **{"security-severity": _TEXT}),
)
_NOTICE = _closed(["message"], level=_LEVEL, message=_MESSAGE)
_RUN = _closed(
    ["tool", "results"],
    tool=_closed(["driver"], driver=_closed(["name"], name=_TEXT, version=_TEXT, rules=_many(_RULE))),
    originalUriBaseIds={"type": "object", "additionalProperties": _closed([], uri=_TEXT)},
    invocations=_many(
        _closed(
            ["executionSuccessful"],
            executionSuccessful={"type": "boolean"},
            startTimeUtc=_TIME,
            endTimeUtc=_TIME,
            machine=_TEXT,
            toolExecutionNotifications=_many(_NOTICE),
        )
    ),
    results=_many(_RESULT),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
)
_SARIF = _closed(["version", "runs"], **{"$schema": _TEXT, "version": {"const": "2.1.0"}, "runs": _many(_RUN)})
"""What SARIF 2.1.0 (sections 3.13 to 3.58) allows of the properties that are used; its objects are closed."""


def _hostile() -> Report:
    named = {"subject": _HOSTILE, "text": _HOSTILE, "remedy": _HOSTILE, "suppressed_for": _HOSTILE}
    rule = type(RULE)(family="ip", table=_HOSTILE, chain=_HOSTILE, text=_HOSTILE)
    states = [finding(state=state, rule=rule, **named) for state in State]
    return report(
        *states, finding(location=f"/{_HOSTILE}"), node=_HOSTILE, versions={"nft": _HOSTILE}, blind=(_HOSTILE,)
    )


@pytest.mark.parametrize("make", [everything, _hostile, report])
def test_sarif_is_valid(make: type[Report]) -> None:
    """By the properties of the standard, of which it has no others; it survives JSON."""
    whole = json.loads(json.dumps(sarif(make(), CHECKS, _NUMBERS)))
    jsonschema.Draft7Validator(_SARIF).validate(whole)


def test_sarif_says_what_fails_what_is_open_and_what_is_accepted() -> None:
    """No result for what passes: viewers would show it as an alert."""
    (run,) = sarif(everything(), CHECKS, _NUMBERS)["runs"]
    rows = {(one["ruleId"], one["kind"], one["level"], "suppressions" in one) for one in run["results"]}
    assert rows == {
        ("exposed-etcd", "fail", "error", False),
        ("redirects", "open", "none", False),
        ("redirects", "fail", "note", True),
    }
    uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in run["results"]]
    assert uris[:2] == ["nftables/ip/filter/INPUT", "etc/kubernetes/manifests/etcd%20main.yaml"]
    assert run["tool"]["driver"]["rules"][0]["properties"]["tags"] == ["security", "CIS 2.1", "CIS 2.2"]
    assert [one["message"]["text"] for one in run["invocations"][0]["toolExecutionNotifications"]] == [
        "host is unknown: no /proc",
        "every verdict may be wrong: an XDP program on eth0",
    ]


@pytest.mark.parametrize("make", [everything, _hostile, report])
def test_junit_is_well_formed_and_counts_what_it_has(make: type[Report]) -> None:
    """As CI systems read it: failures, errors and skipped add up, and each case has at most one of them."""
    root = ElementTree.fromstring(junit(make(), CHECKS))
    (suite,) = root
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases)) == root.get("tests")
    for name, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.get(attribute) == str(len(suite.findall(f"testcase/{name}")))
    allowed = {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}
    assert set(suite.attrib) == allowed
    assert [child.tag for child in suite][:1] == ["properties"]
    for case in cases:
        assert set(case.attrib) == {"classname", "name"}
        assert len(case) <= 1
        assert {child.tag for child in case} <= {"failure", "error", "skipped"}


def test_junit_has_rule_and_remedy() -> None:
    """Who reads a red build sees what decides and what to do."""
    root = ElementTree.fromstring(junit(everything(), CHECKS))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "decided by ip filter INPUT: tcp dport 2379" in failure.get("message", "")
    assert (failure.get("type"), failure.text) == ("critical", "Close it.")


def test_json_has_what_the_checks_say() -> None:
    """Counts, remedy and numbers of the benchmark; it is plain data."""
    whole = json.loads(json.dumps(document(everything(), CHECKS, _NUMBERS)))
    assert whole["counts"] == {"pass": 1, "fail": 2, "unknown": 1, "suppressed": 1}
    first, second = whole["findings"][:2]
    assert (first["title"], first["remedy"], first["cis"]) == ("Title of exposed-etcd", "Close it.", ["2.1", "2.2"])
    assert second["remedy"] == "Edit it."
    assert whole["findings"][3]["suppressed_until"] == "2025-11-29T03:20:00Z"
    json.dumps(document(encodable(_hostile()), CHECKS, _NUMBERS)).encode()
