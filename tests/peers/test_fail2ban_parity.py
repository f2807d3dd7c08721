"""fail2ban's own filters over its own sample logs: the same verdicts."""

import datetime
import functools
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from monitor.filters.fail2ban.durations import parse_duration
from monitor.filters.fail2ban.filters import read_filter
from monitor.filters.log_filter import Found, LogFilter
from monitor.filters.scanner import BlockScanner
from tests.support.fail2ban_releases import RELEASES, unpacked
from tests.support.fail2ban_samples import Sample, samples

_NOW_S = 1124013600.0  # 2005-08-14 10:00 UTC, the time at which fail2ban's tests take place
_ZONE = ZoneInfo("Europe/Zurich")
_LEAST_PERCENT = {"bookworm": 100.0, "forky": 99.0}
"""The newest release changes, and what it will bring is not known."""
_TESTS = "usr/lib/python3/dist-packages/fail2ban/tests"
_IDENTITIES = ("host", "ip4", "ip6", "dns", "fid")


class Verdict(NamedTuple):
    """What came out for a sample; `fault` is empty where it is what was expected."""

    name: str
    sample: Sample
    fault: str


class Package(NamedTuple):
    """fail2ban as a release of Debian has it, with a configuration of all filters that have samples."""

    release: str
    directory: Path
    logs: Path


@pytest.fixture(scope="module", params=RELEASES)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Return the package of a release; filters of its tests include files of a source tree."""
    try:
        root = unpacked(request.param)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        message = f"fail2ban of {request.param} cannot be fetched: {error}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    directory = tmp_path_factory.mktemp("fail2ban")
    shutil.copytree(root / "etc/fail2ban/filter.d", directory / "filter.d")
    for path in (root / _TESTS / "config/filter.d").glob("zzz-*.conf"):
        text = re.sub(r"(\.\./)+config/filter\.d/", "", path.read_text())
        (directory / "filter.d" / path.name).write_text(text)
    return Package(request.param, directory, root / _TESTS / "files/logs")


def test_verdicts_are_those_of_fail2ban(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    """All samples of all filters get the expected verdict; of the newest release at least 99 in 100."""
    verdicts = list(_verdicts(package))
    faults = [verdict for verdict in verdicts if verdict.fault]
    percent = 100 * (1 - len(faults) / len(verdicts))
    filters = {verdict.name for verdict in verdicts}
    with capsys.disabled():
        print(
            f"\nfail2ban_parity_percent{{release={package.release}}} {percent:.2f} "
            f"({len(verdicts)} verdicts of {len(filters)} filters)"
        )
        for verdict in faults:
            print(f"  {verdict.name} {dict(verdict.sample.options)} {verdict.sample.place}: {verdict.fault}")
    assert len(verdicts) > 1400
    assert len(filters) > 85
    assert percent >= _LEAST_PERCENT[package.release]


def _verdicts(package: Package) -> Iterator[Verdict]:
    for path in sorted((package.directory / "filter.d").glob("*.conf")):
        if not path.stem.endswith("common") and (package.logs / path.stem).exists():
            yield from _of_filter(package, path.stem)


def _of_filter(package: Package, name: str) -> Iterator[Verdict]:
    """Run all samples of a filter through it, one instance for each set of options."""
    filters: dict[str, LogFilter] = {}
    for sample in samples(package.logs, name):
        key = str(sample.options.get("test.filter-name", sample.parameters))
        if key not in filters:
            filters[key] = LogFilter(read_filter(package.directory, name, sample.parameters), _ZONE)
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


def test_durations_are_those_of_fail2ban(package: Package) -> None:
    """Random sums and products of numbers and units give what fail2ban's own function gives."""
    root = package.logs.parents[2]
    random = Random(1)
    texts = [_duration(random) for _ in range(2000)]
    done = subprocess.run(
        ["/usr/bin/python3", "-W", "ignore", "-c", _EVALUATE],
        env={**os.environ, "PYTHONPATH": str(root.parent)},
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    expected = dict(zip(texts, json.loads(done.stdout), strict=True))
    known = {text: value for text, value in expected.items() if value is not None}
    assert len(known) > 800
    wrong = {text: value for text, value in known.items() if not math.isclose(parse_duration(text), value)}
    assert wrong == {}


_EVALUATE = """
import json, sys
from fail2ban.server.mytime import MyTime

def seconds(text):
    try:
        return float(MyTime.str2seconds(text))
    except Exception:
        return None

print(json.dumps([seconds(text) for text in json.load(sys.stdin)]))
"""
_NUMBERS = ("1", "10", "2.5", ".5", "1_000", "3.", "90")
_UNITS = ("", "", "s", "m", "min", "h", "hours", "d", "w", "week", "mo", "months", "y", "yea", " d", " H")


def _duration(random: Random) -> str:
    """Write some terms, which fail2ban cannot always read."""
    terms = [random.choice(_NUMBERS) + random.choice(_UNITS) for _ in range(random.randint(1, 4))]
    text = terms[0]
    for term in terms[1:]:
        # fail2ban reads `1h.5m` as 1 * 3600.5 * 60
        text += (
            random.choice(("+", "-", " * ", "/") if term.startswith(".") else ("", " ", "+", "-", " * ", "/")) + term
        )
    return f"({text})*2" if random.random() < 0.1 else text


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
