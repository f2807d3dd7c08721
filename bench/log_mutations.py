"""Hostile log lines: seeded mutations of valid lines, and a check that filters report only addresses in the line."""

import datetime
import random
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from bench.peers import fail2ban
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.library import BUILT_IN, built_in_names, load_filter, read_filter_file
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import Address, format_address, parse_address
from monitor.model.logs import LogBlock
from tests.support.fail2ban_samples import samples

_NOW_S = datetime.datetime(2026, 11, 23, 17, 34, tzinfo=datetime.UTC).timestamp()
_HOSTILE = (
    *(
        b" ",
        b'"',
        b"'",
        b"\\",
        b"[",
        b"]",
        b"(",
        b")",
        b"<",
        b">",
        b",",
        b";",
        b":",
        b"=",
        b"\0",
        b"\xff\xfe",
        b"\xe2\x80\xa8",
    ),
    *(b"203.0.113.66", b"203.0.113.6", b"2001:db8::66", b"[203.0.113.66]", b"::ffff:203.0.113.66", b"999.1.1.1"),
    *(b" from 203.0.113.66 port 22 ssh2", b" rhost=203.0.113.66", b"client: 203.0.113.66", b" user ", b"\r", b"\t"),
    *(b"Failed password for root from 203.0.113.66 port 22 ssh2", b"a" * 3000, b" " * 500, b"((((" * 200, b"1." * 300),
)
_ADDRESS = re.compile(r"(?:::[fF]{4}:)?(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-fA-F:]{2,45}(?:\.[0-9.]{5,12})?")


class BlameError(Exception):
    """A line caused a wrong result of a filter; the message has the line, and how to reproduce it."""


def filters() -> list[tuple[FilterDefinition, list[bytes]]]:
    """Return the built-in filters in all modes and, if available, those of fail2ban, each with valid lines."""
    found = built_in_filters()
    return [*found, *fail2ban_filters()] if fail2ban.fetch() else found


def built_in_filters() -> list[tuple[FilterDefinition, list[bytes]]]:
    """Return the built-in filters in all modes, each with valid lines."""
    return [(load_filter(reference), lines) for reference, lines in _built_in()]


def survive(definition: FilterDefinition, lines: Sequence[bytes], count: int, seed: int) -> int:
    """Scan `count` mutated lines one by one; return the number of failures found. BlameError at the first wrong one."""
    matcher = LogMatcher({"d": definition}, timezones={"d": datetime.UTC})
    # Lines of one connection are joined: the failure may be in a later line than the address.
    joins_lines = _joins_lines(definition)
    earlier: set[Address] = set()
    recent: deque[frozenset[Address]] = deque(maxlen=definition.maxlines)
    failures = 0
    for number, line in zip(range(count), mutations(lines, seed), strict=False):
        where = f"{definition.name}, line {number} of seed {seed}"
        recent.append(named(line))
        if joins_lines:
            earlier |= recent[-1]
        try:
            events = matcher.scan(LogBlock("/log", ("d",), line + b"\n", _NOW_S))
        except Exception as error:
            raise BlameError(f"{where}: {error!r}: {line!r}") from error
        failures += len(events)
        for event in events:
            if event.source not in earlier and not any(event.source in known for known in recent):
                raise BlameError(f"{where}: {format_address(event.source)} is not in the line: {line!r}")
    return failures


def mutations(lines: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield mutated lines endlessly, the same ones for the same lines and seed: one to four mutations each."""
    choose = random.Random(seed)
    while True:
        line = bytearray(choose.choice(lines))
        for _ in range(choose.choice((1, 1, 2, 4))):
            _mutate(line, choose, lines)
        yield bytes(line).replace(b"\n", b" ")[:8192]


def named(line: bytes) -> frozenset[Address]:
    """Return the addresses that are separate words of a line, not parts of longer words."""
    text = line.decode(errors="replace")
    found = set()
    for match in _ADDRESS.finditer(text):
        word = match[0]
        for candidate in {word, word.strip(":"), word.rstrip("."), *_heads(word)}:
            try:
                found.add(parse_address(candidate))
            except ValueError:
                continue
    return frozenset(found)


def _heads(word: str) -> Iterator[str]:
    """Yield the possible readings of an address followed by a port or prefix length."""
    for position, character in enumerate(word):
        if character == ":":
            yield word[:position]
            yield word[position + 1 :]


def _mutate(line: bytearray, choose: random.Random, lines: Sequence[bytes]) -> None:
    """Change a line at one position."""
    start = choose.randrange(len(line) + 1)
    end = min(len(line), start + choose.randrange(1, 40))
    kind = choose.randrange(6)
    if kind == 0:
        line[start:start] = choose.choice(_HOSTILE)
    elif kind == 1:
        del line[start:end]
    elif kind == 2:
        line[start:start] = line[start:end]
    elif kind == 3 and line:
        line[start % len(line)] ^= 1 << choose.randrange(8)
    elif kind == 4:
        other = choose.choice(lines)
        line[start:] = other[choose.randrange(len(other) + 1) :]
    else:
        line[start:end] = choose.choice(_HOSTILE)


def _joins_lines(definition: FilterDefinition) -> bool:
    return any("<F-MLFID>" in text for text in (definition.prefregex, *definition.failregex))


def _built_in() -> Iterator[tuple[str, list[bytes]]]:
    for name in built_in_names():
        entries = yaml.safe_load((BUILT_IN / f"{name}.samples.yaml").read_bytes())
        lines = [line.encode() for entry in entries for line in entry.get("lines", [entry.get("line", "")]) if line]
        for mode in read_filter_file(BUILT_IN / f"{name}.yaml").modes or [""]:
            yield (f"{name}[mode={mode}]" if mode else name), lines


def fail2ban_filters() -> Iterator[tuple[FilterDefinition, list[bytes]]]:
    """Yield the filters of fail2ban that have samples, each with these."""
    logs = fail2ban.HOME / "usr/lib/python3/dist-packages/fail2ban/tests/files/logs"
    for path in sorted(Path(fail2ban.HOME / "etc/fail2ban/filter.d").glob("*.conf")):
        if not (logs / path.stem).is_file():
            continue
        try:
            definition = load_filter(str(path))
        except FilterError:
            continue
        if lines := [sample.line.encode() for sample in samples(logs, path.stem)]:
            yield definition, lines
