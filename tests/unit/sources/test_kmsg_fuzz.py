"""The decoder of kernel log records under mutated lines; `make bench` runs the same with a million."""

from itertools import islice

import pytest

from bench import fuzz_kmsg
from bench.fuzz_kmsg import SurvivalError, mutations, seed_records, survive

RECORDS = seed_records()


@pytest.mark.parametrize("seed", range(4))
def test_no_mutated_line_raises_anything_but_malformed(seed: int) -> None:
    """Of 20,000 mutated lines some still decode, most are malformed, and nothing else ever happens."""
    decoded = survive(RECORDS, 5000, seed)
    assert 0 < decoded < 5000


def test_a_seed_names_its_lines() -> None:
    """The same seed mutates the same way, so that a failure can be repeated; another seed does not."""
    first, again, other = (list(islice(mutations(RECORDS, seed), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_line_that_breaks_the_decoder_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that raises anything else is caught, and the message says with which line and seed."""

    def broken(*_: object) -> None:
        raise IndexError("no such group")

    monkeypatch.setattr(fuzz_kmsg, "decode_packet", broken)
    with pytest.raises(SurvivalError, match=r"of seed 7: IndexError\('no such group'\): b"):
        survive(RECORDS, 1000, 7)
