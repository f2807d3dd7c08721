"""fail2ban's own filters over its own sample logs: the same verdicts."""

import datetime
import functools
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from bench.peers import fail2ban
from monitor.filters.fail2ban.filters import read_filter
from monitor.filters.log_filter import Found, LogFilter
from monitor.filters.scanner import BlockScanner
from tests.support.fail2ban_samples import Sample, samples

_NOW_S = 1124013600.0  # 2005-08-14 10:00 UTC, the time at which fail2ban's tests take place
_ZONE = ZoneInfo("Europe/Zurich")
_LEAST_PERCENT = 99.0
_TESTS = fail2ban.HOME / "usr/lib/python3/dist-packages/fail2ban/tests"
_IDENTITIES = ("host", "ip4", "ip6", "dns", "fid")


class Verdict(NamedTuple):
    """What came out for a sample; `fault` is empty where it is what was expected."""

    name: str
    sample: Sample
    fault: str


@pytest.fixture(scope="module")
def package() -> Path:
    """Return where Debian's package is unpacked."""
    if not fail2ban.fetch():
        message = "Debian's fail2ban cannot be fetched (apt-get download fail2ban)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return fail2ban.HOME


@pytest.fixture(scope="module")
def configuration(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a configuration of all filters that have samples; those of the tests include files of a source tree."""
    directory = tmp_path_factory.mktemp("fail2ban")
    shutil.copytree(package / "etc/fail2ban/filter.d", directory / "filter.d")
    for path in (_TESTS / "config/filter.d").glob("zzz-*.conf"):
        text = re.sub(r"(\.\./)+config/filter\.d/", "", path.read_text())
        (directory / "filter.d" / path.name).write_text(text)
    return directory


def test_verdicts_are_those_of_fail2ban(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all samples of all filters, at least 99 in 100 get the expected verdict; the others are named."""
    verdicts = list(_verdicts(configuration))
    faults = [verdict for verdict in verdicts if verdict.fault]
    percent = 100 * (1 - len(faults) / len(verdicts))
    filters = {verdict.name for verdict in verdicts}
    with capsys.disabled():
        print(f"\nfail2ban_parity_percent {percent:.2f} ({len(verdicts)} verdicts of {len(filters)} filters)")
        for verdict in faults:
            print(f"  {verdict.name} {dict(verdict.sample.options)} {verdict.sample.place}: {verdict.fault}")
    assert len(verdicts) > 1400
    assert len(filters) > 85
    assert percent >= _LEAST_PERCENT


def _verdicts(configuration: Path) -> Iterator[Verdict]:
    for path in sorted((configuration / "filter.d").glob("*.conf")):
        if not path.stem.endswith("common") and (_TESTS / "files/logs" / path.stem).exists():
            yield from _of_filter(configuration, path.stem)


def _of_filter(directory: Path, name: str) -> Iterator[Verdict]:
    """Run all samples of a filter through it, one instance for each set of options."""
    filters: dict[str, LogFilter] = {}
    for sample in samples(_TESTS / "files/logs", name):
        key = str(sample.options.get("test.filter-name", sample.parameters))
        if key not in filters:
            filters[key] = LogFilter(read_filter(directory, name, sample.parameters), _ZONE)
        yield Verdict(name, sample, _fault(filters[key], sample))


def _fault(log_filter: LogFilter, sample: Sample) -> str:
    """Say how the verdict differs from the expected one; empty: it does not."""
    expected = sample.expected
    time_s = _NOW_S if sample.is_journal else None
    outcome = log_filter.examine(f"{sample.line}\n", log_filter.everything, _NOW_S, time_s)
    if isinstance(outcome, Found) != bool(expected.get("match", False)):
        return f"{outcome} but expected {dict(expected)}"
    if not isinstance(outcome, Found):
        return ""
    if not _is_candidate(log_filter, sample.line, outcome.expression):
        return f"expression {outcome.expression} matched a line that Hyperscan would not have shown it"
    host = next((str(expected[key]) for key in _IDENTITIES if key in expected), outcome.host)
    if outcome.host != host:
        return f"{outcome.host} found, but {host} expected"
    if expected.get("time") and outcome.time_s != _time_s(expected):
        return f"dated {outcome.time_s}, but {expected['time']} ({_time_s(expected)}) expected"
    return ""


def _is_candidate(log_filter: LogFilter, line: str, number: int) -> bool:
    """Whether the pass over whole blocks would have found this expression's line."""
    fragments = log_filter.expressions.fail[number].fragments
    data = f"{line}\n".encode(errors="replace")
    return not fragments or bool(_scanner(fragments).candidates(data))


@functools.cache
def _scanner(fragments: str) -> BlockScanner:
    return BlockScanner([fragments])


def _time_s(expected: Mapping[str, Any]) -> float:
    text = expected["time"]
    when = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f" if "." in text else "%Y-%m-%dT%H:%M:%S")
    return when.replace(tzinfo=_ZONE).timestamp()
