"""fail2ban's own filters: the native matcher finds what `re` finds in its sample logs."""

import os

import pytest

from bench.fuzz_program import Outcome, expressions_of, mutated_texts
from bench.log_mutations import fail2ban_filters
from bench.peers import fail2ban
from tests.support.native import extension


def test_expressions_of_fail2ban_match_as_re_does() -> None:
    """Each expression of each filter has a program; over samples and mutations of them it finds the same groups."""
    extension()
    if not fail2ban.fetch():
        pytest.fail("no fail2ban") if os.environ.get("CI") else pytest.skip("fail2ban cannot be downloaded")
    compared = set()
    matches = 0
    for number, (definition, lines) in enumerate(fail2ban_filters()):
        texts = mutated_texts(lines, 4, number)
        for pattern in expressions_of(definition):
            if pattern in compared:
                continue
            compared.add(pattern)
            outcome = Outcome(pattern)
            assert not [found for text in texts if (found := outcome.difference(text))]
            matches += outcome.matches
    assert len(compared) > 350
    assert matches > 800
