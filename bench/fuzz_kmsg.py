"""Hostile kernel log lines: seeded mutations of valid lines, and a check that both decoders treat them alike."""

import random
from collections.abc import Callable, Iterator, Sequence

from bench.kmsg_lines import KINDS, corpus_records, generated_records
from monitor import native
from monitor.model.clock import BootClock
from monitor.model.errors import MalformedRecord
from monitor.model.events import PacketLogged, QuotedPacket
from monitor.sources.kmsg.format import CAUSES, decode_packet, is_packet_line, parse_record

_TOKENS = (
    *(b"IN=", b" OUT=", b"MAC=", b"SRC=8.8.8.8 ", b"SRC=2001:db8::9 ", b"DST=", b"PROTO=TCP ", b"PROTO=255 "),
    *(b"SPT=65536 ", b"DPT=", b"FRAG:64 ", b"OPT (", b") ", b"[", b"] ", b"INCOMPLETE [8 bytes] ", b"TRUNCATED"),
    *(b";", b",", b"\n", b"\0", b"\xff\xfe", b"\\x00", b"-1", b"9" * 40, b"0x", b" ", b"SYN ", b"IN=" * 6),
)


class SurvivalError(Exception):
    """A line caused a forbidden exception or a difference of the decoders; the message has line, number and seed."""


class Comparison:
    """Whether the native decoder finds in a record what Python finds, where it does not leave the record to Python."""

    _CLOCK = BootClock(100.0, 1.7e9)

    def __init__(self) -> None:
        """Without the extension there is nothing to compare."""
        self._native = native.extension and native.extension.KmsgDecoder(PacketLogged, QuotedPacket, lambda _: True)
        self.undecided = 0
        """Records that were left to Python."""

    def difference(self, raw: bytes) -> str:
        """Return both results if they differ, else an empty string."""
        if self._native is None:
            return ""
        events: list[PacketLogged] = []
        found = self._native.decode([raw], 0, events, None, self._CLOCK.terms())
        if found[0] == 0:
            self.undecided += 1
            return "" if found == (0, None, 0, 0, 0, 0, 0, (0,) * len(CAUSES)) and not events else f"undecided {found}"
        ours, expected = repr((found, events)), repr(self._expected(raw))
        return "" if ours == expected else f"{ours}, not {expected}"

    def _expected(self, raw: bytes) -> tuple[tuple[object, ...], list[PacketLogged]]:
        """Return what the native decoder should, found by the functions of `format`."""
        events: list[PacketLogged] = []
        cause = ""
        record = parse_record(raw)
        if record.facility == 0 and is_packet_line(record.message):
            try:
                events.append(decode_packet(record.message, self._CLOCK.wall_s(record.timestamp_us)))
            except MalformedRecord as error:
                cause = error.cause
        malformed = tuple(int(cause == each) for each in CAUSES)
        return (1, record.sequence, 1, 0, int(record.facility != 0), len(events), 0, malformed), events


def seed_records() -> list[bytes]:
    """Return the records to mutate: the corpus, and generated records of every kind."""
    random_source = random.Random(2)
    generated = (record for kind in KINDS for record in generated_records(random_source, kind, 50))
    return [*corpus_records(), *generated]


def mutations(records: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield mutated records endlessly, the same ones for the same records and seed: one to three mutations each."""
    random_source = random.Random(seed)
    while True:
        record = random_source.choice(records)
        for _ in range(random_source.choice((1, 1, 2, 3))):
            record = mutate(random_source, record, records)
        yield record


def mutate(random_source: random.Random, record: bytes, records: Sequence[bytes]) -> bytes:
    """Return a record that is changed in one way, perhaps with a part of another one."""
    return random_source.choice(_MUTATIONS)(random_source, record, records)


def survive(records: Sequence[bytes], count: int, seed: int) -> int:
    """Decode `count` mutated records; return how many decoded to a packet. SurvivalError at the first failure."""
    decoded = 0
    comparison = Comparison()
    for number, raw in zip(range(count), mutations(records, seed), strict=False):
        try:
            decode_packet(parse_record(raw).message, 0.0)
            decoded += 1
        except MalformedRecord as error:
            if error.cause not in CAUSES:
                raise SurvivalError(f"line {number} of seed {seed}: unknown cause {error.cause!r}: {raw!r}") from error
        except Exception as error:
            raise SurvivalError(f"line {number} of seed {seed}: {error!r}: {raw!r}") from error
        if difference := comparison.difference(raw):
            raise SurvivalError(f"line {number} of seed {seed}: the native decoder says {difference}: {raw!r}")
    return decoded


def _flip(random_source: random.Random, record: bytes, _: Sequence[bytes]) -> bytes:
    """Flip one bit."""
    if not record:
        return record
    changed = bytearray(record)
    changed[random_source.randrange(len(record))] ^= 1 << random_source.randrange(8)
    return bytes(changed)


def _cut(random_source: random.Random, record: bytes, _: Sequence[bytes]) -> bytes:
    """Remove a part: half the time the whole rest, as in a truncated line."""
    start = random_source.randrange(len(record) + 1)
    end = len(record) if random_source.random() < 0.5 else start + random_source.randrange(20)
    return record[:start] + record[end:]


def _splice(random_source: random.Random, record: bytes, records: Sequence[bytes]) -> bytes:
    """Continue with the rest of another record, as in two merged lines."""
    other = random_source.choice(records)
    return record[: random_source.randrange(len(record) + 1)] + other[random_source.randrange(len(other) + 1) :]


def _insert(random_source: random.Random, record: bytes, _: Sequence[bytes]) -> bytes:
    """Insert a word of the grammar, or random bytes, anywhere."""
    at = random_source.randrange(len(record) + 1)
    if random_source.random() < 0.8:
        word = random_source.choice(_TOKENS)
    else:
        word = random_source.randbytes(random_source.randrange(1, 9))
    return record[:at] + word + record[at:]


def _duplicate_field(random_source: random.Random, record: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat a field, in its position or elsewhere."""
    words = record.split(b" ")
    word = random_source.choice(words)
    words.insert(random_source.randrange(len(words) + 1), word)
    return b" ".join(words)


_MUTATIONS: tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...] = (
    _flip,
    _cut,
    _splice,
    _insert,
    _duplicate_field,
)
