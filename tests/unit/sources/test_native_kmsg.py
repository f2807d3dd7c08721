"""Both decoders of batches of kernel log records, the native one and Python's, and that they never differ."""

from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.fuzz_kmsg import Comparison, seed_records
from monitor.model.clock import BootClock
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.format import decode_packet
from monitor.sources.kmsg.prefixes import LogPrefixes
from tests.support.kmsg_edges import ALL_FIELDS, HEADERS, SYN, fields_of_any_length, messages
from tests.support.native import extension

ODD = SYN.replace("eth0", "\N{LATIN SMALL LETTER E WITH ACUTE}th0")
"""Never written by the kernel, which escapes such bytes: left to Python."""
RECORDS = seed_records()


@pytest.fixture(params=["python", "native"])
def chosen(request: pytest.FixtureRequest) -> ModuleType | None:
    """Each decoder."""
    return extension() if request.param == "native" else None


def record(number: int, message: str, *, priority: int = 4) -> bytes:
    """Return a record as read; it was written as many milliseconds after the boot as its number says."""
    return f"{priority},{number},{number * 1000},-;{message}\n".encode()


def decoder(chosen: ModuleType | None, **options: Any) -> tuple[RecordDecoder, KernelLogStats]:
    """Return a decoder of a machine that booted at 1,000,000 s, 100 s ago, and what it counts."""
    stats = KernelLogStats()
    prefixes = LogPrefixes(ignore_prefixes=["ALLOW"])
    return RecordDecoder(stats, BootClock(100.0, 1_000_100.0), prefixes, extension=chosen, **options), stats


def test_a_batch_keeps_its_order_and_everything_is_counted(chosen: ModuleType | None) -> None:
    """Evidence, foreign, excluded, malformed and lost records: each where it belongs, whoever decodes which of them."""
    wanted, stats = decoder(chosen, after=9)
    events = wanted.decode(
        [
            record(9, "old " + SYN),
            record(10, "a " + SYN),
            record(13, "b " + ODD),
            record(14, "c " + SYN, priority=12),
            record(15, "[ALLOW] " + SYN),
            b"no record",
            record(16, SYN[:60]),
            record(17, "usb 1-1: new device"),
            record(18, "d " + SYN),
        ]
    )
    assert [event.prefix for event in events] == ["a ", "b ", "d "]
    assert [round(event.time_s - 1_000_000.0, 6) for event in events] == [0.010, 0.013, 0.018]
    assert (stats.records, stats.lost, stats.foreign, stats.packets, stats.excluded) == (7, 2, 1, 4, 1)
    assert stats.malformed == {"header": 1, "truncated": 1, "incomplete": 0, "not_ip": 0, "field": 0}
    assert wanted.sequence == 18
    assert stats.lag_s > 0


def test_a_fresh_batch_shows_the_clock_its_drift(chosen: ModuleType | None) -> None:
    """The first record that is one calibrates: it was written now, and later ones after it."""
    wanted, _ = decoder(chosen)
    first, second = wanted.decode([b"", record(90_000, SYN), record(90_001, SYN)], is_fresh=True)
    assert first.time_s == second.time_s == 1_000_100.0
    (before,) = wanted.decode([record(90_002, SYN)])
    assert before.time_s == 1_000_100.0


def test_records_before_a_step_of_the_clock_have_the_old_time(chosen: ModuleType | None) -> None:
    """The clock was set: what was logged before keeps the time that held then."""
    clock = BootClock(100.0, 1_000_100.0)
    clock.observe(101.0, 2_000_101.0)
    wanted = RecordDecoder(KernelLogStats(), clock, LogPrefixes(), extension=chosen)
    old, last, new = wanted.decode([record(number, SYN) for number in (99_000, 100_000, 100_500)])
    assert (old.time_s, last.time_s, new.time_s) == (1_000_099.0, 1_000_100.0, 2_000_100.5)


def test_sequence_numbers_of_any_size(chosen: ModuleType | None) -> None:
    """A saved cursor may be anything; what comes before it does not count, and no number is too large."""
    for after in (10**40, -(10**40), -(2**63), 2**63 - 1, 5):
        wanted, stats = decoder(chosen, after=after)
        events = wanted.decode([record(7, SYN), record(10**18, SYN), record(10**30, SYN)])
        expected = [number for number in (7, 10**18, 10**30) if number > after]
        assert len(events) == stats.records == len(expected)
        assert stats.lost == sum(
            number - before - 1 for before, number in zip([after, *expected], expected, strict=False)
        )


def test_an_attack_shares_its_strings() -> None:
    """Lines of one rule and interface hold the same string objects: that is most of an event's memory."""
    wanted, _ = decoder(extension())
    first, second = wanted.decode([record(1, "[DROP] " + SYN), record(2, "[DROP] " + SYN)])
    assert first.prefix is second.prefix
    assert first.interface_in is second.interface_in
    assert first.mac is second.mac


def test_any_number_of_different_strings() -> None:
    """More prefixes and interfaces than are kept, and long ones, are all told apart."""
    wanted, stats = decoder(extension())
    names = [f"x{number}" + "y" * (number % 200) for number in range(2000)]
    line = SYN.replace("IN=eth0", "IN={name}")
    events = wanted.decode([record(at, f"{name} " + line.format(name=name)) for at, name in enumerate(names)])
    assert [(event.prefix, event.interface_in) for event in events] == [(f"{name} ", name) for name in names]
    again = wanted.decode([record(at + 2000, f"ALLOW{name} " + SYN) for at, name in enumerate(names)])
    assert (again, stats.excluded) == ([], 2000)


def test_the_decoders_do_not_differ_at_the_edges_of_the_grammar() -> None:
    """Mixed families, empty and giant numbers, odd bytes, cut lines, unordered flags, odd headers, 8 KiB and more."""
    extension()
    comparison = Comparison()
    lines = [*messages(), *fields_of_any_length()]
    assert all(decode_packet(line, 0.0) for line in ALL_FIELDS)
    raws = [*RECORDS, *(record(5, line).replace(b"\n", b"") for line in lines if line.isprintable())]
    raws += [f"{head};{SYN}".encode() for head in HEADERS]
    raws += [
        b"4,1,2,-;" + line.encode("utf-8", "surrogateescape") + tail for line in lines for tail in (b"\n", b"\n a=b\n")
    ]
    different = [(raw, text) for raw in raws if (text := comparison.difference(raw))]
    assert different == []
    assert comparison.undecided < len(raws) / 10


def test_what_the_kernel_writes_is_decided_natively() -> None:
    """No record of the corpus is left to Python, which would be right and slow."""
    extension()
    comparison = Comparison()
    assert not any(map(comparison.difference, RECORDS))
    assert comparison.undecided == 0


@settings(max_examples=1000)
@given(
    st.sampled_from(RECORDS),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 12),
            st.binary(max_size=6)
            | st.sampled_from([b"IN=", b" OUT=", b"[", b"] ", b"PROTO=", b"9" * 30, b"\0", b"\n"]),
        ),
        max_size=4,
    ),
)
@example(b"4,1,2,-;" + b"IN=" * 300 + b" OUT= ", [])
def test_the_decoders_do_not_differ_over_mutated_records(raw: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    """Whatever replaces parts of a real record, both decoders find the same event or the same cause."""
    for at, cut, insert in changes:
        place = at % (len(raw) + 1)
        raw = raw[:place] + insert + raw[place + cut :]
    assert Comparison().difference(raw) == ""


_records = st.builds(
    lambda raw, number, priority, prefix: (
        b"%d,%d,%b"
        % (
            priority,
            number,
            raw.split(b",", 2)[2].replace(b";", b";" + prefix, 1),
        )
    ),
    st.sampled_from(RECORDS),
    st.integers(0, 60) | st.integers(0, 10**20),
    st.sampled_from([4, 4, 4, 6, 12]),
    st.sampled_from([b"", b"ALLOW ", b"nf_ct_x: ", b"\xff", b"x" * 130]),
)


@settings(max_examples=200)
@given(st.lists(st.lists(_records | st.binary(max_size=40), max_size=12), max_size=4), st.none() | st.integers(0, 50))
def test_the_decoders_do_not_differ_over_batches(batches: list[list[bytes]], after: int | None) -> None:
    """Events, their times, all counts and the cursor are the same for records in any order, batch after batch."""
    both = [decoder(chosen, after=after) for chosen in (None, extension())]
    for number, batch in enumerate(batches):
        (ours, expected) = (one.decode(batch, is_fresh=number % 2 == 1) for one, _ in both)
        assert ours == expected
    for one, stats in both:
        stats.lag_s = 0.0  # against the clock of this machine
        assert (one.sequence, stats) == (both[0][0].sequence, both[0][1])


def test_hostile_arguments_raise() -> None:
    """The extension checks what it is given; what its callback raises comes out."""

    def fail(_: str) -> bool:
        raise ZeroDivisionError

    native = extension().KmsgDecoder(PacketLogged, PacketLogged, fail)
    clock = (0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ZeroDivisionError):
        native.decode([record(1, SYN)], 0, [], None, clock)
    wrong: list[tuple[object, ...]] = [
        ((), 0, [], None, clock),
        ([b""], 0, [], "1", clock),
        ([b""], 0, [], None, clock[:4]),
        (),
    ]
    for arguments in wrong:
        with pytest.raises(TypeError):
            native.decode(*arguments)
    assert native.decode(["no bytes"], 0, [], None, clock)[0] == 0
    assert native.decode([b""], 5, [], None, clock)[0] == 5
    with pytest.raises(TypeError, match="arguments"):
        extension().KmsgDecoder(object, object, lambda _: True).decode([record(1, SYN)], 0, [], None, clock)
