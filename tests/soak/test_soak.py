"""The soak in its short form: `make soak` runs for half an hour."""

import pytest

from tests.soak.__main__ import is_good, table
from tests.soak.runner import run

_DURATION_S = 120.0


@pytest.mark.kernel
@pytest.mark.timeout(400)
def test_true_offenders_are_found_and_nobody_else() -> None:
    """In a mixed attack: floods of forged packets and lines, a slow filter, idle readers, another program's rules."""
    outcome = run(_DURATION_S, print)
    assert is_good(outcome), table(outcome)
    assert outcome.offenders
