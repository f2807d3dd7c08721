"""`bantime.increment` and its options: the ban times are those of fail2ban."""

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans.escalation import Increment
from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.formula import evaluate
from monitor.filters.fail2ban.increment import IncrementSettings
from tests.unit.filters.fail2ban.support import jails_of

_DEFAULT = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"
_EXPONENTIAL = "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)"


def increment_of(directory: Path, options: str) -> IncrementSettings:
    """Return what becomes of these options of `[DEFAULT]`."""
    return jails_of(directory, {"jail.conf": f"[DEFAULT]\n{options}"}).increment


def ours(found: dict[str, Any], count: int) -> float:
    """Return our ban time for a `bantime` of 600 after this many bans."""
    known = {name: found[name] for name in ("factor", "multipliers") if name in found}
    return Increment(**known, maxtime_s=math.inf).bantime_s(600.0, count, lambda: 0.0)


@pytest.mark.parametrize("factor", [1.0, 0.693147, 3.0, 0.001, 4000.0])
@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (_DEFAULT, lambda count, factor: 600 * 2 ** min(count, 20) * factor),
        (_EXPONENTIAL, lambda count, factor: 600 * math.exp(min(count * factor, 40))),
        ("ban.Time * (ban.Count + 1)", lambda count, _: 600 * (count + 1)),
        ("ban.Time * min(ban.Count ** 2, 30)", lambda count, _: 600 * min(count**2, 30)),
        ("max(ban.Time, ban.Time * 24 if ban.Count >= 3 else 0)", lambda count, _: 600 * (24 if count >= 3 else 1)),
        ("ban.Time", lambda *_: 600),
    ],
)
def test_formulas(tmp_path: Path, factor: float, formula: str, expected: Any) -> None:
    """Ban times of fail2ban's formulas, and of any that multiply the ban time, come out of our own escalation."""
    text = f"bantime.increment = true\nbantime.factor = {factor}\nbantime.formula = {formula}\n"
    found = increment_of(tmp_path, text).settings
    for count in range(1, 15):
        wanted_s = max(600.0, min(expected(count, factor), 600e6))
        if wanted_s < 600e6:
            assert math.isclose(ours(found, count), wanted_s, rel_tol=1e-3), (found, count)


def test_each_option_has_a_place(tmp_path: Path) -> None:
    """Times, multipliers with their factor and `overalljails` are settings of `bans.increment`."""
    options = (
        "bantime.increment = true\nbantime.multipliers = 1 5 30 60\nbantime.factor = 1.0/2\nbantime.maxtime = 5w\n"
        "bantime.rndtime = 5m\nbantime.overalljails = true\n"
    )
    found = increment_of(tmp_path, options)
    assert found.settings == {
        "enabled": True,
        "multipliers": [0.5, 2.5, 15.0, 30.0],
        "maxtime": "5w",
        "rndtime": "5m",
        "overalljails": True,
    }
    assert [note for note in found.notes if "decay" not in note] == []


@pytest.mark.parametrize(
    ("options", "expected", "note"),
    [
        ("", {}, "not set"),
        ("bantime.increment = false\n", {"enabled": False}, ""),
        ("bantime.increment = true\n", {"enabled": True, "overalljails": False}, "no limit"),
        ("bantime.formula = __import__('os')", {"enabled": True, "overalljails": False}, "cannot be translated"),
        ("bantime.formula = ban.Time + 60", {"enabled": True, "overalljails": False}, "not a multiple"),
        ("bantime.multipliers = 1 x", {"enabled": True, "overalljails": False}, "cannot be translated"),
        ("bantime.maxtime = 99y", {"enabled": True, "maxtime": "3650d", "overalljails": False}, "our limit"),
        ("bantime.maxtime = soon", {"enabled": True, "overalljails": False}, "not a duration"),
        ("bantime.rndtime = %(x)s", {"enabled": True, "overalljails": False}, "no option 'x'"),
    ],
)
def test_what_is_said(tmp_path: Path, options: str, expected: dict[str, Any], note: str) -> None:
    """What cannot be expressed is named, with what happens instead."""
    is_whole = not options or "increment" in options
    found = increment_of(tmp_path, options if is_whole else f"bantime.increment = on\n{options}\n")
    assert found.settings == expected
    assert note in "\n".join(found.notes)


@settings(deadline=None)
@given(
    st.text("0123456789.+-*/%()<>=, banTimeCuFcrmh_expflog[]'", max_size=60)
    | st.lists(st.sampled_from(["ban.Count", "9", "**", "<<", "*", "-", "(", ")", "9**9", "math.exp(", "1e308"])).map(
        "".join
    )
)
def test_any_formula(text: str) -> None:
    """Any text is a finite number or a FilterError, at once; nothing is executed."""
    with contextlib.suppress(FilterError):
        assert math.isfinite(evaluate(text, {"ban.Time": 600, "ban.Count": 3, "banFactor": 1}))
