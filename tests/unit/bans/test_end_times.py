"""When bans end: each key once, when its latest time is due, however often it was entered before."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.bans.end_times import EndTimes

_TIMES = st.integers(0, 5000).map(float)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), _TIMES), max_size=20), st.lists(_TIMES))
def test_each_key_is_due_once_at_its_latest_time(entries: list[tuple[bytes, float]], looks: list[float]) -> None:
    """As if all were looked at each time, also when keys are added between looks and time steps over whole periods."""
    ends, latest = EndTimes(), dict[bytes, float]()
    for number, now_s in enumerate(sorted(looks)):
        for key, end_s in entries[number::2]:
            latest[key] = end_s
            ends.add(key, end_s)
        assert ends.next_s <= min(latest.values(), default=float("inf"))
        due = {key for key, end_s in latest.items() if end_s <= now_s}
        popped = []
        for key in ends.pop_due(now_s, latest.get):
            popped.append(key)
            del latest[key]
        assert sorted(popped) == sorted(due)
        assert ends.next_s > now_s
    ends.clear()
    assert ends.count == 0
    assert not list(ends.pop_due(1e9, latest.get))
