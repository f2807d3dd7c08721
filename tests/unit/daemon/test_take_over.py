"""A start waits for the daemon before it to end, and for no other."""

import asyncio
from typing import cast

import pytest

from monitor.daemon.life import enforcers
from monitor.daemon.life.enforcers import take_over
from monitor.enforcers.owner import Owner
from monitor.model.errors import AlreadyOwned


class Held:
    """A lock that others hold for some attempts."""

    def __init__(self, attempts: int) -> None:
        self.attempts = attempts

    def try_to_take(self) -> bool:
        """Return whether it is ours."""
        self.attempts -= 1
        return self.attempts < 0

    def take(self) -> None:
        """Refuse."""
        raise AlreadyOwned("another")


def test_it_is_asked_again_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three refusals are waited for; a holder that stays is reported."""
    monkeypatch.setattr(enforcers, "_ASK_EVERY_S", 0.0)
    asyncio.run(take_over(cast("Owner", Held(3))))
    monkeypatch.setattr(enforcers, "_HANDOVER_S", 0.0)
    with pytest.raises(AlreadyOwned):
        asyncio.run(take_over(cast("Owner", Held(1_000_000))))
