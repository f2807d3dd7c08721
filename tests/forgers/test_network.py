"""Forgers on the network against the real daemon: one lab for all, a test for each."""

import pytest

from tests.forgers.network import CONTROL, FORGERS
from tests.forgers.runner import Row, run

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def rows() -> dict[str, Row]:
    """Run all of them once."""
    return {row.forger.name: row for row in run(print)}


@pytest.mark.parametrize("name", [one.name for one in FORGERS])
def test_the_victim_is_not_banned(rows: dict[str, Row], name: str) -> None:
    """Never on proven strength, and shunned only where the forger says why that is possible."""
    row = rows[name]
    assert row.failure == ""
    assert row.proven == ()
    assert not row.shuns or row.forger.shuns


def test_what_is_not_forged_is_proven(rows: dict[str, Row]) -> None:
    """The same daemon bans a source for its own handshakes; a daemon that proves nothing would show nothing."""
    assert rows[CONTROL.name].proven
