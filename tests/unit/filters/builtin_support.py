"""The samples of the built-in filters, and what reads them."""

import datetime
import functools
from typing import NamedTuple

import msgspec
import pytest
import yaml

from monitor.filters.definition import FilterDefinition
from monitor.filters.library import BUILT_IN, built_in_names, load_filter, read_filter_file
from monitor.filters.log_filter import Found, LogFilter, Missed
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import format_address
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.model.writers import Writer
from tests.support.writers import installed

NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=datetime.UTC).timestamp()
PLANTED = "203.0.113.66"
"""The address that attackers would like to see banned; it stands only in what they write."""


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sample is to yield; the user is compared where it is given."""

    address: str
    user: str | None = None


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Lines, and whose failures they are, in which mode of the filter."""

    line: str = ""
    lines: tuple[str, ...] = ()
    mode: str = ""
    match: bool = True
    address: str = ""
    user: str | None = None
    failures: tuple[Failure, ...] = ()

    @property
    def text(self) -> tuple[str, ...]:
        return self.lines or (self.line,)

    @property
    def expected(self) -> tuple[Failure, ...]:
        if self.lines or not self.match:
            return self.failures
        return (Failure(self.address, self.user),)


class Case(NamedTuple):
    reference: str
    sample: Sample


@functools.cache
def samples_of(name: str) -> list[Sample]:
    text = (BUILT_IN / f"{name}.samples.yaml").read_bytes()
    return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), list[Sample])


def references() -> list[str]:
    """Return every filter in every mode."""
    return [
        f"{name}[mode={mode}]" if mode else name
        for name in built_in_names()
        for mode in (read_filter_file(BUILT_IN / f"{name}.yaml").modes or [""])
    ]


@functools.cache
def default_mode(name: str) -> str:
    return next(iter(read_filter_file(BUILT_IN / f"{name}.yaml").modes), "")


def cases() -> list[Case]:
    found = []
    for name in built_in_names():
        for sample in samples_of(name):
            mode = sample.mode or default_mode(name)
            found.append(Case(f"{name}[mode={mode}]" if mode else name, sample))
    return found


CASES = cases()
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.reference}-{case.sample.text[0][:60]}")
by_reference = pytest.mark.parametrize("reference", references())


@functools.cache
def definition_of(reference: str) -> FilterDefinition:
    return installed(load_filter(reference))


@functools.cache
def _compiled(reference: str) -> LogMatcher:
    """Keep a matcher: others share its expressions and its database, which take long to compile."""
    matcher = LogMatcher({"d": definition_of(reference)})
    matcher.begin(LogBlock("/log", ("d",), b"", NOW_S, ()))
    return matcher


def make_matcher(reference: str, *, use_hyperscan: bool = True, confirm_timeout_s: float = 1.0) -> LogMatcher:
    _compiled(reference)
    matcher = LogMatcher(
        {"d": definition_of(reference)},
        timezones={"d": datetime.UTC},
        confirm_timeout_s=confirm_timeout_s,
        use_hyperscan=use_hyperscan,
    )
    assert not matcher.faults
    return matcher


def scan(
    matcher: LogMatcher, lines: tuple[str, ...], *, is_journal: bool = False, writer: Writer | None = None
) -> list[AuthFailure]:
    data = "".join(f"{line}\n" for line in lines).encode()
    times_s = (NOW_S - 5,) * len(lines) if is_journal else ()
    return matcher.scan(LogBlock("journal" if is_journal else "/log", ("d",), data, NOW_S, times_s, writer=writer))


def check(events: list[AuthFailure], expected: tuple[Failure, ...]) -> None:
    assert [format_address(event.source) for event in events] == [failure.address for failure in expected]
    for event, failure in zip(events, expected, strict=True):
        assert failure.user is None or event.user == failure.user


@functools.cache
def hits() -> list[tuple[str, str, str]]:
    """Return every filter's expressions that some sample's line is matched by, and the line."""
    found = []
    for reference, sample in CASES:
        log_filter = LogFilter(definition_of(reference), datetime.UTC)
        for line in sample.text:
            outcome = log_filter.examine(f"{line}\n", log_filter.everything, NOW_S)
            if isinstance(outcome, (Found, Missed)) and outcome.expression is not None:
                found.append((reference, definition_of(reference).failregex[outcome.expression], line))
    return found
