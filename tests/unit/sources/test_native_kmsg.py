"""Both decoders of batches of kernel log records, the native one and Python's, and that they never differ."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.fuzz_kmsg import Comparison, seed_records
from monitor.model.clock import BootClock
from monitor.model.events import PacketLogged
from monitor.sources.kmsg.decoder import KernelLogStats, RecordDecoder
from monitor.sources.kmsg.prefixes import LogPrefixes
from tests.support.native import extension

IP4 = "SRC=192.0.2.7 DST=198.51.100.2 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID=12345 DF "
IP6 = "SRC=2001:db8::7 DST=2001:db8::2 LEN=60 TC=0 HOPLIMIT=63 FLOWLBL=54321 "
TCP = "PROTO=TCP SPT=51234 DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0 "
SYN = f"IN=eth0 OUT= MAC=02:42:ac:11:00:02 {IP4}{TCP}"
ICMP = "PROTO=ICMP TYPE=3 CODE=3 "
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
    old, new = wanted.decode([record(99_000, SYN), record(100_500, SYN)])
    assert (old.time_s, new.time_s) == (1_000_099.0, 2_000_100.5)


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


def messages() -> Iterator[str]:
    """Yield lines at the edges of the grammar."""
    for source in ("192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "192.0.2.07", "1.2.3.4.5", "12345::", "1.2.3.999"):
        for destination in ("198.51.100.2", "2001:db8::2", "0000:0000:0000:0000:0000:0000:0000:0001"):
            for line in (SYN, SYN.replace(IP4, IP6), f"IN=eth0 OUT= {IP4}{ICMP}[{IP6}{TCP}] ", f"IN=e OUT= {IP6}{TCP}"):
                yield (
                    line.replace("192.0.2.7", source)
                    .replace("2001:db8::7", source)
                    .replace("198.51.100.2", destination)
                    .replace("2001:db8::2", destination)
                )
    for odd in ("", "\0", "\t", "\x1c", "\x7f", "\\xc3\\xa9", "é", "\udcff", " ", "9" * 40, "-1", "+1", "1_0", "٣"):
        for field in (
            "eth0",
            "02:42:ac:11:00:02",
            "192.0.2.7",
            "198.51.100.2",
            "60",
            "63",
            "12345",
            "51234",
            "22",
            "SYN ",
        ):
            yield SYN.replace(field, odd)
            yield SYN.replace(field, field + odd)
    for flags in (
        "AE CWR ECE URG ACK PSH RST SYN FIN ",
        "FIN SYN ",
        "SYN SYN ",
        "AE AE ",
        "XYZ ",
        "SY ",
        "URG URGP",
        "A ",
    ):
        yield SYN.replace("SYN ", flags)
        yield f"IN= OUT=x {IP4}{ICMP}[{IP4}{TCP.replace('SYN ', flags)}] MTU=9 "
    for rest in (
        *(
            "TCP ",
            "UDP ",
            "ICMP ",
            "255 ",
            "256 ",
            "0 ",
            "007 ",
            "0255 ",
            "GRE ",
            "TCP INCOMPLETE [8 bytes] ",
            "ESP SPI=0x1 ",
        ),
        *(
            "UDP SPT=1 DPT=2 LEN=8 UID=0 GID=0 MARK=0xffffffff ",
            "UDP SPT=65536 DPT=2 LEN=8 ",
            "UDP SPT=1 DPT=2 LEN=8 x ",
        ),
        *(
            "ICMP TYPE=256 CODE=0 ",
            "ICMP TYPE=8 CODE=0 ID=1 SEQ=2 MARK=0x1 ",
            "ICMP TYPE=5 CODE=1 GATEWAY=10.0.0.1 [] ",
        ),
        *(
            "ICMP TYPE=3 CODE=4 [] MTU=1 [] ",
            "ICMP TYPE=3 CODE=4 [x] ] MTU=1 ",
            "ICMP TYPE=3 CODE=4 [TRUNCATED] ",
            "ICMP [] ",
        ),
        *("ICMP TYPE=3 CODE=4 INCOMPLETE [8 bytes] PARAMETER=1 ", "ICMP TYPE=3 CODE=0 POINTER=00000001 ", "AH ] "),
        *(
            f"ICMP TYPE=3 CODE=1 [{IP4}PROTO={name}] "
            for name in ("TCP", "7 x", "07", "0007", "300", "+5", "", " 5", "1_0")
        ),
        *(f"ICMP TYPE=3 CODE=1 [{IP4}PROTO=UDP SPT={port} DPT=1 LEN=8 ] " for port in (0, 65535, 65536, "")),
    ):
        yield f"IN=eth0 OUT= {IP4}PROTO={rest}"
        yield f"IN=eth0 OUT= {IP6}PROTO={rest}".rstrip(" ")
    yield from ("IN=" * count + f" OUT= {SYN}" for count in range(1, 7))
    yield from (SYN[:length] for length in range(len(SYN)))
    yield from (IP6[:length] for length in range(len(IP6)))
    yield from (f"IN=a OUT=b {IP6[:length]}" for length in range(len(IP6)))
    for size in (8192, 16384, 70_000):
        yield "x" * size + SYN
        yield SYN.replace("eth0", "e" * size)
        yield f"IN=eth0 OUT= {IP6}" + "OPT ( ) " * (size // 8) + TCP


HEADERS = (
    *(
        "4,1,2,-",
        "4,1,2,-,caller=T1",
        "004,01,02,-",
        " 4,1,2,-",
        "+4,1,2,-",
        "-4,1,2,-",
        "1_2,1,2,-",
        "12,1,2,-",
        "4,1,2",
    ),
    *(
        "",
        "4",
        "4,,2,-",
        "4,1,,-",
        "9" * 18 + ",1,2,-",
        "9" * 19 + ",1,2,-",
        "4," + "9" * 40 + ",2,-",
        "4,1,2," + "c" * 200,
    ),
    *("4,1," + "9" * 18 + ",-", "4,1," + "9" * 22 + ",-", "4,1,2,", "4,1.0,2,-", "4,1,2,-,é"),
)


def test_the_decoders_do_not_differ_at_the_edges_of_the_grammar() -> None:
    """Mixed families, empty and giant numbers, odd bytes, cut lines, unordered flags, odd headers, 8 KiB and more."""
    extension()
    comparison = Comparison()
    lines = list(messages())
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


@settings(max_examples=1500)
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
