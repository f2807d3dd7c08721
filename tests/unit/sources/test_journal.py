"""The journal source: where it starts, what wakes it, where it goes on."""

import asyncio

import pytest

from monitor.model.writers import ordinary_reason
from monitor.sources.journal.reader import Journal
from tests.support.journal import SSH, Log, drain, follow, is_readable, text, until_readable


def test_reading_starts_now(log: Log, opened: list[Journal]) -> None:
    """What is in the journal at the opening is not read; what is written afterwards wakes the reader and is live."""
    log.write("old")
    opened.append(source := Journal(SSH, directory=log.directory))
    assert drain(source) == []
    log.write("new", live=True)
    until_readable(source)
    (block,) = drain(source)
    assert block.data == b"node1 sshd[7]: new\n"
    assert block.log == "journal"
    assert block.detectors == ("sshd",)
    assert block.is_live
    assert ordinary_reason(block.writer) == ""
    assert abs(block.times_s[0] - block.read_s) < 60


def test_nothing_wakes_an_idle_reader(log: Log, opened: list[Journal]) -> None:
    """Once drained, the descriptor is silent and no time is asked for."""
    opened.append(source := Journal(SSH, directory=log.directory))
    log.write("a", live=True)
    assert follow(source, 1) == [b"a"]
    drain(source)
    assert not is_readable(source)
    assert source.timeout_s is None


def test_an_event_loop_can_wait_for_it(log: Log, opened: list[Journal]) -> None:
    """The descriptor serves `add_reader` as it is; reading from the callback is all there is to do."""
    opened.append(source := Journal(SSH, directory=log.directory))

    async def woken() -> list[bytes]:
        loop = asyncio.get_running_loop()
        messages: asyncio.Queue[list[bytes]] = asyncio.Queue()
        loop.add_reader(source.fileno(), lambda: messages.put_nowait(text(drain(source))))
        log.write("a", "b", live=True)
        found: list[bytes] = []
        while len(found) < 2:
            found += await asyncio.wait_for(messages.get(), 20)
        loop.remove_reader(source.fileno())
        return found

    assert asyncio.run(woken()) == [b"a", b"b"]


def test_the_first_match_ever_is_seen(log: Log, opened: list[Journal]) -> None:
    """A journal without any matching entry, or without any entry, is followed all the same, from now on."""
    log.write(*(f"noise {number}" for number in range(200)), _COMM="cron")
    opened.append(source := Journal(SSH, directory=log.directory))
    empty = log.directory / "sub"
    empty.mkdir()
    opened.append(bare := Journal(SSH, directory=empty))
    assert drain(source) == drain(bare) == []
    assert bare.cursor == ""
    log.write("first", live=True)
    assert follow(source, 1) == [b"first"]
    Log(empty).write("only", live=True)
    assert follow(bare, 1) == [b"only"]


def test_reading_continues_after_a_saved_cursor(log: Log, opened: list[Journal]) -> None:
    """What was written between two readers is read by the second, once, in order, and is not live."""
    opened.append(first := Journal(SSH, directory=log.directory))
    log.write("a", "b")
    assert text(drain(first, limit=1)) == [b"a", b"b"]
    assert first.stats.records == 2
    log.write("c", "d")
    opened.append(second := Journal(SSH, cursor=first.cursor, directory=log.directory))
    log.write("e", live=True)
    blocks = drain(second)
    assert text(blocks) == [b"c", b"d", b"e"]
    assert [block.is_live for block in blocks] == [False, True]
    assert second.stats.lost == 0
    assert second.notices == []


def test_a_cursor_saved_before_anything_matched_counts(log: Log, opened: list[Journal]) -> None:
    """A reader that saw nothing yet still saves where it started."""
    opened.append(first := Journal(SSH, directory=log.directory))
    assert drain(first) == []
    log.write("a")
    opened.append(second := Journal(SSH, cursor=first.cursor, directory=log.directory))
    assert text(drain(second)) == [b"a"]


def test_a_part_of_what_waits_can_be_read(log: Log, opened: list[Journal]) -> None:
    """Reading stops at the limit and says so, and the cursor saved there is exact."""
    opened.append(source := Journal(SSH, directory=log.directory))
    log.write(*"abcdef")
    assert text(source.read(4)) == [b"a", b"b", b"c", b"d"]
    assert not source.is_drained
    opened.append(other := Journal(SSH, cursor=source.cursor, directory=log.directory))
    assert text(drain(source)) == text(drain(other)) == [b"e", b"f"]


def test_a_vacuumed_cursor_continues_at_the_next_entry_and_is_reported(log: Log, opened: list[Journal]) -> None:
    """Where the saved entry is gone with its file, reading continues at the oldest left, and a gap is counted."""
    opened.append(first := Journal(SSH, directory=log.directory))
    log.write("a")
    assert text(drain(first)) == [b"a"]
    log.write("gone")
    log.write("left", "behind", file="b", live=True)
    (log.directory / "a.journal").unlink()
    opened.append(second := Journal(SSH, cursor=first.cursor, directory=log.directory))
    assert text(drain(second)) == [b"left", b"behind"]
    assert second.stats.lost == 1
    assert "gone" in second.notices[0]


def test_vacuuming_what_was_read_is_no_gap(log: Log, opened: list[Journal]) -> None:
    """Where everything older than what is left had been read, nothing is said to be lost."""
    opened.append(first := Journal(SSH, directory=log.directory))
    log.write("a")
    log.write("noise", file="b", _COMM="cron")
    assert text(drain(first)) == [b"a"]
    (log.directory / "a.journal").unlink()
    opened.append(second := Journal(SSH, cursor=first.cursor, directory=log.directory))
    log.write("b", file="b", live=True)
    assert text(drain(second)) == [b"b"]
    assert second.stats.lost == 0
    assert second.notices == []


@pytest.mark.parametrize("cursor", ["garbage", "s=1;i=z", "\0", "\udcff", "x " + "9" * 5000, "s=0;i=1;b=0 x"])
def test_a_damaged_cursor_means_from_now_on(log: Log, opened: list[Journal], cursor: str) -> None:
    """A saved cursor that is none is reported and counted, and reading starts now."""
    log.write("old")
    opened.append(source := Journal(SSH, cursor=cursor, directory=log.directory))
    log.write("new", live=True)
    assert text(drain(source)) == [b"new"]
    assert source.stats.lost == 1
    assert "not valid" in source.notices[0]


def test_the_cursor_in_a_journal_that_was_wiped_means_from_now_on(log: Log, opened: list[Journal]) -> None:
    """A journal made anew is followed from its end."""
    opened.append(first := Journal(SSH, directory=log.directory))
    log.write("a", live=True)
    drain(first)
    (log.directory / "a.journal").unlink()
    opened.append(second := Journal(SSH, cursor=first.cursor, directory=log.directory))
    assert drain(second) == []
    log.write("b", file="b", live=True)
    assert follow(second, 1) == [b"b"]
    assert second.stats.lost == 1
