"""The bound on what one line may cost."""

import re
import signal
import threading
import time
from collections.abc import Callable

import pytest

from monitor.filters.deadline import Deadline, TooSlow
from monitor.filters.definition import FilterDefinition
from monitor.filters.matcher import LogMatcher
from monitor.model.events import AuthFailure
from monitor.model.logs import LogBlock

_ENDLESS = re.compile(r"^(a+)+$")
_HOSTILE = "a" * 64 + "b"


def _handler() -> object:
    return signal.getsignal(signal.SIGPROF)


def _spend(cpu_s: float, step: Callable[[], object] = lambda: None) -> None:
    """Do something for some of the process's CPU time."""
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        step()


def test_stops_an_endless_match() -> None:
    """A match that would go on for years is stopped, time after time, and calls between are not."""
    deadline = Deadline(0.02)
    with deadline.watching():
        for number in range(3):
            with pytest.raises(TooSlow):
                deadline.call(_ENDLESS.match, _HOSTILE)
            assert deadline.call(_ENDLESS.match, "a" * number + "b") is None
            assert deadline.call(str, number) == str(number)


def test_stops_python_too() -> None:
    """What is slow in Python rather than in `re` is stopped as well."""
    deadline = Deadline(0.02)
    with deadline.watching(), pytest.raises(TooSlow):
        deadline.call(_spend, 100.0)


def test_many_short_calls() -> None:
    """Calls that are short each go on for as long as they like together, and so does what is between them."""
    deadline = Deadline(0.01)
    with deadline.watching():
        _spend(0.1, lambda: deadline.call(_ENDLESS.match, "aaab"))
        _spend(0.05)
        assert deadline.call(_ENDLESS.match, "aaa")


def test_hands_on_results_and_errors() -> None:
    """A call takes arguments by name, returns what the function returns, and raises what it raises."""
    deadline = Deadline(1.0)
    with deadline.watching():
        assert deadline.call(int, "ff", base=16) == 255
        with pytest.raises(ValueError, match="invalid literal"):
            deadline.call(int, "x")
        assert deadline.call(int, "7") == 7


@pytest.mark.parametrize("is_slow", [True, False])
def test_leaves_nothing_behind(is_slow: bool) -> None:
    """However a block ends, the timer is off and the former handler back."""

    def former(*_: object) -> None:
        raise AssertionError

    def end() -> None:
        deadline = Deadline(0.01)
        with deadline.watching():
            assert signal.getitimer(signal.ITIMER_PROF)[1] > 0
            deadline.call(_ENDLESS.match, _HOSTILE if is_slow else "ab")
            raise KeyError

    before = signal.signal(signal.SIGPROF, former)
    try:
        with pytest.raises(TooSlow if is_slow else KeyError):
            end()
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
        assert _handler() is former
        _spend(0.03)
    finally:
        signal.signal(signal.SIGPROF, before)


def test_a_block_begins_anew() -> None:
    """What was under way at the end of a block counts for nothing in the next."""
    deadline = Deadline(0.02)
    for _ in range(3):
        with deadline.watching(), pytest.raises(TooSlow):
            deadline.call(_ENDLESS.match, _HOSTILE)
        with deadline.watching():
            assert deadline.call(str.upper, "a") == "A"


def test_not_watching() -> None:
    """Outside of a block calls work, unbounded and without a timer."""
    assert Deadline(0.01).call(_ENDLESS.match, "aab") is None
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_in_another_thread() -> None:
    """In a thread other than the main one, which cannot have handlers, calls work and no timer runs."""
    before, seen = _handler(), list[object]()

    def work() -> None:
        deadline = Deadline(0.01)
        with deadline.watching():
            deadline.call(_spend, 0.03)
            seen.append((_handler(), signal.getitimer(signal.ITIMER_PROF), deadline.call(str, 1)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, (0.0, 0.0), "1")]


_SLOW = (r"^\S+: (?:a+)+$|^<F-MLFID>\S+</F-MLFID>: <F-USER>\w+</F-USER>(?: by <ADDR>)?$",)
_LINES = (f"7: {_HOSTILE}! by ::3", "7: root", f"8: {_HOSTILE}! by ::4", "7: root by ::1", "9: u by ::2", "7: root")


def _found(matcher: LogMatcher, *lines: str) -> list[AuthFailure]:
    data = "".join(f"{line}\n" for line in lines).encode()
    return matcher.scan(LogBlock("/log", tuple(matcher.stats), data, 1e9))


@pytest.mark.parametrize("use_hyperscan", [True, False])
def test_a_catastrophic_line(use_hyperscan: bool) -> None:
    """A line that would take a filter years is given up and counted; nothing else is lost, and nothing learned."""
    expressions = {"before": ("<ADDR>",), "slow": _SLOW, "after": ("by <ADDR>",)}
    definitions = {name: FilterDefinition(name=name, failregex=each) for name, each in expressions.items()}
    matcher = LogMatcher(definitions, confirm_timeout_s=0.02, use_hyperscan=use_hyperscan)
    events = _found(matcher, *_LINES)
    of_slow = [(event.source[-1], event.user) for event in events if event.detector == "slow"]
    assert of_slow == [(1, "root"), (2, "u"), (1, "root")]
    for name in ("before", "after"):
        assert [event.source[-1] for event in events if event.detector == name] == [3, 4, 1, 2]
    assert [matcher.stats[name].timeouts for name in definitions] == [0, 2, 0]


def test_a_catastrophic_line_among_several() -> None:
    """Where expressions span lines, a line that was given up does not slow down those that follow."""
    failregex = ("^(a+)+$\n^never <ADDR>$", "^bad <ADDR>$")
    definition = FilterDefinition(name="d", failregex=failregex, maxlines=3)
    matcher = LogMatcher({"d": definition}, confirm_timeout_s=0.02)
    events = _found(matcher, _HOSTILE, "bad ::1", "bad ::2", "bad ::3", "bad ::4")
    assert [event.source[-1] for event in events] == [1, 2, 3, 4]
    assert matcher.stats["d"].timeouts == 1
