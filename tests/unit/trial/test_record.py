"""The time of a trial configuration: whatever happens to the daemon, the node and its clocks, it ends."""

import random

import msgspec
import pytest

from monitor.daemon.trial.record import REBOOT_S, Instant, Result, Trial, opinion


class World:
    """A node whose clocks may be set, and the daemon on it, which looks at the trial each second."""

    def __init__(self, limit_s: float) -> None:
        """Start a trial now."""
        self.real_s, self.wall_error_s, self.booted_s, self.boots = 0.0, 0.0, -5000.0, 1
        self.in_force_s = 0.0
        """How long it was in force, in real time."""
        now = self.now
        self.written = self.trial = Trial(
            name="x.yaml", target="/x.yaml", content="", before=None, limit_s=limit_s, started_s=now.wall_s,
            wall_s=now.wall_s, boot_s=now.boot_s, boot_id=now.boot_id,
        )  # fmt: skip
        self.is_over = False

    @property
    def now(self) -> Instant:
        """What the clocks say."""
        wall_s = 1_800_000_000.0 + self.real_s + self.wall_error_s
        return Instant(wall_s, self.real_s - self.booted_s, f"boot {self.boots}")

    def look(self) -> None:
        """Do what the daemon does each second, or at its start."""
        self.is_over = self.is_over or opinion(self.trial, self.now, refused=0, banned_good="") is not None
        if not self.is_over and self.trial.is_due(self.now):
            self.written = self.trial = self.trial.written_at(self.now)

    def run(self, seconds: int) -> None:
        """Let the daemon run."""
        for _ in range(seconds):
            if not self.is_over:
                self.in_force_s += 1.0
            self.real_s += 1.0
            self.look()

    def restart(self, down_s: float, *, is_reboot: bool) -> None:
        """Kill the daemon; it remembers only what was written."""
        self.real_s += down_s
        if is_reboot:
            self.booted_s, self.boots = self.real_s - 3.0, self.boots + 1
        self.trial = msgspec.json.decode(msgspec.json.encode(self.written), type=Trial)
        self.look()


@pytest.mark.parametrize("seed", range(300))
def test_no_order_of_events_keeps_it_beyond_its_time(seed: int) -> None:
    """Kills, reboots and clock steps, often or seldom, also with a clock that starts at the same time at each boot."""
    chance = random.Random(seed)
    world = World(limit_s=chance.choice([10.0, 60.0, 600.0]))
    longest_s = chance.choice([3, 15, 100])
    for _ in range(400):
        if world.is_over:
            break
        what = chance.randrange(4)
        if what == 0:
            world.wall_error_s += chance.choice([-1e6, -100.0, -1.0, 1.0, 100.0])
        elif what == 1:
            world.restart(chance.randrange(20), is_reboot=False)
        elif what == 2:
            down_s = chance.randrange(20)
            if chance.random() < 0.7:  # no battery: the clock stands still while the node is down
                world.wall_error_s -= down_s
            world.restart(down_s, is_reboot=True)
        world.run(chance.randrange(longest_s))
        assert world.in_force_s <= world.trial.limit_s
    world.run(600)
    assert world.is_over
    assert world.in_force_s <= world.trial.limit_s


@pytest.mark.parametrize("seed", range(30))
def test_clocks_that_are_right_give_it_its_time(seed: int) -> None:
    """It is neither shortened by restarts nor, but for a few seconds, by reboots; down time counts."""
    chance = random.Random(seed)
    world = World(limit_s=600.0)
    reboots = 0
    while world.real_s < 500.0:
        is_reboot = chance.random() < 0.2
        reboots += is_reboot
        world.restart(chance.randrange(5), is_reboot=is_reboot)
        world.run(chance.randrange(60))
        if world.real_s < 600.0 - reboots * REBOOT_S:
            assert not world.is_over
            left_s = world.trial.left_s(world.now)
            assert 600.0 - world.real_s - reboots * REBOOT_S <= left_s <= 600.0 - world.real_s
    world.restart(600.0, is_reboot=False)
    assert world.is_over


def test_harm_ends_it_at_once() -> None:
    """A ban of a known-good source is the worst, then bans without budget, then time."""
    world = World(60.0)
    assert opinion(world.trial, world.now, refused=0, banned_good="") is None
    spent = opinion(world.trial, world.now, refused=3, banned_good="")
    assert spent is not None
    assert (spent.result, spent.text) == (
        Result.BUDGET,
        "the budget of bans was spent (3 bans refused): bans.budget",
    )
    good = opinion(world.trial, world.now, refused=3, banned_good="192.0.2.7 (good) by sshd")
    assert good is not None
    assert good.result is Result.KNOWN_GOOD
    assert "192.0.2.7 (good) by sshd" in good.text
