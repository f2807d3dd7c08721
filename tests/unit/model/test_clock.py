"""Boot time becomes wall time."""

import pytest

from monitor.model.clock import BootClock, ClockSteps

BOOT_S = 1_700_000_000.0


def test_time_since_boot_becomes_wall_time() -> None:
    """Without suspend or drift, wall time is boot time plus the timestamp."""
    clock = BootClock(monotonic_s=100.0, realtime_s=BOOT_S + 100.0)
    assert clock.wall_s(99_500_000) == pytest.approx(BOOT_S + 99.5)


def test_suspend_shifts_only_what_was_logged_after_it() -> None:
    """After an hour of suspend, older records keep their time and newer ones get the new offset."""
    clock = BootClock(100.0, BOOT_S + 100.0)
    clock.observe(101.0, BOOT_S + 101.0 + 3600.0)
    assert clock.wall_s(99_000_000) == pytest.approx(BOOT_S + 99.0)
    assert clock.wall_s(100_900_000) == pytest.approx(BOOT_S + 100.9 + 3600.0)


def test_drift_of_the_log_clock_is_followed() -> None:
    """A log clock that is 12 s behind the monotonic clock is mended by the freshest record seen."""
    clock = BootClock(5000.0, BOOT_S + 5000.0)
    clock.calibrate(4_987_900_000)  # this reader was slow: 12.1 s
    clock.calibrate(4_988_000_000)  # this one was not
    assert clock.drift_s == pytest.approx(12.0)
    assert clock.wall_s(4_987_000_000) == pytest.approx(BOOT_S + 4999.0)


def test_drift_is_forgotten_after_two_periods() -> None:
    """An old smallest lag does not outlive the second period."""
    clock = BootClock(0.0, BOOT_S)
    clock.calibrate(0)
    for now_s in (601.0, 1202.0, 1803.0):
        clock.observe(now_s, BOOT_S + now_s)
        clock.calibrate(int((now_s - 2.0) * 1e6))
    assert clock.drift_s == pytest.approx(2.0)


def test_no_record_is_from_the_future() -> None:
    """A log clock that runs ahead never dates a record after the moment it was read."""
    clock = BootClock(100.0, BOOT_S + 100.0)
    assert clock.wall_s(107_000_000) == pytest.approx(BOOT_S + 100.0)


def test_a_clock_that_is_set_is_noticed_once() -> None:
    """A step is told with its size and with the last look's time on the new clock; then all is as it should be."""
    steps = ClockSteps(100.0, BOOT_S + 100.0)
    assert steps.look(101.0, BOOT_S + 101.0) == (0.0, BOOT_S + 100.0)
    assert steps.look(102.0, BOOT_S + 3702.0) == (3600.0, BOOT_S + 3701.0)
    assert steps.look(103.0, BOOT_S + 3703.0) == (0.0, BOOT_S + 3702.0)
    assert steps.look(104.0, BOOT_S + 104.0) == (-3600.0, BOOT_S + 103.0)


def test_slewing_is_no_step() -> None:
    """A clock that NTP slows down for days is never taken for one that was set."""
    steps = ClockSteps(0.0, BOOT_S)
    assert all(steps.look(float(now), BOOT_S + now * 0.9995)[0] == 0.0 for now in range(1, 100_000))
