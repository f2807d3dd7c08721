"""Which files are followed where there are too many."""

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.tail.paths import Match, Share
from monitor.sources.tail.quota import choose, left_out

_SHARES = st.tuples(st.sampled_from(["/a/*", "/b/*", "/c/*"]), st.integers(0, 2))
_MATCHES = st.lists(
    st.builds(
        lambda changed_ns, shares: Match(f"/{changed_ns}", ("d",), changed_ns, tuple(shares)),
        st.integers(0, 50),
        st.lists(_SHARES, min_size=1, max_size=2, unique_by=lambda share: share[0]),
    ),
    max_size=40,
)


def _by_pattern(matches: Iterable[Match]) -> Counter[str]:
    return Counter(pattern for match in matches for pattern, _ in match.shares)


def _by_share(matches: Iterable[Match]) -> Counter[Share]:
    return Counter(share for match in matches for share in match.shares)


@given(_MATCHES, st.integers(1, 30))
def test_each_pattern_and_owner_has_its_share(matches: list[Match], limit: int) -> None:
    """All places are taken; each pattern has its share or all its files, and so has each owner in it."""
    found = dict(enumerate(matches))
    chosen = choose(found, limit)
    assert len(chosen) == min(limit, len(found))
    assert sum(left_out(found, chosen).values()) == len(found) - len(chosen)
    taken = [found[key] for key in chosen]
    patterns, had = _by_pattern(matches), _by_pattern(taken)
    for pattern, count in patterns.items():
        assert had[pattern] >= min(count, limit // len(patterns))
    owners, owned = _by_share(matches), _by_share(taken)
    for share, count in owners.items():
        owners_there = len([pattern for pattern, _ in owners if pattern == share[0]])
        assert owned[share] >= min(count, limit // len(patterns) // owners_there)


@given(st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=40), st.integers(1, 40))
def test_the_newest_come_first(times_ns: list[int], limit: int) -> None:
    """Among files of one pattern and owner, those written last are followed."""
    found = {time_ns: Match(f"/{time_ns}", ("d",), time_ns, (("/*", 0),)) for time_ns in times_ns}
    assert choose(found, limit) == set(sorted(times_ns)[-limit:])
