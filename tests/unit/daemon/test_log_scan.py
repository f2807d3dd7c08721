"""The filters at work for all logs: faults that cost one detector, totals that go on over reloads."""

import logging
import time
from pathlib import Path

import msgspec
import pytest

from monitor.daemon.catalogue import BY_NAME
from monitor.daemon.sources.log_filters import LogFilters
from monitor.daemon.sources.log_scan import LogScan
from monitor.detectors.failures import Backend, FailuresSettings
from monitor.model.addresses import parse_address
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings

_FILTER = 'description: Ours.\nfailregex: ["^refused <HOST>$"]\nignoreregex: ["192\\\\.0\\\\.2\\\\.9$"]\n'
_WRONG = 'description: It has an open bracket.\nfailregex: ["^(refused <HOST>$"]\n'


def section(directory: Path, name: str, content: str, **more: object) -> FailuresSettings:
    """Write a filter and return a detector that has it read `/logs/NAME`."""
    path = directory / f"{name}.yaml"
    path.write_text(content)
    return FailuresSettings(filter=str(path), backend=Backend.FILES, files=(f"/logs/{name}",), **more)  # type: ignore[arg-type]


def filters(**failures: FailuresSettings) -> LogFilters:
    """Load these detectors and no others."""
    return LogFilters(Settings(detectors=Detectors(failures=failures)))


def block(*lines: str, detectors: tuple[str, ...] = ("good",)) -> LogBlock:
    """Return lines that were just read."""
    data = "".join(f"{line}\n" for line in lines).encode()
    return LogBlock("/logs/good", detectors, data, time.time())


def failures(scan: LogScan, of: LogBlock) -> list[AuthFailure]:
    begun = scan.begin(of)
    assert begun is not None
    return begun.run()


def test_a_filter_that_is_wrong_costs_its_own_detector(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that does not compile and one that is not there: both are named everywhere, neither is read for."""
    absent = FailuresSettings(filter="/nonexistent/filter.yaml", backend=Backend.FILES, files=("/logs/absent",))
    good, wrong = section(tmp_path, "good", _FILTER), section(tmp_path, "wrong", _WRONG)
    scan = LogScan(filters(good=good, wrong=wrong, absent=absent), 0.1)
    assert scan.files == {"good": ("/logs/good",)}
    events = failures(scan, block("refused 192.0.2.1", detectors=("good", "wrong")))
    assert [(event.detector, event.source) for event in events] == [("good", parse_address("192.0.2.1"))]
    told = sorted(scan.problems())
    assert told[0].startswith("detector absent finds nothing: /nonexistent/filter.yaml")
    assert told[1].startswith("detector wrong finds nothing: ")
    assert sorted(record.message for record in caplog.records if record.levelno == logging.ERROR) == told
    states = {one["detector"]: (one["state"], bool(one["trouble"])) for one in scan.describe()}
    assert states == {"good": ("up", False), "wrong": ("down", True), "absent": ("down", True)}
    up = {labels: value for name, labels, value in scan.samples() if name == "nodewarden_filter_up"}
    assert up == {("good",): 1.0, ("wrong",): 0.0, ("absent",): 0.0}


def test_a_mended_filter_is_taken_up_and_totals_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a reload the detector works, the other's totals never step back, and an old fault is not told again."""
    good, wrong = section(tmp_path, "good", _FILTER), section(tmp_path, "wrong", _WRONG)
    scan = LogScan(filters(good=good, wrong=wrong), 0.1)
    failures(scan, block("refused 192.0.2.1", "refused 192.0.2.9", "welcome 192.0.2.1"))
    scan.follow(filters(good=msgspec.structs.replace(good, findtime_s=60.0), wrong=wrong), 0.1)
    assert len(caplog.records) == 1
    scan.follow(filters(good=good, wrong=section(tmp_path, "wrong", _FILTER)), 0.1)
    assert scan.problems() == []
    assert set(scan.files) == {"good", "wrong"}
    failures(scan, block("refused 192.0.2.1", detectors=("good", "wrong")))
    totals = {(name, *labels): value for name, labels, value in scan.samples()}
    assert totals["nodewarden_filter_failures_total", "good"] == 2
    assert totals["nodewarden_filter_failures_total", "wrong"] == 1
    assert totals["nodewarden_filter_ignored_total", "good"] == 1
    assert totals["nodewarden_filter_candidates_total", "good"] == 3


def test_a_reload_that_changes_no_filter_keeps_the_matcher(tmp_path: Path) -> None:
    """What filters remember of connections survives it; where a log is read can change all the same."""
    good = section(tmp_path, "good", _FILTER)
    scan = LogScan(filters(good=good), 0.1)
    matcher = scan._matcher
    scan.follow(filters(good=msgspec.structs.replace(good, files=("/other",), maxretry=9)), 0.1)
    assert scan._matcher is matcher
    assert scan.files == {"good": ("/other",)}
    scan.follow(filters(good=good), 0.2)
    assert scan._matcher is not matcher


def test_without_filters_there_is_nothing_to_read() -> None:
    """No detector of failures: nothing to read, nothing wrong, no series."""
    scan = LogScan(filters(), 0.1)
    assert (scan.files, scan.journal, scan.problems(), scan.describe(), list(scan.samples())) == ({}, {}, [], [], [])
    assert scan.begin(block("refused 192.0.2.1")) is None


def test_every_sample_is_in_the_catalogue(tmp_path: Path) -> None:
    """All that filters count is there, with its label."""
    scan = LogScan(filters(good=section(tmp_path, "good", _FILTER)), 0.1)
    names = {name for name, labels, _ in scan.samples() if len(labels) == len(BY_NAME[name].labels)}
    assert names == {name for name in BY_NAME if name.startswith("nodewarden_filter_")}


def test_a_slow_filter_is_told(tmp_path: Path) -> None:
    """A filter whose expressions require no text looks at every line, and a notice says so."""
    slow = section(tmp_path, "slow", 'description: Anything.\nfailregex: ["^<HOST>$"]\n')
    assert any("filter of slow" in notice for notice in LogScan(filters(slow=slow), 0.1).notices)
