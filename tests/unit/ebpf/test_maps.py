"""Reading arrays of counters: which entries are not empty."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.ebpf.maps import _filled


@given(st.integers(0, 300), st.integers(1, 5), st.data())
def test_all_that_is_not_zero_is_found(entries: int, words: int, data: st.DataObject) -> None:
    """Wherever it lies, at the edges of the blocks that are passed over in one go too, and nothing else."""
    filled = data.draw(st.sets(st.integers(0, entries - 1)) if entries else st.just(set()))
    raw = bytearray(entries * words * 8)
    for index in filled:
        raw[index * words * 8 + data.draw(st.integers(0, words * 8 - 1))] = 1
    assert list(_filled(bytes(raw), words * 8)) == sorted(filled)
