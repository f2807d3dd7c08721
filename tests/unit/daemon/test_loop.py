"""The loop outlives errors of epoll_wait that pass, and ends on one that does not."""

import asyncio
import os
import selectors

import pytest

from monitor.daemon.life import loop
from monitor.daemon.life.loop import SteadySelector


class _Faulty:
    """Has the kernel's answer fail a number of times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.left = times
        real = selectors.EpollSelector.select

        def select(selector: selectors.EpollSelector, timeout: float | None = None) -> object:
            if self.left > 0:
                self.left -= 1
                raise OSError(12, "Cannot allocate memory")
            return real(selector, timeout)

        monkeypatch.setattr(selectors.EpollSelector, "select", select)


def test_errors_that_pass_are_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers run meanwhile, and a descriptor that became readable is reported afterwards."""
    read_end, write_end = os.pipe()
    seen: list[bytes] = []

    async def main() -> None:
        asyncio.get_running_loop().add_reader(read_end, lambda: seen.append(os.read(read_end, 10)))
        faulty = _Faulty(monkeypatch, 3)
        os.write(write_end, b"x")
        while not seen:
            await asyncio.sleep(0.001)
        assert faulty.left == 0
        asyncio.get_running_loop().remove_reader(read_end)

    loop.run(main())
    os.close(read_end)
    os.close(write_end)
    assert seen == [b"x"]


def test_an_error_that_stays_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that hears nothing for twenty seconds ends, so that systemd starts another."""
    now_s = 0.0

    def pause(pause_s: float) -> None:
        nonlocal now_s
        now_s += 1.0

    selector = SteadySelector(lambda: now_s, pause)
    _Faulty(monkeypatch, float("inf"))
    for _ in range(20):
        assert selector.select(0) == []
    with pytest.raises(OSError, match="memory"):
        selector.select(0)
    selector.close()
