"""The reduced zoo: one lab and one daemon for all behaviours, a test for each."""

import pytest

from tests.zoo.control import CONTROLS
from tests.zoo.registry import ALL
from tests.zoo.runner import Outcome, Result, run

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

_REDUCED = [one.name for one in ALL if one.is_reduced]


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Run the reduced form once."""
    return run(ALL, is_reduced=True, report=print)


def _find(results: tuple[Result, ...], name: str) -> Result:
    return next(result for result in results if result.behaviour.name == name)


@pytest.mark.parametrize("name", _REDUCED)
def test_nobody_is_banned(outcome: Outcome, name: str) -> None:
    """The behaviour took place, and no address of it was banned or shunned."""
    result = _find(outcome.results, name)
    assert result.verdict.bans == (), result.failure
    assert result.failure == ""


@pytest.mark.parametrize("name", _REDUCED)
def test_alerts_that_are_only_observed_have_a_reason(outcome: Outcome, name: str) -> None:
    """What the daemon noticed without banning is expected, and the behaviour says why."""
    result = _find(outcome.results, name)
    assert not result.verdict.observed or result.behaviour.expects_observed


@pytest.mark.parametrize("name", [one.name for one in CONTROLS])
def test_attackers_are_banned(outcome: Outcome, name: str) -> None:
    """The same daemon, in the same lab, bans those who deserve it."""
    assert _find(outcome.controls, name).verdict.bans


def test_nothing_else_is_banned_and_nothing_is_blind(outcome: Outcome) -> None:
    """There is no ban that belongs to no behaviour, and all sources of evidence worked until the end."""
    assert outcome.strays == ()
    assert outcome.blind == {}


def test_at_least_forty_behaviours() -> None:
    """There are enough, each with a name of its own."""
    assert len(_REDUCED) >= 40
    assert len(set(_REDUCED)) == len(_REDUCED)
