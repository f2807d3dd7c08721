"""When the wall clock is believed."""

from collections.abc import Mapping

import pytest

from monitor.daemon.life.clock_trust import ClockTrust, is_synchronised
from monitor.model.cursors import Cursor

_DAY_S = 86400.0
_LAST_S = 1_800_000_000.0


class Rows:
    """Cursors in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Cursor] = {"clock": Cursor("", int(_LAST_S))}

    def load_cursors(self) -> Mapping[str, Cursor]:
        """Return the rows."""
        return self.rows

    def save_cursor(self, name: str, cursor: Cursor) -> None:
        """Take a row."""
        self.rows[name] = cursor


@pytest.mark.parametrize(
    ("passed_s", "is_believed"),
    [(0, True), (-100, True), (6 * _DAY_S, True), (8 * _DAY_S, False), (-200, False), (3650 * _DAY_S, False)],
)
def test_a_clock_near_the_time_saved_last_is_believed(passed_s: float, is_believed: bool) -> None:
    """Others need a proof, and are a problem until then; what they are off by is known."""
    trust = ClockTrust(Rows(), lambda: False)
    trust.open(0.0, _LAST_S + passed_s)
    assert trust.is_believed is is_believed
    assert bool(trust.problems()) is not is_believed
    assert trust.ahead_s == (0 if is_believed else passed_s)


def test_what_makes_it_believed() -> None:
    """The kernel's word at once or later, a plausible time, or an hour without a correction."""
    proof = [True]
    trust = ClockTrust(Rows(), lambda: proof[0])
    trust.open(0.0, _LAST_S + 9 * _DAY_S)
    assert trust.is_believed
    for why in ("proof", "step", "patience"):
        proof[0] = False
        rows = Rows()
        trust = ClockTrust(rows, lambda: proof[0])
        trust.open(5.0, _LAST_S - 9 * _DAY_S)
        assert not trust.tick(3604.0, _LAST_S - 9 * _DAY_S + 3599)
        assert rows.rows["clock"].position == int(_LAST_S)
        proof[0] = why == "proof"
        now_s = _LAST_S + 60 if why == "step" else _LAST_S - 9 * _DAY_S
        assert trust.tick(3605.0 if why == "patience" else 3604.5, now_s)
        assert not trust.tick(3606.0, now_s)
        assert rows.rows["clock"].position == int(now_s)


def test_without_a_saved_time_the_clock_is_believed() -> None:
    """A first start, or a row that is not a time; nothing is saved before the store was read."""
    rows = Rows()
    rows.rows = {"clock": Cursor("", "text")}
    trust = ClockTrust(rows, lambda: False)
    trust.tick(0.0, 1.0)
    assert rows.rows == {"clock": Cursor("", "text")}
    trust.open(0.0, 1.0)
    assert trust.is_believed
    trust.tick(0.0, 1.0)
    assert rows.rows == {"clock": Cursor("", 1)}


def test_the_kernel_is_asked() -> None:
    """The answer of this machine is a yes or no, whatever it is."""
    assert is_synchronised() in (True, False)
