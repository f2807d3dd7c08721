"""What the recorder remembers and repeats is bounded: states at the start of segments, and known sources."""

from pathlib import Path
from random import Random

from monitor.recording.flood import KnownSources
from monitor.recording.inputs import Restored, SavedWindowOf, Started
from monitor.recording.key_inputs import KeyState
from monitor.recording.reader import Recording
from monitor.recording.ring import segments
from tests.support.recordings import Clock, beginning, write_seconds, writer


def test_a_state_that_a_small_ring_has_no_room_for_is_left_out(tmp_path: Path) -> None:
    """The segment starts with what is in force, as without a state, and the writer asks again."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    one.write(beginning())
    write_seconds(one, clock, 12)
    for size_bytes, has_state in ((100, True), (50_000, False)):
        window = SavedWindowOf(clock.now_s, Random(1).randbytes(size_bytes))
        one.write([KeyState(clock.now_s, Restored(clock.now_s, windows={"port_scan": window}), left_out=7)])
        write_seconds(one, clock, 12)
        assert one.state().wants_state is not has_state
    one.close()
    found = [list(Recording(path).inputs()) for path in segments(tmp_path / "ring")[1:]]
    first, second_of = ([type(read).__name__ for read in inputs[:5]] for inputs in found)
    assert first == ["Started", "Configured", "Surrounded", "Restored", "Gap"]
    assert second_of == ["Started", "Configured", "Surrounded", "Events", "Ticked"]
    assert [inputs[0].has_state for inputs in found if isinstance(inputs[0], Started)] == [True, False]


def test_sources_that_led_to_something_are_known_within_a_bound() -> None:
    """The latest ones are known, IPv6 by /64; however many come, memory is bounded."""
    known = KnownSources()
    for number in range(100):
        known.add([(number * 1000 + low).to_bytes(4) for low in range(1000)])
    known.add([b"\x20\x01" + bytes(14)])
    assert b"\x20\x01" + bytes(13) + b"\x09" in known
    assert (99_999).to_bytes(4) in known
    assert (70_000).to_bytes(4) in known
    assert sum(number.to_bytes(4) in known for number in range(100_000)) < 70_000
