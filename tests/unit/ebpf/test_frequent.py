"""Frequent sources: when a poll may find something."""

import struct
from collections.abc import Iterator
from typing import Any, cast

from monitor.ebpf.frequent import FrequentSources
from monitor.ebpf.maps import Map


class _Map(dict[bytes, bytes]):
    """A map without a kernel."""

    class shape:  # noqa: N801 - the attribute of a map
        """Its shape."""

        max_entries = 8

    descriptor = 7

    def items(self) -> Iterator[tuple[bytes, bytes]]:  # type: ignore[override]
        """Yield what is in it."""
        return iter(list(super().items()))


class _Kernel:
    """What the program does with a packet."""

    def __init__(self) -> None:
        self.sources, self.window = _Map(), _Map()
        self.frequent = FrequentSources(cast("Map", self.sources), cast("Map", self.window), counters=1)

    def packet(self, source: bytes, *, is_exact: bool) -> None:
        """Count a packet; a source that is not counted exactly is looked up in the sketch."""
        if source not in self.sources:
            total, epoch = struct.unpack("=QQ", self.window[bytes(4)])
            self.window[bytes(4)] = struct.pack("=QQ", total + 1, epoch)
        if is_exact or source in self.sources:
            (count,) = struct.unpack("=Q", self.sources.get(source, bytes(8)))
            self.sources[source] = struct.pack("=Q", count + 1)

    def poll(self, now_s: float = 0.0) -> list[Any]:
        """Poll."""
        return list(self.frequent.poll(now_s))


def test_quiet_means_that_nothing_can_be_found() -> None:
    """Two polls after the last packet of a source that is rare there are no news."""
    kernel = _Kernel()
    assert kernel.frequent.has_news()  # nobody looked yet
    kernel.poll()
    assert not kernel.frequent.has_news()
    kernel.packet(b"rare", is_exact=False)
    for _ in range(2):
        assert kernel.frequent.has_news()
        kernel.poll()
    assert not kernel.frequent.has_news()


def test_what_is_watched_is_the_window_as_it_was_polled() -> None:
    """As long as a poll is due there is nothing to watch; then any packet of a new source changes what is watched."""
    kernel = _Kernel()
    assert kernel.frequent.watched() is None  # nobody looked yet
    for second in range(3):
        kernel.frequent.has_news()
        kernel.poll(second)
    watched = kernel.frequent.watched()
    assert watched == [(7, kernel.window[bytes(4)])]
    kernel.packet(b"rare", is_exact=False)
    assert watched != [(7, kernel.window[bytes(4)])]
    assert kernel.frequent.has_news()
    assert kernel.frequent.watched() is None
    kernel.poll(20.0)  # a new window
    assert kernel.frequent.watched() is None
    assert kernel.frequent.has_news()
    kernel.poll(21.0)
    assert kernel.frequent.watched() == [(7, kernel.window[bytes(4)])]
    kernel.packet(b"busy", is_exact=True)
    kernel.poll(22.0)
    assert kernel.frequent.watched() is None


def test_a_source_that_is_counted_exactly_is_news() -> None:
    """Its packets no longer show in the window, so every second is looked at until it is forgotten."""
    kernel = _Kernel()
    kernel.packet(b"busy", is_exact=True)
    assert kernel.frequent.has_news()
    assert len(kernel.poll()) == 1
    for _ in range(5):
        kernel.packet(b"busy", is_exact=True)
        assert kernel.frequent.has_news()
        assert len(kernel.poll()) == 1


def test_a_new_window_hides_no_packet() -> None:
    """Where as many packets came since the window turned as there were before, these are news all the same."""
    kernel = _Kernel()
    kernel.frequent.has_news()
    kernel.poll(0.0)
    kernel.packet(b"rare", is_exact=False)
    kernel.frequent.has_news()
    kernel.poll(11.0)
    kernel.frequent.has_news()
    kernel.poll(12.0)
    assert not kernel.frequent.has_news()
    kernel.packet(b"rare", is_exact=False)
    assert kernel.frequent.has_news()


def test_a_packet_during_the_last_poll_of_a_window_is_news() -> None:
    """The walk may have passed its place already, and the new window does not hold it."""
    kernel = _Kernel()
    kernel.frequent.has_news()
    kernel.poll(0.0)
    assert not kernel.frequent.has_news()
    kernel.packet(b"rare", is_exact=False)
    kernel.poll(11.0)
    assert kernel.frequent.has_news()


def test_a_poll_is_skipped_only_after_a_look_and_only_in_its_window() -> None:
    """A poll that nobody announced walks through the map, as does the first one of a new window."""
    kernel = _Kernel()
    kernel.frequent.has_news()
    assert not kernel.frequent.may_skip(100.0)
    kernel.poll(100.0)
    assert not kernel.frequent.has_news()
    assert kernel.frequent.may_skip(101.0)
    assert not kernel.frequent.may_skip(101.0)
    kernel.packet(b"rare", is_exact=False)
    for _ in range(2):
        assert kernel.frequent.has_news()
        assert not kernel.frequent.may_skip(102.0)
        kernel.poll(102.0)
    assert not kernel.frequent.has_news()
    assert not kernel.frequent.may_skip(111.0)
    kernel.poll(111.0)
    assert kernel.frequent.load > 0


def test_an_empty_window_needs_no_successor() -> None:
    """It starts when it is looked at, so that the first packets in it are not forgotten at once."""
    kernel = _Kernel()
    kernel.frequent.has_news()
    kernel.poll(100.0)
    assert not kernel.frequent.has_news()
    assert kernel.frequent.may_skip(111.0)
    window = dict(kernel.window)
    kernel.packet(b"rare", is_exact=False)
    assert kernel.frequent.has_news()
    kernel.poll(120.0)
    assert kernel.window != window
    assert struct.unpack("=QQ", kernel.window[bytes(4)])[0] == 1
    kernel.poll(122.0)
    assert struct.unpack("=QQ", kernel.window[bytes(4)])[0] == 0
