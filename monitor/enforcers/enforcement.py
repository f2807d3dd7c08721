"""Combines all enforcers: the leader decides what is in force, the others follow and may fail separately."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from monitor.enforcers.protocol import Companion, Enforcer, Leader, Stopped
from monitor.model.addresses import Network
from monitor.model.bans import Ban
from monitor.model.errors import NodewardenError

_log = logging.getLogger(__name__)
_ATTEMPTS = 4


class Enforcement:
    """A list of enforcers, the leader first. A follower that fails affects no other; `faults` names it."""

    def __init__(self, leader: Leader, *followers: Enforcer) -> None:
        """Take the enforcers. A ban that the leader refuses is not in force and not passed to the followers."""
        self.leader = leader
        self.followers = followers
        self.companions: list[Companion] = []
        """What else follows the allowlist, such as block lists."""
        self.faults: dict[str, str] = {}
        """The last failure of each follower, by its name; empty while all work."""
        self.errors: Counter[str] = Counter()
        """The number of failures of each follower."""

    def enforce(self, new: Sequence[Ban], longer: Sequence[Ban], now_s: float) -> dict[bytes, str]:
        """Put bans into force, or give them a later expiry; return the reasons of refused ones, by `ban_key`."""
        refused = self._lead(new, longer, now_s)
        if not self.followers:
            return refused
        added = [ban for ban in new if ban.key not in refused]
        lengthened = [ban for ban in longer if ban.key not in refused]
        for one in self.followers:
            self._follow(one, partial(one.add, added, now_s), partial(one.refresh, lengthened, now_s))
        return refused

    def _lead(self, new: Sequence[Ban], longer: Sequence[Ban], now_s: float) -> dict[bytes, str]:
        """Have the leader write, anew if it started again while refreshing: then it lacks what was added before."""
        leader = self.leader
        for _ in range(_ATTEMPTS):
            failures = list(leader.add(new, now_s)) if new else []
            generation = leader.generation
            if longer:
                failures += leader.refresh(longer, now_s)
            if not new or leader.generation == generation:
                return {one.key: one.reason for one in failures}
        leader.remove(new, now_s)
        return {ban.key: f"{leader.name} had to start again too often" for ban in (*new, *longer)}

    def remove(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift bans everywhere; an error of the leader is raised after the followers are done."""
        for one in self.followers:
            self._follow(one, partial(one.remove, bans, now_s))
        self.leader.remove(bans, now_s)

    def flush(self, bans: Sequence[Ban], now_s: float) -> None:
        """Lift all bans, and delete what the leader created in the kernel."""
        self.leader.flush()  # if it fails, no ban has been lifted anywhere
        for one in self.followers:
            self._follow(one, partial(one.remove, bans, now_s))
        for companion in self.companions:
            self._follow(companion, companion.flush)

    def allow(self, networks: Sequence[Network], now_s: float) -> None:
        """Replace the allowlist everywhere."""
        for one in self.followers:
            self._follow(one, partial(one.allow, networks, now_s))
        for companion in self.companions:
            self._follow(companion, partial(companion.allow, networks, now_s))
        self.leader.allow(networks, now_s)

    def stopped(self, ban: Ban) -> Stopped | None:
        """Return what a ban has stopped in all enforcers; None if the leader does not have it."""
        held = self.leader.stopped(ban)
        if held is None:
            return None
        counts = [held, *(found for one in self.followers if (found := one.stopped(ban)) is not None)]
        return Stopped(sum(one.packets for one in counts), sum(one.bytes for one in counts))

    def close(self) -> None:
        """Release all descriptors; the leader's bans stay in force."""
        for one in self.followers:
            one.close()
        self.leader.close()

    def _follow(self, follower: Enforcer | Companion, *calls: Callable[[], object]) -> None:
        try:
            for call in calls:
                call()
        except Exception as error:  # noqa: BLE001 - a follower must never cost a ban
            why = str(error) or type(error).__name__
            if why != self.faults.get(follower.name):
                is_expected = isinstance(error, NodewardenError | OSError)
                text = "%s is not up to date (%s); %s enforces all bans"
                _log.warning(text, follower.name, why, self.leader.name, exc_info=not is_expected)
            self.faults[follower.name] = why
            self.errors[follower.name] += 1
        else:
            self.faults.pop(follower.name, None)
