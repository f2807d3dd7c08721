"""What decisions depend on beside what the pipeline is told: the kernel's answers, and chance.

While a recording is made, both are noted for each input. In a replay they are given again: then nothing asks a kernel
or draws a number.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from monitor.enforcers.enforcement import Enforcement
from monitor.enforcers.protocol import Failure, FailureCause
from monitor.model.addresses import Network
from monitor.model.bans import Ban, read_ban_key
from monitor.model.errors import NodewardenError, TemporaryError
from monitor.recording.inputs import ENFORCE, Drew, Lost, Refusal, Refused

T = TypeVar("T")
_MIDDLE = 0.5
"""What is drawn in a replay where the recorded run drew nothing."""


class Outside:
    """Asks the kernel and draws numbers, and notes both between `begin` and `take` if `is_noting`."""

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        """`uniform` draws numbers from 0 to 1."""
        self.is_noting = False
        self._uniform = uniform
        self._numbers: list[float] = []
        self._refusals: list[Refusal] = []
        self.calls: Counter[str] = Counter()
        """Calls of the kernel since `begin`, by name."""

    def begin(self) -> None:
        """Begin with another input; what was noted outside of any is not for a recording."""
        self.calls.clear()
        if self._refusals or self._numbers:
            self._refusals, self._numbers = [], []

    def take(self) -> tuple[list[Refusal], list[float]]:
        """End with an input; return what was noted."""
        self.calls.clear()
        taken = self._refusals, self._numbers
        if self._refusals or self._numbers:
            self._refusals, self._numbers = [], []
        return taken

    def draw(self) -> float:
        """Return a random number from 0 to 1."""
        number = self._uniform()
        if self.is_noting:
            self._numbers.append(number)
        return number

    def watched(self, enforcement: Enforcement) -> Enforcement:
        """Return the same enforcers, whose answers are noted."""
        return _Watched(self, enforcement)

    def answer(self, name: str, ask: Callable[[], T]) -> T:
        """Return what the kernel answers; what it raises is noted."""
        call = self.calls[name]
        self.calls[name] = call + 1
        try:
            return ask()
        except Exception as error:
            if self.is_noting:
                self._refusals.append(Refusal(call, b"", _describe(error), name))
            raise

    def answer_bans(self, ask: Callable[[], dict[bytes, str]]) -> dict[bytes, str]:
        """Return why the kernel refused which bans."""
        call = self.calls[ENFORCE]
        refused = self.answer(ENFORCE, ask)
        if refused and self.is_noting:
            self._refusals += [Refusal(call, key, reason) for key, reason in refused.items()]
        return refused


class Replayed(Outside):
    """Gives again what was noted; what the recorded run did not ask for is granted."""

    def __init__(self) -> None:
        """Expect nothing."""
        super().__init__(lambda: _MIDDLE)
        self._expected: dict[tuple[str, int], dict[bytes, str]] = {}
        self._drawn: deque[float] = deque()
        self._lost: dict[int, dict[bytes, str]] = {}
        self.lose: Callable[[list[Failure]], None] = lambda _: None
        """Called with bans that the kernel lost meanwhile."""

    def expect(self, one: Refused | Drew | Lost) -> None:
        """Take what the next input meets."""
        match one:
            case Refused(refusals=refusals):
                for refusal in refusals:
                    self._expected.setdefault((refusal.method, refusal.call), {})[refusal.key] = refusal.reason
            case Drew(numbers=numbers):
                self._drawn.extend(numbers)
            case Lost(calls=0, reasons=reasons):
                self.lose(_failures(reasons.items()))
            case Lost(calls=calls, reasons=reasons):
                self._lost.setdefault(calls - 1, {}).update(reasons)

    def take(self) -> tuple[list[Refusal], list[float]]:
        """Forget what was expected of an input: another one must not meet it."""
        self.calls.clear()
        if self._expected or self._drawn or self._lost:
            self._expected.clear()
            self._drawn.clear()
            self._lost.clear()
        return [], []

    def draw(self) -> float:
        """Return the number that was drawn then."""
        return self._drawn.popleft() if self._drawn else super().draw()

    def answer(self, name: str, ask: Callable[[], T]) -> T:
        """Raise what was raised then, or ask."""
        call = self.calls[name]
        expected = self._expected.get((name, call)) if self._expected else None
        if expected and b"" in expected:
            self.calls[name] = call + 1
            raise _error(expected[b""])
        return super().answer(name, ask)

    def answer_bans(self, ask: Callable[[], dict[bytes, str]]) -> dict[bytes, str]:
        """Return what was refused then."""
        call = self.calls[ENFORCE]
        refused = super().answer_bans(ask)
        if lost := self._lost.pop(call, None):
            self.lose(_failures(lost.items()))
        return self._expected.get((ENFORCE, call), refused)


class _Watched(Enforcement):
    """Enforcers whose answers go through an `Outside`."""

    def __init__(self, outside: Outside, inner: Enforcement) -> None:
        super().__init__(inner.leader, *inner.followers)
        self._outside = outside

    def enforce(self, new: Sequence[Ban], longer: Sequence[Ban], now_s: float) -> dict[bytes, str]:
        """Put bans into force; return why which were refused."""
        ask = super().enforce
        return self._outside.answer_bans(lambda: ask(new, longer, now_s))

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift bans."""
        ask = super().remove
        self._outside.answer("remove", lambda: ask(bans, now_s))

    def flush(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift all bans."""
        ask = super().flush
        self._outside.answer("flush", lambda: ask(bans, now_s))

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Replace the allowlist."""
        ask = super().allow
        self._outside.answer("allow", lambda: ask(networks, now_s))


_KINDS: dict[str, Callable[[str], Exception]] = {
    "refused": TemporaryError,
    "system": OSError,
    "fault": RuntimeError,
}


def _describe(error: Exception) -> str:
    """Return kind and text of an error; who catches it tells only these kinds apart."""
    kind = "refused" if isinstance(error, NodewardenError) else "system" if isinstance(error, OSError) else "fault"
    return f"{kind}: {error}"


def _error(text: str) -> Exception:
    kind, _, message = text.partition(": ")
    return _KINDS.get(kind, RuntimeError)(message)


def _failures(reasons: Iterable[tuple[bytes, str]]) -> list[Failure]:
    return [Failure(*read_ban_key(key), FailureCause.OTHER, reason) for key, reason in reasons]
