"""What detectors counted comes back after a restart, and nothing else does."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.daemon.life.saved_windows import SavedPart, SavedWindows, counted_parts
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.registration import DetectorContext
from monitor.detectors.registry import ALL, build
from monitor.model.alerts import Strength
from monitor.model.bitmap_window import BitmapWindow
from monitor.model.clients import Clients
from monitor.model.events import AuthFailure
from monitor.model.flows import FlowBatch
from monitor.model.rates import RateWindow
from monitor.model.saved_rows import SavedRow, number_row
from monitor.model.window import DistinctWindow
from monitor.settings.schema import Settings
from monitor.state.changes import SavedContent
from monitor.state.saver import Saver
from tests.support.events import udp
from tests.support.policy import willing_table

_NOW_S = 1_800_000_000.0
_SOURCE = b"\xc0\0\2\1"
_WITHOUT_WINDOW = {
    "open_connections": "the connections that are open are listed again",
    "egress": "fires at the first offence",
    "protected_port": "fires at the first offence",
}


def _distinct() -> DistinctWindow:
    return DistinctWindow(findtime_s=600.0, maxretry=10, max_entries=1000)


def _bitmap() -> BitmapWindow:
    return BitmapWindow(findtime_s=600.0, maxretry=40, max_entries=1000)


def _rate() -> RateWindow:
    return RateWindow(findtime_s=600.0, maxretry=100, max_entries=1000)


def _fill(window: Any, end_s: float, seed: int) -> None:
    chance = random.Random(seed)
    for step in range(200):
        key, time_s = bytes((chance.randrange(30),)), end_s - 500 + 2.5 * step
        if isinstance(window, DistinctWindow):
            window.add(key, bytes((chance.randrange(40),)), time_s)
        elif isinstance(window, BitmapWindow):
            window.add(key, 1 << chance.randrange(64), time_s)
        else:
            list(window.add({key: chance.randrange(1, 9)}, time_s))


@pytest.mark.parametrize("make", [_distinct, _bitmap, _rate])
def test_a_window_comes_back_with_the_same_counts(make: Callable[[], Any]) -> None:
    """All counts are the same, also ten seconds later; with fewer rows than there are, those of the highest counts."""
    for seed in range(10):
        window, again, part = make(), make(), make()
        _fill(window, _NOW_S, seed)
        again.resume(window.export(10_000), _NOW_S + 10)
        part.resume(window.export(60), _NOW_S + 10)
        counts = {key: window.count(key) for key in map(bytes, zip(range(30), strict=True))}
        assert {key: again.count(key) for key in counts} == counts
        assert all(part.count(key) <= count for key, count in counts.items())
        assert len(window.export(60)) <= 60
        assert any(part.count(key) == max(counts.values()) for key in counts)


@pytest.mark.parametrize("make", [_distinct, _bitmap, _rate])
@pytest.mark.parametrize("passed_s", [1300.0, -3600.0, 1e9, -1e9])
def test_what_is_too_old_or_not_yet_does_not_count(make: Callable[[], Any], passed_s: float) -> None:
    """Nor does anything if the clock was set while the guard was down."""
    window, again = make(), make()
    _fill(window, _NOW_S, 1)
    again.resume(window.export(10_000), _NOW_S + passed_s)
    assert [again.count(bytes((key,))) for key in range(30)] == [0] * 30


@pytest.mark.parametrize("make", [_distinct, _bitmap, _rate])
def test_rows_raise_no_alert_whatever_they_say(make: Callable[[], Any]) -> None:
    """A threshold that is lower now, or rows that nobody exported: a key stays below the threshold."""
    window, threshold = make(), {DistinctWindow: 10, BitmapWindow: 40, RateWindow: 100}[type(make())]
    rows = [(_SOURCE, bytes((item,)), _NOW_S - item) for item in range(200)]
    rows += [number_row(b"\1", (1 << 64) - 1, _NOW_S), number_row(b"", 0, _NOW_S)]
    window.resume(rows, _NOW_S)
    assert all(window.count(key) < threshold for key in (_SOURCE, b"\1", b""))


def test_kept_keys_and_crowds_come_back() -> None:
    """A flood from one /24 fills the window: its own share and a key that was kept nevertheless come back as well."""
    window = DistinctWindow(findtime_s=600.0, maxretry=10, max_entries=1024)
    again = DistinctWindow(findtime_s=600.0, maxretry=10, max_entries=1024)
    part = DistinctWindow(findtime_s=600.0, maxretry=10, max_entries=1024)
    chance = random.Random(1)
    slow = bytes((203, 0, 113, 9, 6))
    for step in range(25_000):
        time_s = _NOW_S - 300 + step / 100
        window.add(bytes((198, 51, 100, *chance.randbytes(2))), b"a", time_s)
        window.add(bytes((chance.randrange(1, 190), *chance.randbytes(4))), b"a", time_s)
        if step % 700 == 0:
            window.add(slow, bytes((step // 700 % 6,)), time_s)
    assert window.stats.crowds
    assert window.count(slow) == 6
    rows = window.export(100_000)
    assert len(rows) == window.stats.entries
    again.resume(rows, _NOW_S)
    assert again.count(slow) == window.count(slow)
    rows = window.export(256)
    assert len(rows) <= 256
    assert sum(row[0].startswith(bytes((198, 51, 100))) for row in rows) <= 32
    part.resume(rows, _NOW_S)
    assert part.count(slow) == window.count(slow)


def test_clients_of_one_network_come_back_as_its_share() -> None:
    """Rows of an earlier run take no more room than the network may have."""
    clients = Clients()
    rows = [number_row(bytes((192, 0, 2, 0)) + index.to_bytes(4), 1, _NOW_S - 9) for index in range(9000)]
    clients.resume(rows, _NOW_S)
    assert len(clients) == 8192


def test_clients_come_back() -> None:
    """A client of the last run is one still, for packets that came after its handshakes."""
    clients = Clients()
    clients.resume([number_row(_SOURCE, 3, _NOW_S - 100), number_row(b"\1\2\3\4", 3, _NOW_S + 100)], _NOW_S)
    assert clients.knows(_SOURCE, _NOW_S)
    assert clients.handshakes(_SOURCE) == 3
    assert not clients.knows(b"\1\2\3\4", _NOW_S + 200)
    assert [row[0] for row in clients.export(10)] == [_SOURCE]


def test_each_detector_keeps_its_window() -> None:
    """A detector that remembers something outlives a restart, or it is known why it need not."""
    for registration in ALL:
        settings = FailuresSettings(filter="sshd") if registration.name == "failures" else registration.settings()
        detector = build(registration.name, settings, DetectorContext())
        assert bool(detector.windows()) is (registration.name not in _WITHOUT_WINDOW), registration.name


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[Saver]:
    """Return an open saver."""
    saver = Saver(tmp_path / "nodewarden.db")
    saver.open()
    yield saver
    saver.close()


def _pipeline() -> Pipeline:
    return Pipeline(Settings(), (), willing_table)


def _failures(count: int) -> list[AuthFailure]:
    return [AuthFailure(_NOW_S - one, "sshd", _SOURCE, Strength.PROVEN, "journal") for one in reversed(range(count))]


def test_the_last_failure_after_a_restart_bans(saver: Saver) -> None:
    """Four failures, a restart, and the fifth: banned. Two restarts more count nothing twice."""
    pipeline = _pipeline()
    pipeline.process(_failures(4), _NOW_S)
    for _ in range(3):
        SavedWindows(saver, pipeline, lambda: True).save(_NOW_S)
        assert saver.flush()
        pipeline = _pipeline()
        assert SavedWindows(saver, pipeline, lambda: True).restore(_NOW_S + 5) > 5
        assert not list(pipeline.ledger.bans())
    (decision,) = pipeline.process(_failures(1), _NOW_S)
    assert decision.ban is not None
    assert decision.ban.reason.startswith("5 failures in sshd")


def test_all_are_saved_within_ten_ticks_and_unchanged_ones_are_not_again(saver: Saver) -> None:
    """While logs are read but not scanned their detectors wait: what is read again after a kill would count twice."""
    is_settled = [False]
    windows = SavedWindows(saver, _pipeline(), lambda: is_settled[0])
    for _ in range(10):
        windows.tick(_NOW_S)
    assert "port_scan" in saver._pending.windows
    assert "sshd" not in saver._pending.windows
    is_settled[0] = True
    for _ in range(10):
        windows.tick(_NOW_S)
    assert {"clients", "port_scan", "sshd"} <= set(saver._pending.windows)
    assert saver.flush()
    for _ in range(10):
        windows.tick(_NOW_S + 10)
    assert saver.pending == 0


def test_all_are_saved_within_ten_seconds_of_a_quiet_daemon(saver: Saver) -> None:
    """A tick that comes later saves what is due by then: after a kill the last ten seconds are missing, not more."""
    windows = SavedWindows(saver, pipeline := _pipeline(), lambda: True)
    windows.tick(_NOW_S)
    for tick in range(1, 4):
        windows.tick(_NOW_S + 3.01 * tick)
    everything = {one.name for one in counted_parts(pipeline)}
    assert everything == set(saver._pending.windows)
    windows.tick(_NOW_S - 1e6)  # the clock was set
    windows.tick(_NOW_S + 1e9)


def test_nothing_is_compared_while_nothing_is_counted(saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a round after the last event is over: but now and then, and what is no part of the pipeline in its turn."""
    asked: list[str] = []

    class Part(DistinctWindow):
        def export(self, limit: int) -> list[SavedRow]:
            asked.append("more")
            return super().export(limit)

    more = SavedPart("scrapers", "scrapers", (Part(findtime_s=600.0, maxretry=10, max_entries=100),))
    pipeline = _pipeline()
    windows = SavedWindows(saver, pipeline, lambda: True, (more,))
    all_parts = windows._parts

    def parts() -> list[SavedPart]:
        asked.append("all")
        return all_parts()

    monkeypatch.setattr(windows, "_parts", parts)

    def tick(first_s: int, last_s: int) -> set[str]:
        asked.clear()
        for passed_s in range(first_s, last_s):
            windows.tick(_NOW_S + passed_s)
        return set(asked)

    assert tick(0, 15) == {"all", "more"}
    assert tick(15, 25) == {"more"}
    pipeline.process([FlowBatch(_NOW_S + 25)], _NOW_S + 25)  # tells of no connection
    pipeline.follow_listeners((), _NOW_S + 25, is_seen=True)
    assert tick(25, 35) == {"more"}
    pipeline.process(_failures(4), _NOW_S + 35)
    assert tick(35, 45) == {"all", "more"}
    assert "sshd" in saver._pending.windows
    assert tick(45, 50) >= {"all"}
    assert tick(50, 60) == {"more"}
    assert tick(60, 340) == {"all", "more"}


def test_what_is_released_later_is_saved(saver: Saver) -> None:
    """Logged packets that waited for connection tracking count in a tick, without another event."""
    pipeline = _pipeline()
    pipeline.process([FlowBatch(_NOW_S)], _NOW_S)
    known = pipeline.counted_total
    pipeline.process([udp("192.0.2.1", 53, time_s=_NOW_S)], _NOW_S)
    assert pipeline.counted_total == known + 1
    pipeline.release(_NOW_S + 10)
    assert pipeline.counted_total == known + 2
    pipeline.release(_NOW_S + 11)
    assert pipeline.counted_total == known + 2


@pytest.mark.parametrize("seed", range(8))
def test_content_of_any_kind_costs_at_most_itself(saver: Saver, seed: int) -> None:
    """Random bytes, other versions, damaged content: no error, and no ban."""
    chance = random.Random(seed)
    pipeline = _pipeline()
    pipeline.process(_failures(4), _NOW_S)
    SavedWindows(saver, pipeline, lambda: True).save(_NOW_S)
    for name, saved in dict(saver._pending.windows).items():
        content = bytearray(saved.content)
        for _ in range(chance.choice([1, 5, 50])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        content = content if seed % 2 else bytearray(chance.randbytes(chance.randrange(200)))
        saver.save_window(name, SavedContent(_NOW_S, bytes(content)))
    assert saver.flush()
    pipeline = _pipeline()
    SavedWindows(saver, pipeline, lambda: True).restore(_NOW_S)
    assert not list(pipeline.ledger.bans())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives the file to another account")
def test_windows_in_a_file_of_another_account_are_ignored(saver: Saver, tmp_path: Path) -> None:
    """Only root or the account of the daemon can have written what counts."""
    saver.save_window("sshd", SavedContent(_NOW_S, b""))
    assert saver.flush()
    assert "sshd" in saver.load_windows()
    os.chown(tmp_path / "nodewarden.db", 12345, -1)
    assert saver.load_windows() == {}
