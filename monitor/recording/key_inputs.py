"""Key inputs: what is in force, repeated at the start of each segment so that it can be read without those before."""

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import AllowEntry
from monitor.recording.inputs import Configured, Gap, Input, Listening, Order, Ordered, Restored, Started, Surrounded


class KeyState(msgspec.Struct, frozen=True):
    """What a run knows at `time_s`; `left_out` is how many bans it does not say."""

    time_s: float
    restored: Restored
    left_out: int = 0


class KeyInputs:
    """Follows inputs, and knows what of them is in force."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._started: Started | None = None
        self._configured: Configured | None = None
        self._surrounded: Surrounded | None = None
        self._listening: Listening | None = None
        self._allowed: dict[Network, AllowEntry] = {}

    def follow(self, one: Input) -> None:
        """Take the next input."""
        match one:
            case Started():
                self._started = one
                if not one.is_continued:
                    self._allowed = {}
            case Configured():
                self._configured = one
            case Surrounded():
                self._surrounded = one if self._surrounded is None else _merged(self._surrounded, one)
            case Listening():
                self._listening = one
            case Restored():
                self._allowed |= {entry.network: entry for entry in one.allowed}
            case Ordered(what=Order.ALLOW):
                self._allowed |= {entry.network: entry for entry in one.entries}
            case Ordered(what=Order.DISALLOW):
                for network in one.networks:
                    self._allowed.pop(network, None)

    def inputs(self, time_s: float, state: KeyState | None = None) -> list[Input]:
        """Return what is in force, as of `time_s`, and what the run knows if that is known."""
        replace = msgspec.structs.replace
        found: list[Input] = []
        if self._started is not None:
            found.append(replace(self._started, time_s=time_s, is_continued=True, has_state=state is not None))
        if self._configured is not None:
            found.append(replace(self._configured, time_s=time_s, offences=[], is_continued=True))
        if self._surrounded is not None:
            found.append(replace(self._surrounded, time_s=time_s, is_continued=True))
        if self._listening is not None:
            found.append(replace(self._listening, time_s=time_s, is_seen=False))
        if state is not None:
            found.append(replace(state.restored, time_s=time_s))
            if state.left_out:
                reason = f"{state.left_out} bans in force are left out: there are too many"
                found.append(Gap(time_s, "state", 0, reason))
        elif self._allowed:
            found.append(Restored(time_s, allowed=list(self._allowed.values())))
        return found


def _merged(before: Surrounded, now: Surrounded) -> Surrounded:
    """Return the newer one, with what it leaves as before."""
    return msgspec.structs.replace(
        now,
        networks=before.networks if now.networks is None else now.networks,
        sysctls=before.sysctls if now.sysctls is None else now.sysctls,
    )
