"""Cutting connections beside the packets' way: what was not cut is counted and said."""

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from monitor.daemon.life.background import _MAX_WAITING, Cutting
from monitor.model.addresses import Network, parse_network
from monitor.model.errors import TemporaryError
from tests.support.daemon import wait_for

OFFENDER = parse_network("192.0.2.7")


class _Cutter:
    """Stands in for the kernel: cuts so many connections, and fails or stops early when it is told to."""

    fault: TemporaryError | None = None
    is_incomplete = False
    may_go_on = threading.Event()
    calls: ClassVar[list[int]] = []

    def cut(self, networks: Sequence[Network]) -> int:
        """Return three."""
        self.calls.append(len(networks))
        self.may_go_on.wait(10)
        if self.fault:
            raise self.fault
        return 3


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cutting]:
    """Return what cuts by way of _Cutter."""
    monkeypatch.setattr("monitor.daemon.life.background.ConntrackCutter", _Cutter)
    _Cutter.may_go_on.set()
    cutting = Cutting()
    yield cutting
    _Cutter.may_go_on.set()
    cutting.close()


def test_what_is_cut_whole_is_counted(cutting: Cutting) -> None:
    """Connections are counted; nothing was left."""
    cutting.cut([OFFENDER])
    wait_for(lambda: cutting.cut_total == 3, "the cut")
    assert cutting.incomplete_total == 0


@pytest.mark.parametrize(
    ("change", "said", "cut"),
    [
        ({"is_incomplete": True}, "192.0.2.7 were not all cut", 3),
        ({"fault": TemporaryError("no memory")}, "192.0.2.7 were not cut, only dropped: no memory", 0),
    ],
)
def test_what_is_left_is_counted_and_logged(
    cutting: Cutting,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, object],
    said: str,
    cut: int,
) -> None:
    """A listing that stopped early and an error: once each, with whose connections they were."""
    for name, value in change.items():
        monkeypatch.setattr(_Cutter, name, value)
    with caplog.at_level(logging.WARNING):
        cutting.cut([OFFENDER])
        wait_for(lambda: cutting.incomplete_total == 1 and said in caplog.text, "the cut")
    wait_for(lambda: cutting.cut_total == cut, "the count")


def test_bans_of_a_busy_time_are_cut_together(cutting: Cutting) -> None:
    """While one cut is under way, what comes waits for the next one: each walks the whole connection table."""
    _Cutter.may_go_on.clear()
    _Cutter.calls.clear()
    cutting.cut([OFFENDER])
    wait_for(lambda: _Cutter.calls, "the first cut")
    for _ in range(50):
        cutting.cut([OFFENDER, OFFENDER])
    _Cutter.may_go_on.set()
    wait_for(lambda: cutting.cut_total == 6, "the second cut")
    assert _Cutter.calls == [1, 100]
    assert cutting.incomplete_total == 0


def test_bans_that_are_too_many_at_once_are_counted(cutting: Cutting, caplog: pytest.LogCaptureFixture) -> None:
    """While as many networks wait as may, another is given up and said."""
    _Cutter.may_go_on.clear()
    _Cutter.calls.clear()
    cutting.cut([OFFENDER])
    wait_for(lambda: _Cutter.calls, "the first cut")
    cutting.cut([OFFENDER] * _MAX_WAITING)
    for _ in range(2):
        cutting.cut([OFFENDER])
    assert cutting.incomplete_total == 2
    assert caplog.text.count("too many bans at once") == 2
