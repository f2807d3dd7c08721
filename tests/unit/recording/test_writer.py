"""The ring holds what was told, in order and within its bounds, and says what it lacks."""

import errno
import os
import stat
from pathlib import Path

import pytest

from monitor.model.flows import FlowBatch, FlowEstablished, FlowOpened, flow_key
from monitor.recording.flood import weight
from monitor.recording.inputs import Events, Flood, Gap, Order, Ordered, Restored, Started, Ticked
from monitor.recording.reader import Recording
from monitor.recording.ring import segments
from monitor.recording.writer import Writer
from tests.support.events import failure
from tests.support.flows import flow
from tests.support.recordings import START_S, Clock, beginning, knocks, second, without_keys, write_seconds, writer


def test_what_was_told_is_read(tmp_path: Path) -> None:
    """Everything comes back in order, also over several segments, and only once."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    told = beginning()
    one.write(told, known=[bytes([192, 0, 2, 7])])
    told += write_seconds(one, clock, 200, each=300)
    one.close()
    assert len(segments(tmp_path / "ring")) > 2
    assert list(Recording(tmp_path / "ring").inputs()) == told


def test_the_daemons_recording_can_be_read_while_it_runs(tmp_path: Path) -> None:
    """A reader gets all frames that are closed; the unfinished end is no damage."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock)
    told = beginning() + write_seconds(one, clock, 60)
    one.write(beginning())
    recording = Recording(tmp_path / "ring")
    found = [read for read in recording.inputs() if not isinstance(read, Gap)]
    assert len(found) > 80
    assert found == told[3 : 3 + len(found)]
    assert recording.damaged_frames == 0


def test_each_segment_can_be_read_alone(tmp_path: Path) -> None:
    """A segment repeats start, configuration, surroundings, and what was allowed by command."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    one.write([*beginning(), Ordered(START_S, Order.ALLOW, entries=[])])
    write_seconds(one, clock, 200, each=200)
    one.close()
    last = segments(tmp_path / "ring")[-1]
    kinds = [type(read).__name__ for read in Recording(last).inputs()][:4]
    assert kinds == ["Started", "Configured", "Surrounded", "Events"]
    first = next(iter(Recording(last).inputs()))
    assert isinstance(first, Started)
    assert first.is_continued


def test_the_ring_keeps_its_size_and_age(tmp_path: Path) -> None:
    """The oldest segments go; what is left is below the bound and continuous."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=500_000)
    one.write(beginning(), known=[bytes([192, 0, 2, 7])])
    for _ in range(8):
        write_seconds(one, clock, 40, each=400)
        assert sum(path.stat().st_size for path in segments(tmp_path / "ring")) <= 500_000
    state = one.close()
    assert state.written_bytes > 600_000
    times = [read.time_s for read in Recording(tmp_path / "ring").inputs() if isinstance(read, Ticked)]
    assert times == [times[0] + step for step in range(len(times))]
    for path in segments(tmp_path / "ring"):
        os.utime(path, (START_S - 8 * 86_400, START_S - 8 * 86_400))
    one.write(second(clock.now_s, knocks("192.0.2.7", 3, clock.now_s)))
    one.close()
    assert len(segments(tmp_path / "ring")) == 1


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Directory and segments are private whatever the umask; a foreign file in the directory is left alone."""
    before = os.umask(0)
    try:
        clock = Clock()
        one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
        one.write(beginning())
        write_seconds(one, clock, 12)
        (tmp_path / "ring" / "notes.txt").write_text("mine")
        write_seconds(one, clock, 12)
        one.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "ring").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in segments(tmp_path / "ring")} == {0o600}
    assert (tmp_path / "ring" / "notes.txt").read_text() == "mine"


def _fail_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def write(_: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses_costs_only_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The fault is reported, tried again with pauses, and the recording says how many events it lacks."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock)
    told = beginning()
    one.write(told)
    told += write_seconds(one, clock, 12)
    with monkeypatch.context() as patched:
        _fail_writes(patched, number)
        write_seconds(one, clock, 40)
        state = one.write([])
        assert state.trouble == os.strerror(number)
        assert state.lost["disk"] > 90
    clock.now_s += 60.0
    write_seconds(one, clock, 12)
    after = one.close()
    assert not after.trouble
    found = list(Recording(tmp_path / "ring").inputs())
    gaps = [read for read in found if isinstance(read, Gap) and read.where == "disk"]
    assert [gap.reason for gap in gaps] == [os.strerror(number)]
    assert sum(gap.count for gap in gaps) >= after.lost["disk"]
    events = sum(len(read.events) for read in found if isinstance(read, Events))
    assert events + after.lost["disk"] == 3 * 64


def test_a_directory_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """Writes to a file that was removed succeed, so the file is looked for before each."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock)
    one.write(beginning())
    write_seconds(one, clock, 12)
    for path in segments(tmp_path / "ring"):
        path.unlink()
    (tmp_path / "ring").rmdir()
    write_seconds(one, clock, 12)
    one.close()
    assert [type(read).__name__ for read in Recording(tmp_path / "ring").inputs()][:3] == [
        "Started",
        "Configured",
        "Surrounded",
    ]


def test_a_state_directory_that_is_gone_is_a_problem_until_it_is_back(tmp_path: Path) -> None:
    """Nothing is made in its place: it may be a file system that is not mounted."""
    clock = Clock()
    one = writer(tmp_path / "state" / "ring", clock)
    one.write(beginning())
    write_seconds(one, clock, 12)
    assert one.state().trouble == "No such file or directory"
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    clock.now_s += 60.0
    write_seconds(one, clock, 12)
    assert not one.close().trouble


def test_a_kill_is_said(tmp_path: Path) -> None:
    """Seconds that were not written yet are missing after a kill; the recording says so where they were."""
    clock = Clock()
    for _ in range(2):
        one = writer(tmp_path / "ring", clock)
        one.write(beginning())
        write_seconds(one, clock, 12)
    one.close()
    gaps = [read for read in Recording(tmp_path / "ring").inputs() if isinstance(read, Gap)]
    assert [gap.reason for gap in gaps] == ["the end of a segment is missing"]


def test_a_flood_is_counted_and_what_led_to_something_is_kept(tmp_path: Path) -> None:
    """Beyond the rate, sources that raised an alert or completed a handshake are recorded, all others only counted."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, events_per_s=100)
    one.write(beginning(), known=[bytes([203, 0, 113, 9])])
    inputs = second(
        clock.now_s,
        knocks("192.0.2.7", 100, clock.now_s),
        knocks("192.0.2.8", 60, clock.now_s),
        knocks("203.0.113.9", 50, clock.now_s),
        Events(clock.now_s, [failure("192.0.2.8", time_s=clock.now_s)]),
    )
    one.write(inputs)
    clock.now_s += 10.0
    one.write(second(clock.now_s))
    state = one.close()
    assert state.counted_events == 60
    found = list(Recording(tmp_path / "ring").inputs())
    assert [read for read in found if isinstance(read, Flood)] == [
        Flood(clock.now_s + 0.9, "packet_logged", [(bytes([192, 0, 2, 8]), 60)], 0)
    ]
    batches = [read for read in found if isinstance(read, Events)]
    assert batches == [inputs[0], inputs[2], inputs[3]]


def test_a_flood_of_flows_leaves_the_handshakes(tmp_path: Path) -> None:
    """Of a batch of flows, attempts of unknown sources are counted; completed handshakes and their ends are kept."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, events_per_s=10)
    forged = [flow(FlowOpened, f"198.51.100.{number}") for number in range(50)]
    client = flow(FlowEstablished, "203.0.113.5")
    batch = FlowBatch(START_S, attempts=51, opened=[*forged, client], completed=[client], ending=[client, *forged])
    one.write([*beginning(), Events(START_S, [batch])])
    clock.now_s += 10.0
    one.write(second(clock.now_s))
    one.close()
    found = list(Recording(tmp_path / "ring").inputs())
    (read,) = [event for one_of in found if isinstance(one_of, Events) for event in one_of.events]
    assert (read.attempts, read.opened, read.completed, read.ended) == (51, [client], [client], [flow_key(client)])
    assert [(flood.kind, flood.others) for flood in found if isinstance(flood, Flood)] == [("flow_batch", 0)]
    assert sum(count for flood in found if isinstance(flood, Flood) for _, count in flood.sources) == 100


def test_a_long_flood_does_not_displace_the_history(tmp_path: Path) -> None:
    """After an eighth of the ring within an hour, a flood is recorded at 200 events a second only."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000, events_per_s=1000)
    one.write(beginning())
    sizes = []
    for number in range(400):
        sources = [f"198.{number % 200}.{part}.{number % 251}" for part in range(5)]
        one.write(second(clock.now_s, *(knocks(source, 200, clock.now_s) for source in sources)))
        clock.now_s += 1.0
        sizes.append(one.state().written_bytes)
    assert one.state().is_scarce
    begun = next(place for place, size in enumerate(sizes) if size > 125_000)
    assert sizes[-1] - sizes[begun] < (len(sizes) - begun) * 200 * 12 + 50_000
    assert one.state().counted_events >= (len(sizes) - begun - 2) * 800


def test_a_reader_starts_where_it_is_asked_to(tmp_path: Path) -> None:
    """From a time on, first comes what was in force then; before it and after the end nothing."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    one.write(beginning())
    told = write_seconds(one, clock, 300, each=200)
    one.close()
    since_s, until_s = START_S + 150.0, START_S + 160.0
    found = list(Recording(tmp_path / "ring").inputs(since_s, until_s))
    assert [type(read).__name__ for read in found[:3]] == ["Started", "Configured", "Surrounded"]
    assert all(read.time_s == since_s for read in found[:3])
    assert without_keys(found) == [read for read in told if since_s <= read.time_s < until_s]


def test_restored_networks_are_known_in_later_segments(tmp_path: Path) -> None:
    """What an operator allowed in an earlier run protects in a replay from the middle."""
    clock = Clock()
    one = writer(tmp_path / "ring", clock, max_bytes=1_000_000)
    from monitor.model.addresses import parse_network
    from monitor.model.bans import AllowEntry

    entry = AllowEntry(parse_network("192.0.2.0/24"), "office")
    one.write([*beginning(), Restored(START_S, allowed=[entry])])
    write_seconds(one, clock, 200, each=200)
    one.close()
    found = Recording(segments(tmp_path / "ring")[-1]).inputs()
    assert [read.allowed for read in found if isinstance(read, Restored)] == [[entry]]


def test_the_weight_of_a_batch_is_its_flows() -> None:
    """Each message about a connection is an event."""
    one = flow(FlowOpened)
    assert weight(Events(1.0, [FlowBatch(1.0, opened=[one, one], late=[one])])) == 3
    assert weight(knocks("192.0.2.1", 4, 1.0)) == 4
    assert weight(Ticked(1.0)) == 0


def test_a_writer_never_raises_for_a_full_disk(tmp_path: Path) -> None:
    """Also closing it is safe when nothing was ever written."""
    one: Writer = writer(tmp_path / "ring", Clock())
    assert one.close().trouble == ""
    assert not (tmp_path / "ring").exists()
