"""Pauses between attempts, and the thread for work that waits."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.errors import TemporaryError
from monitor.model.retry import Backoff, Worker


class Clock:
    """A clock that stands still until it is set."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_pauses_double_up_to_the_limit() -> None:
    """One second, two, four, eight, then ten; what worked for as long as the limit starts again with one."""
    clock = Clock()
    backoff = Backoff(1.0, 10.0, clock)
    due = [backoff.is_due]
    pauses = []
    for _ in range(6):
        pauses.append(backoff.failed())
        due.append(backoff.is_due)
        clock.now_s += pauses[-1]
        due.append(backoff.is_due)
    assert due == [True] + [False, True] * 6
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    clock.now_s += 10.1
    assert backoff.failed() == 1.0
    backoff.failed()
    backoff.reset()
    assert backoff.failed() == 1.0


@given(st.lists(st.floats(0.0, 100.0), max_size=50))
def test_a_pause_is_never_longer_than_the_limit(steps_s: list[float]) -> None:
    """Whenever failures come, the next attempt is due within the limit, and not before the first pause."""
    clock = Clock()
    backoff = Backoff(1.0, 10.0, clock)
    for step_s in steps_s:
        clock.now_s += step_s
        assert 1.0 <= backoff.failed() <= 10.0


def test_work_without_a_thread_is_refused_and_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no thread: the caller learns it, and a thread that starts later does not do that work."""
    done: list[int] = []

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        worker = Worker("test")
        assert isinstance(worker.submit(done.append, 1).exception(0), TemporaryError)
    assert worker.submit(done.append, 2).result(5) is None
    assert done == [2]
    worker.shutdown()


def test_a_worker_has_its_thread_before_it_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads run out after the start: the work is done all the same."""
    worker = Worker("test")
    monkeypatch.setattr(threading.Thread, "start", None)
    assert worker.submit(int, "7").result(5) == 7
    worker.shutdown()
