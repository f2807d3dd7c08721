"""Texts that several forms share."""

import datetime
from collections.abc import Mapping

from monitor.audit.check import Check
from monitor.audit.findings import Finding, State


def remedy_of(one: Finding, checks: Mapping[str, Check]) -> str:
    """Return what would repair a finding; empty for one that passes."""
    if one.state is State.PASS:
        return ""
    check = checks.get(one.check)
    return one.remedy or (check.remedy if check else "")


_LAST_S = 253_402_300_799.0
"""The last second of the year 9999, which is the last that has a date."""


def rfc3339(time_s: float) -> str:
    """Write a wall time as RFC 3339 does, in UTC to the second."""
    moment = datetime.datetime.fromtimestamp(min(max(0.0, time_s), _LAST_S), datetime.UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def zones_of(one: Finding) -> str:
    """Say from where, as the end of a sentence; empty if the text says so itself."""
    return "" if all(zone in one.text for zone in one.zones) else f" (from {', '.join(one.zones)})"


def sentence(one: Finding) -> str:
    """Say what a finding is about, what was found, from where, and which rule decides."""
    rule = f"; decided by {one.rule}" if one.rule else ""
    return f"{one.subject + ': ' if one.subject else ''}{one.text}{zones_of(one)}{rule}"


def accepted(one: Finding) -> str:
    """Say why a finding is suppressed, and until when; empty if it is not."""
    if one.state is not State.SUPPRESSED:
        return ""
    return f"{one.suppressed_for} (until {rfc3339(one.suppressed_until_s - 1)[:10]})"
