"""A leader without a kernel: it puts every ban into force, and is never missing."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from monitor.enforcers.protocol import Entry, Failure, Foreign, ForeignElement, Stopped, Stored
from monitor.model.addresses import Network
from monitor.model.bans import Action, Ban, Held


class _Nobody:
    """No program added anything."""

    def counts(self) -> Mapping[str, int]:
        """Return that there are none."""
        return {}

    def listed(self, now_s: float) -> list[ForeignElement]:  # noqa: ARG002 - see Foreign
        """Return none."""
        return []

    def around(self, network: Network, now_s: float) -> list[ForeignElement]:  # noqa: ARG002 - see Foreign
        """Return none."""
        return []

    def lift(self, elements: Iterable[ForeignElement], now_s: float) -> None:
        """Delete nothing."""

    def lift_all(self, now_s: float) -> list[ForeignElement]:  # noqa: ARG002 - see Foreign
        """Return none."""
        return []


def _nobody(_: list[Failure]) -> None:
    """Tell nobody."""


class MemoryLeader:
    """Does as it is told, and keeps nothing: what is in force is in the ledger. See `Leader`."""

    name = "memory"
    is_up = True
    needs_repair = False
    is_wanted = True
    generation = 0

    def __init__(self) -> None:
        """Start without bans."""
        self.on_lost: Callable[[list[Failure]], None] = _nobody
        self.drifts: Counter[str] = Counter()
        self.faults: dict[str, str] = {}
        self.foreign: Foreign = _Nobody()

    def add(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:  # noqa: ARG002 - see Leader
        """Refuse none."""
        return []

    def refresh(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:  # noqa: ARG002 - see Leader
        """Refuse none."""
        return []

    def fill(self, bans: Sequence[Ban], now_s: float) -> list[Failure]:  # noqa: ARG002 - see Leader
        """Refuse none."""
        return []

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift bans."""

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Let networks pass."""

    def act(self, action: Action, now_s: float) -> None:
        """Do what it does anyway."""

    def counters(self) -> Mapping[str, Stopped]:
        """Return that nothing was stopped."""
        return {}

    def stopped(self, ban: Ban) -> Stopped | None:  # noqa: ARG002 - see Leader
        """Return that nothing is known."""
        return None

    def held(self, clock: Callable[[], float], stored: Stored = MappingProxyType({})) -> Iterator[Held]:  # noqa: ARG002 - see Leader
        """Yield nothing: no kernel held anything before."""
        return iter(())

    def flush(self) -> None:
        """Lift all bans."""

    def close(self) -> None:
        """Release nothing."""

    def exists(self) -> bool:
        """Return that nothing is in a kernel."""
        return False

    def make(self) -> None:
        """Set up nothing."""

    def set_up(self, now_s: float) -> None:
        """Set up nothing."""

    def repair(self, now_s: float) -> None:
        """Repair nothing."""

    def doubt(self, bans: Iterable[Ban]) -> None:
        """Doubt nothing."""

    def give_up(self, failures: list[Failure], now_s: float) -> None:
        """Give up nothing."""

    def lookup(self, ban: Ban) -> Entry | None:  # noqa: ARG002 - see Leader
        """Return that there is no entry in a kernel."""
        return None

    def leaks(self) -> Mapping[str, Stopped]:
        """Return that nothing leaked."""
        return {}

    def leaking(self, now_s: float) -> Mapping[str, int]:  # noqa: ARG002 - see Leader
        """Return that nothing leaks."""
        return {}

    def leaked(self, network: Network) -> Sequence[str]:  # noqa: ARG002 - see Leader
        """Return no hook."""
        return ()
