"""What is remembered of a trial configuration, and how much of its time is used. Pure.

A trial is in force for at most `limit_s` seconds of real time, whatever happens: the daemon is killed, the node
reboots, the clock is set. Within one boot the time is that of CLOCK_BOOTTIME, which runs through suspend and which
nobody sets. Over a reboot only the wall clock is left, which may be wrong. So the time used is written down every
`SAVE_EVERY_S`, and a reboot costs at least `REBOOT_S`; a wall clock that went backwards over a reboot ends the trial.
"""

import enum
import math
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.control.protocol import LONGEST_TRIAL_S, SHORTEST_TRIAL_S
from monitor.model.addresses import parse_network
from monitor.model.errors import NodewardenError

SAVE_EVERY_S = 10.0
"""How old the written time may be, in seconds."""
REBOOT_S = 20.0
"""What a reboot is charged at least, in seconds: more than it can lose."""
PLACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.yaml")
"""What a file of conf.d is called."""


class TrialRefused(NodewardenError):  # noqa: N818 - what happened
    """What was asked for cannot be done; nothing changed, and the text says what to do."""


class Instant(NamedTuple):
    """A point in time by both clocks: wall time, and seconds since the boot of that id."""

    wall_s: float
    boot_s: float
    boot_id: str


class Result(enum.StrEnum):
    """How a trial ended; a closed set, used in metrics and JSON."""

    CONFIRMED = "confirmed"
    BACK = "back"
    """Somebody said so."""
    TIME = "time"
    """Nobody confirmed in time."""
    BUDGET = "budget"
    """The budget of bans was spent."""
    KNOWN_GOOD = "known_good"
    """A known-good source was banned."""
    UNUSABLE = "unusable"
    """It could not be loaded any more after a restart, or what was remembered of it is damaged."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial configuration that waits to be confirmed."""

    name: str
    """The file, as the operator named it."""
    target: str
    """The path of the configuration that it stands for, which is not touched before it is confirmed."""
    content: str
    before: str | None
    """The digest of what is at `target`; None: there is no file."""
    limit_s: float
    started_s: float
    """Wall time, for people."""
    used_s: float = 0.0
    """Time used up to the point that the other fields say."""
    wall_s: float
    boot_s: float
    boot_id: str
    known_good: tuple[str, ...] = ()
    """Networks that must not be banned under it, in addition to those that the daemon knows."""

    def used_by(self, now: Instant) -> float:
        """Return the seconds used by now; never less than the real time since the start, but for the clock's errors."""
        if now.boot_id == self.boot_id:
            return self.used_s + max(0.0, now.boot_s - self.boot_s)
        passed_s = now.wall_s - self.wall_s
        if passed_s < 0.0:
            return self.limit_s  # the clock is wrong now or was before: nothing says how long the node was down
        return self.used_s + max(passed_s, REBOOT_S)

    def left_s(self, now: Instant) -> float:
        """Return the seconds left, 0 if it is over."""
        return max(0.0, self.limit_s - self.used_by(now))

    def written_at(self, now: Instant) -> "Trial":
        """Return the trial as it is to be written now."""
        return msgspec.structs.replace(
            self, used_s=self.used_by(now), wall_s=now.wall_s, boot_s=now.boot_s, boot_id=now.boot_id
        )

    def is_due(self, now: Instant) -> bool:
        """Whether what is written is so old that it must be written again."""
        return now.boot_id != self.boot_id or not 0.0 <= now.boot_s - self.boot_s < SAVE_EVERY_S


def fault(trial: Trial, main: Path, now: Instant) -> str:
    """Say what shows that a trial was damaged on disk; empty if nothing does. `main` is the main file.

    A time that never ends, or a file that is none of the configuration, must not be put in force.
    """
    numbers = (trial.limit_s, trial.used_s, trial.started_s, trial.wall_s, trial.boot_s)
    is_allowed = SHORTEST_TRIAL_S <= trial.limit_s <= LONGEST_TRIAL_S and trial.used_s >= 0.0
    if not all(map(math.isfinite, numbers)) or not is_allowed:
        return "it has an impossible time"
    if trial.boot_id == now.boot_id and trial.boot_s > now.boot_s:
        return "it was written in the future"
    if not is_place(Path(trial.target), main):
        return f"{trial.target} is no file of the configuration"
    try:
        for text in trial.known_good:
            parse_network(text)
    except ValueError:
        return "it names a network that is none"
    return ""


def is_place(target: Path, main: Path) -> bool:
    """Whether a trial may stand for this file: the main file, or one of its conf.d."""
    return target == main or (target.parent == main.parent / "conf.d" and bool(PLACE.fullmatch(target.name)))


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the last trial ended."""

    name: str
    target: str
    result: Result
    text: str
    """Why, for people."""
    time_s: float
    """Wall time."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk: the trial that waits, and how the last one ended."""

    version: int = 1
    trial: Trial | None = None
    ended: Ended | None = None


class Opinion(NamedTuple):
    """Why a trial must end now."""

    result: Result
    text: str


def opinion(trial: Trial, now: Instant, *, refused: int, banned_good: str) -> Opinion | None:
    """Return why a trial must end now, if it must.

    `refused` bans had no budget since it is in force, and `banned_good` says which known-good source was banned.
    """
    if banned_good:
        return Opinion(Result.KNOWN_GOOD, f"a known-good source was banned: {banned_good}")
    if refused:
        return Opinion(Result.BUDGET, f"the budget of bans was spent ({refused} bans refused): bans.budget")
    if trial.left_s(now) <= 0.0:
        return Opinion(Result.TIME, "nobody confirmed it in time")
    return None
