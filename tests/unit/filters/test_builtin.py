"""The built-in filters, each against its own samples."""

import datetime
import re

import pytest

from monitor.filters.definition import FilterDefinition
from monitor.filters.expressions import Expressions
from monitor.filters.library import BUILT_IN, read_filter_file
from monitor.filters.matcher import LogMatcher
from monitor.filters.scanner import can_search
from monitor.model.addresses import format_address
from monitor.model.alerts import Strength
from tests.support.writers import genuine
from tests.unit.filters.builtin_support import (
    CASES,
    NOW_S,
    PLANTED,
    Case,
    by_case,
    by_reference,
    check,
    default_mode,
    definition_of,
    hits,
    make_matcher,
    samples_of,
    scan,
)

_SYSLOG_DATE = re.compile(r"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d) (?=[\w.-]+ )")


@by_case
def test_sample(case: Case) -> None:
    """A sample yields just the failures it names, with Hyperscan and without, and its date can be read."""
    matcher, slow = make_matcher(case.reference), make_matcher(case.reference, use_hyperscan=False)
    events = scan(matcher, case.sample.text)
    check(events, case.sample.expected)
    assert scan(slow, case.sample.text) == events
    assert not matcher.unsearchable
    assert matcher.stats["d"].timeouts == matcher.stats["d"].misdated == 0
    assert all(event.time_s < NOW_S for event in events)
    assert all(event.strength is Strength.SPOOFABLE and event.doubt for event in events)


@by_case
def test_the_application_s_own_lines_prove(case: Case) -> None:
    """What the application itself writes, where the filter says, is proven, and otherwise the same.

    Without Hyperscan: it only finds candidates, and compiling takes long.
    """
    events = scan(make_matcher(case.reference, use_hyperscan=False), case.sample.text)
    for writer in genuine(definition_of(case.reference)):
        proven = scan(make_matcher(case.reference, use_hyperscan=False), case.sample.text, writer=writer)
        assert [(event.strength, event.doubt) for event in proven] == [(Strength.PROVEN, "")] * len(events)
        assert [(event.source, event.user, event.time_s) for event in proven] == [
            (event.source, event.user, event.time_s) for event in events
        ]


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if all(map(_SYSLOG_DATE.match, case.sample.text))],
    ids=lambda case: f"{case.reference}-{case.sample.text[0][:60]}",
)
def test_sample_from_the_journal(case: Case) -> None:
    """What syslog writes to a file yields the same without the date, as the journal hands it on."""
    lines = tuple(_SYSLOG_DATE.sub("", line, count=1) for line in case.sample.text)
    events = scan(make_matcher(case.reference), lines, is_journal=True)
    check(events, case.sample.expected)
    assert scan(make_matcher(case.reference, use_hyperscan=False), lines, is_journal=True) == events
    assert all(event.time_s == NOW_S - 5 for event in events)


@by_reference
def test_every_expression_has_a_sample(reference: str) -> None:
    """Every failregex of a mode matches a line of that mode's samples; those of all modes one of the default mode's."""
    name, _, mode = reference.rstrip("]").partition("[mode=")
    file = read_filter_file(BUILT_IN / f"{name}.yaml")
    wanted = set(file.modes[mode].failregex if mode else ())
    if mode == default_mode(name):
        wanted |= set(file.failregex)
    hit = {text for other, text, _ in hits() if other == reference}
    assert wanted - hit == set()


@by_reference
def test_every_expression_can_be_searched_for(reference: str) -> None:
    """Each failregex requires text, so that Hyperscan finds its candidates."""
    assert [fail.text for fail in Expressions(definition_of(reference)).fail if not can_search(fail.fragments)] == []


@by_reference
def test_no_group_is_possessive(reference: str) -> None:
    """CPython 3.11.2 (Debian 12) does not go back where a possessive group fails midway; atomic groups are sound."""
    definition = definition_of(reference)
    assert [text for text in (*definition.failregex, definition.prefregex) if re.search(r"\)[*+?}]\+", text)] == []


@by_reference
def test_every_sample_set_has_both_kinds(reference: str) -> None:
    """Each filter has samples of both kinds, and a planted address among them where text is foreign."""
    name = reference.partition("[")[0]
    samples = samples_of(name)
    assert any(sample.expected for sample in samples)
    assert any(not sample.expected for sample in samples)
    assert name == "dropbear" or any(PLANTED in line for sample in samples for line in sample.text)
    assert all(PLANTED not in failure.address for sample in samples for failure in sample.expected)


@by_reference
def test_journalmatch_and_files(reference: str) -> None:
    """Every match rests on a field that only journald sets, and files are absolute paths."""
    definition = definition_of(reference)
    for match in definition.journalmatch:
        fields = {term.partition("=")[0] for term in match}
        assert fields & {"_SYSTEMD_UNIT", "_SYSTEMD_SLICE", "_TRANSPORT"}
        assert not fields & {"_COMM", "_EXE", "_CMDLINE", "SYSLOG_IDENTIFIER"}
    assert definition.files
    assert all(path.startswith("/") for path in definition.files)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7.", "192.0.2.7"),
        ("192.0.2.7:22", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7:", "2001:db8::7"),
        ("192.0.2.77777", ""),
        ("192.0.2.7.8", ""),
        ("192.0.2.7.example.net", ""),
        ("192.0.2.7a", ""),
        ("2001:db8::77777", ""),
        ("2001:db8::7.9", ""),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_an_address_is_never_a_part_of_a_word(text: str, address: str) -> None:
    """What goes on with digits, letters or more of an address is not the address: nobody is blamed."""
    definition = FilterDefinition(name="loose", failregex=("refused <HOST>",))
    matcher = LogMatcher({"d": definition}, timezones={"d": datetime.UTC})
    events = scan(matcher, (f"Nov 23 17:33:55 web1 app: refused {text}",))
    assert [format_address(event.source) for event in events] == ([address] if address else [])
