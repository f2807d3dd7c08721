"""A report as JUnit XML, which CI systems show as tests: one suite, a case for each finding.

What fails is a failure; what is unknown is an error, which no CI takes for a pass; what is suppressed is skipped. The
form is that of Jenkins' schema (junit-10.xsd of its xUnit plug-in).
"""

from collections import Counter
from collections.abc import Mapping
from xml.etree import ElementTree

from monitor.audit.check import Check
from monitor.audit.findings import Finding, State
from monitor.audit.formats.texts import accepted, remedy_of, rfc3339, sentence
from monitor.audit.report import Report
from monitor.model.printable import printable


def junit(report: Report, checks: Mapping[str, Check]) -> str:
    """Return a report as XML."""
    counted = Counter(one.state for one in report.findings)
    numbers = {
        "tests": str(len(report.findings)),
        "failures": str(counted[State.FAIL]),
        "errors": str(counted[State.UNKNOWN]),
    }
    root = ElementTree.Element("testsuites", {"name": "nodewarden audit", **numbers})
    more = {
        "name": "nodewarden audit",
        **numbers,
        "skipped": str(counted[State.SUPPRESSED]),
        "time": f"{report.took_s:.3f}",
        "timestamp": rfc3339(report.time_s).rstrip("Z"),
        "hostname": _clean(report.node),
    }
    suite = ElementTree.SubElement(root, "testsuite", more)
    properties = ElementTree.SubElement(suite, "properties")
    for name, version in report.versions.items():
        ElementTree.SubElement(properties, "property", {"name": _clean(name), "value": _clean(version)})
    for one in report.findings:
        _case(suite, one, checks)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _case(suite: ElementTree.Element, one: Finding, checks: Mapping[str, Check]) -> None:
    check = checks.get(one.check)
    name = one.subject or (check.title if check else one.check)
    case = ElementTree.SubElement(suite, "testcase", {"classname": f"audit.{_clean(one.check)}", "name": _clean(name)})
    if one.state is State.FAIL:
        failed = {"type": str(one.severity), "message": _clean(sentence(one))}
        ElementTree.SubElement(case, "failure", failed).text = _clean(remedy_of(one, checks))
    elif one.state is State.UNKNOWN:
        unknown = {"type": "unknown", "message": _clean(sentence(one))}
        ElementTree.SubElement(case, "error", unknown)
    elif one.state is State.SUPPRESSED:
        ElementTree.SubElement(case, "skipped", {"message": _clean(f"{sentence(one)}; accepted: {accepted(one)}")})


def _clean(text: str) -> str:
    """Escape what XML cannot have, such as control characters."""
    return printable(text)
