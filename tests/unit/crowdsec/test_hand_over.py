"""From plans to bans: ends follow LAPI in both directions, in slices, and what others claim stays."""

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

import monitor
from monitor.crowdsec.claims import Claim, Outcome
from monitor.daemon.crowdsec.hand_over import SLICE, HandOver
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.daemon.replay.memory_leader import MemoryLeader
from monitor.enforcers.enforcement import Enforcement
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode, ban_key
from monitor.recording.inputs import OrderedBan
from monitor.settings.schema import Settings

DAY_S = 86400.0
HOST = "203.0.113.7"


class Turns:
    """A pipeline, and a loop whose turns are taken by hand."""

    def __init__(self) -> None:
        self.pipeline = Pipeline(Settings(), (), lambda *_: Enforcement(MemoryLeader()))
        self._waiting: deque[Callable[[], None]] = deque()
        self.hand_over = HandOver(self.pipeline, self._waiting.append)

    def turn(self) -> None:
        """Take one turn."""
        self._waiting.popleft()()

    def give(
        self, left_s: float, network: str = HOST, mode: Mode = Mode.ENFORCE, strength: Strength = Strength.PROVEN
    ) -> None:
        """Have a claim held, and take all turns."""
        claim = Claim(key(network, strength), "crowdsec/lapi", time.monotonic() + left_s, "x")
        self.hand_over.take((), [claim], mode=mode, longest_s=DAY_S)
        self.settle()

    def settle(self) -> None:
        """Take all turns."""
        while self._waiting:
            self.turn()

    def claim(self, network: str = HOST) -> Ban | None:
        """Return the claim because of LAPI."""
        found = [one for one in self.pipeline.ledger.all_claims() if one.origin is ClaimOrigin.PEER]
        return next((one for one in found if str(one.network) == network), None)

    def left_s(self, network: str = HOST) -> int:
        """Return how long the claim still holds, in whole minutes as seconds; 0 without one."""
        claim = self.claim(network)
        return 60 * round((claim.until_s - time.time()) / 60) if claim else 0


def key(network: str, strength: Strength = Strength.PROVEN) -> bytes:
    """Return the key of a ban."""
    return ban_key(parse_network(network), strength)


def test_the_end_follows_lapi_in_both_directions() -> None:
    """Longer, shorter, over; and what is right already is no decision at all."""
    turns = Turns()
    for left_s, expected in ((3600.0, 3600), (7200.0, 7200), (600.0, 600), (-5.0, 600)):
        turns.give(left_s)
        assert turns.left_s() == expected
    counted = dict(turns.pipeline.metrics.decisions)
    turns.give(600.5)
    assert dict(turns.pipeline.metrics.decisions) == counted
    turns.hand_over.take([(key(HOST), "crowdsec/lapi")], mode=Mode.ENFORCE, longest_s=DAY_S)
    turns.settle()
    assert turns.claim() is None


def test_a_long_decision_is_held_a_day_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is renewed at half time, not with each whole answer."""
    turns = Turns()
    turns.give(30 * DAY_S)
    first = turns.claim()
    assert first is not None
    assert turns.left_s() == DAY_S
    turns.give(30 * DAY_S - 60)
    assert turns.claim() is first, "an hour later nothing has to be renewed"
    later_s = time.time() + 0.6 * DAY_S
    monkeypatch.setattr(time, "time", lambda: later_s)
    turns.give(30 * DAY_S)
    renewed = turns.claim()
    assert renewed is not None
    assert renewed.until_s == pytest.approx(later_s + DAY_S, abs=5)


def test_a_changed_mode_is_followed() -> None:
    """From observing to enforcing and back."""
    turns = Turns()
    for mode in (Mode.OBSERVE, Mode.ENFORCE, Mode.OBSERVE):
        turns.give(3600.0, mode=mode)
        claim = turns.claim()
        assert claim is not None
        assert claim.mode is mode
        in_force = turns.pipeline.ledger.get(claim.network, claim.strength)
        assert in_force is not None
        assert in_force.mode is mode


def test_internal_hosts_are_only_observed() -> None:
    """Nobody elsewhere has the hosts of this network cut off."""
    turns = Turns()
    turns.give(3600.0, "192.168.1.7")
    claim = turns.claim("192.168.1.7")
    assert claim is not None
    assert claim.mode is Mode.OBSERVE


def test_lapi_neither_ends_nor_shortens_what_others_claim() -> None:
    """Nor does an unban here end its claim."""
    turns, now_s = Turns(), time.time()
    network = parse_network(HOST)
    turns.pipeline.order([OrderedBan(network, Strength.PROVEN, 7200.0, "by hand")], now_s)
    turns.give(600.0)
    turns.give(300.0)
    ban = turns.pipeline.ledger.get(network, Strength.PROVEN)
    assert ban is not None
    assert ban.until_s == pytest.approx(now_s + 7200, abs=5)
    turns.pipeline.unban([network], now_s)
    assert turns.left_s() == 300
    turns.hand_over.take([(key(HOST), "crowdsec/lapi")], mode=Mode.ENFORCE, longest_s=DAY_S)
    turns.settle()
    assert turns.pipeline.ledger.get(network, Strength.PROVEN) is None


def test_a_turn_is_short_and_a_fault_costs_only_its_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends come first; thousands of claims take as many turns as they need."""
    turns = Turns()
    claims = [
        Claim(key(f"203.0.{number >> 8}.{number & 255}"), "crowdsec/lapi", time.monotonic() + 3600, "x")
        for number in range(5 * SLICE)
    ]
    turns.hand_over.take((), claims, mode=Mode.ENFORCE, longest_s=DAY_S)
    turns.turn()
    assert len(turns.pipeline.ledger) == SLICE
    order = turns.pipeline.order
    monkeypatch.setattr(turns.pipeline, "order", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        turns.turn()
    monkeypatch.setattr(turns.pipeline, "order", order)
    turns.hand_over.take([(claims[0].key, claims[0].name)], mode=Mode.ENFORCE, longest_s=DAY_S)
    turns.turn()
    assert len(turns.pipeline.ledger) == SLICE - 1
    turns.settle()
    assert (len(turns.pipeline.ledger), turns.hand_over.is_busy) == (4 * SLICE - 1, False)
    assert turns.hand_over.outcomes[Outcome.TAKEN] == 4 * SLICE
    turns.hand_over.take((), claims, mode=Mode.ENFORCE, longest_s=DAY_S)
    turns.settle()
    assert len(turns.pipeline.ledger) == 5 * SLICE, "the next whole answer restores what was lost"


def test_without_a_url_nothing_is_loaded() -> None:
    """What is off takes no memory but for its settings."""
    program = (
        "import sys, monitor.daemon.life.service\n"
        "print([name for name in sys.modules if name.startswith('monitor.crowdsec.')])"
    )
    home = Path(monitor.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['monitor.crowdsec.settings']"
