"""Attacks on log filters: clients and local accounts that try to have VICTIM banned by what they write."""

import datetime
import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import yaml

from monitor.filters.definition import FilterDefinition
from monitor.filters.library import built_in_names
from monitor.filters.log_filter import Found, LogFilter
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import format_address
from monitor.model.alerts import Strength
from monitor.model.logs import LogBlock
from monitor.model.writers import FileWriter, JournalWriter, Writer
from monitor.sources.journal.format import format_line
from monitor.sources.tail.lines import split_lines
from tests.support.writers import SSHD, genuine
from tests.unit.filters.builtin_support import NOW_S, definition_of, references, samples_of

VICTIM = "192.0.2.66"
CLIENT_FIELDS = Path(__file__).parent / "client_fields.yaml"
_MAX_LINE_BYTES = 8192
_BREAKS = {"newline": "\n", "CR": "\r", "VT": "\v", "FF": "\f", "NUL": "\0", "U+2028": "\u2028", "percent": "%0A"}
_SYSLOG = re.compile(r"[A-Z][a-z]{2} [ \d]\d [\d:]{8} (\S+) ([^\s\[:]+)(?:\[(\d+)\])?: (.*)", re.DOTALL)


class Row(NamedTuple):
    """What came of one kind of attack on one filter: failures of the victim by strength."""

    attack: str
    filter: str
    lines: int
    proven: int
    spoofable: int


class ClientFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where clients can write into an application's log."""

    escape: Literal["raw", "vis", "question", "nginx", "apache", "json", "keycloak"]
    feed: Literal["journal", "file"]
    lines: tuple[str, ...]
    most: int = 20_000


def client_fields() -> dict[str, ClientFields]:
    """Return the fields of every filter that declares them."""
    return msgspec.convert(yaml.load(CLIENT_FIELDS.read_bytes(), Loader=yaml.CSafeLoader), dict[str, ClientFields])


def _escape_bytes(text: str, written: Callable[[int], str]) -> str:
    return "".join(written(byte) for byte in text.encode())


def _vis(byte: int) -> str:
    known = {10: "\\n", 13: "\\r", 11: "\\v", 12: "\\f", 0: "\\0", 9: "\\t", 92: "\\\\"}
    return known.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")


def _nginx(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}"


def _apache(byte: int) -> str:
    known = {10: "\\n", 13: "\\r", 11: "\\v", 9: "\\t", 34: '\\"', 92: "\\\\"}
    return known.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")


ESCAPES: dict[str, Callable[[str], str]] = {
    "raw": lambda text: text,
    "vis": lambda text: _escape_bytes(text, _vis),
    "question": lambda text: "".join(char if char.isprintable() else "?" for char in text),
    "nginx": lambda text: _escape_bytes(text, _nginx),
    "apache": lambda text: _escape_bytes(text, _apache),
    "json": lambda text: json.dumps(text)[1:-1],
    "keycloak": lambda text: "".join(" " if char.isspace() else char for char in text).replace('"', '\\"'),
}


@functools.cache
def _genuine_lines(reference: str) -> tuple[tuple[str, str], ...]:
    """Return lines that the filter takes for a failure, and the address in each."""
    name, _, mode = reference.rstrip("]").partition("[mode=")
    return tuple(
        (sample.text[0], sample.expected[0].address)
        for sample in samples_of(name)
        if sample.expected and len(sample.text) == 1 and sample.mode in ("", mode)
    )


def _pieces(line: str) -> Iterator[str]:
    """Yield the parts of a line around the victim's address; what the application writes next may complete them."""
    start, end = line.index(VICTIM), line.index(VICTIM) + len(VICTIM)
    before = [match.start() for match in re.finditer(r"(?<=\w)(?=\W)|(?<=\W)(?=\S)", line[:start])]
    after = [end + match.start() for match in re.finditer(r"\b|$", line[end:])]
    for first in [*before[-9:], start]:
        for last in dict.fromkeys((end, *after[:2], *after[-2:])):
            yield line[first:last]


def payloads(reference: str) -> Iterator[tuple[str, str]]:
    """Yield the kind of each attack, and the text that the client sends."""
    pieces: set[str] = set()
    forged = list(dict.fromkeys(line.replace(address, VICTIM) for line, address in _genuine_lines(reference)))
    for header in (VICTIM, f"{VICTIM}, 10.0.0.1", f"X-Forwarded-For: {VICTIM}", f"\r\nX-Real-IP: {VICTIM}\r\n"):
        yield "header", header
    yield "PROXY", f"PROXY TCP4 {VICTIM} 192.0.2.1 40112 22\r\n"
    for line in forged:
        yield "line", line
        message = line.partition("]: ")[2] or line
        tails = [line[line.index(VICTIM) + shift :] for shift in (0, -1, -6, -12) if shift + line.index(VICTIM) >= 0]
        for text in (message, f"x {message}", *tails, *(f"x{tail}" for tail in tails), *(tail[:-1] for tail in tails)):
            yield "tail", text
        for piece in _pieces(line):
            if piece not in pieces:
                pieces.add(piece)
                yield "piece", piece
        for kind, separator in _BREAKS.items():
            yield kind, f"x{separator}{line}{separator}"
            yield kind, f"x{separator}{message}"
        yield "long", "a" * 9000 + line
        yield "long", line + " " * 9000
        yield "long", "\n" + line + "a" * 9000 + "\n" + line


def _blocks(line: str, feed: str, writer: Writer | None) -> Iterator[LogBlock]:
    """Yield a line as the source would hand it on."""
    if feed == "journal":
        match = _SYSLOG.fullmatch(line)
        assert match, line
        host, identifier, pid, message = (part.encode() if part else b"" for part in match.groups())
        entry = {"_HOSTNAME": host, "SYSLOG_IDENTIFIER": identifier, "SYSLOG_PID": pid, "MESSAGE": message}
        formatted = format_line(entry, _MAX_LINE_BYTES)
        if formatted:
            yield LogBlock("journal", ("d",), formatted[0], NOW_S, (NOW_S,), writer=writer, is_cut=formatted[1])
        return
    for run in split_lines(line.encode() + b"\n", _MAX_LINE_BYTES):
        yield LogBlock("/log", ("d",), run.data, NOW_S, writer=writer, is_cut=run.is_cut)


def count(matcher: LogMatcher, blocks: Iterator[LogBlock]) -> tuple[int, int]:
    """Return how many failures of the victim are proven, and how many are spoofable."""
    events = [event for block in blocks for event in matcher.scan(block) if format_address(event.source) == VICTIM]
    proven = sum(event.strength is Strength.PROVEN for event in events)
    return proven, len(events) - proven


def _matcher(definition: FilterDefinition) -> LogMatcher:
    return LogMatcher(
        {"d": definition},
        timezones={"d": datetime.UTC},
        findtimes_s={"d": 1e10},
        confirm_timeout_s=1.0,
        use_hyperscan=False,
    )


def attack_client_fields(reference: str) -> list[Row]:
    """Let a client fill every field that it chooses with every payload."""
    name = reference.partition("[")[0]
    fields, definition = client_fields()[name], definition_of(reference)
    kind = JournalWriter if fields.feed == "journal" else FileWriter
    writer = next((one for one in genuine(definition) if isinstance(one, kind)), SSHD)
    escape, totals = ESCAPES[fields.escape], dict[str, list[int]]()
    matchers = [_matcher(definition) for _ in fields.lines]
    for attack, payload in payloads(reference):
        total = totals.setdefault(attack, [0, 0, 0])
        for matcher, template in zip(matchers, fields.lines, strict=True):
            line = template.replace("{client}", escape(payload[: fields.most]))
            for place, number in enumerate((1, *count(matcher, _blocks(line, fields.feed, writer)))):
                total[place] += number
    return [Row(f"client: {attack}", reference, *total) for attack, total in totals.items()]


def foreign_writers() -> list[Writer]:
    """Return writers of journal and files who are no application that a filter belongs to."""
    entries: list[Writer] = [
        JournalWriter(transport, unit, "/usr/bin/logger", uid, is_contained=contained, is_local=True)
        for transport in ("syslog", "journal", "stdout", "kernel")
        for unit in ("", "session-3.scope", "user@.service", "ssh.service", "cron.service", "cri-containerd-0f.scope")
        for uid in (None, 0, 33, 999, 1000)
        for contained in (False, True)
    ]
    paths = ("/var/log/auth.log", "/var/log/secure", "/var/log/messages", "/var/log/mail.log", "/var/log/syslog")
    return [*entries, *(FileWriter(path, path) for path in paths)]


def attack_by_writers(reference: str, definition: FilterDefinition, lines: list[str], attack: str) -> Row:
    """Let others write whole genuine lines about the victim."""
    proven = spoofable = written = 0
    data = "".join(f"{line}\n" for line in lines).encode()
    matcher = _matcher(definition)
    for writer in foreign_writers()[::7] + [SSHD] * (attack == "imported"):
        block = LogBlock("x", ("d",), data, NOW_S, writer=writer)
        found = count(matcher, iter((block,)))
        written, proven, spoofable = written + len(lines), proven + found[0], spoofable + found[1]
    return Row(attack, reference, written, proven, spoofable)


def attack_filters() -> list[Row]:
    """Attack every built-in filter in every mode."""
    rows = []
    for reference in references():
        rows += attack_client_fields(reference)
        lines = [line.replace(address, VICTIM) for line, address in _genuine_lines(reference)]
        rows.append(attack_by_writers(reference, definition_of(reference), lines, "local writers"))
    assert {row.filter.partition("[")[0] for row in rows} == set(built_in_names())
    return rows


def attack_imported(reference: str, definition: FilterDefinition, lines: list[str]) -> Row:
    """Write lines that an imported filter takes for failures of the victim, as anybody, and as sshd itself."""
    log_filter = LogFilter(definition, datetime.UTC)
    forged = []
    for line in lines:
        outcome = log_filter.examine(f"{line}\n", log_filter.everything, NOW_S)
        if isinstance(outcome, Found):
            forged.append(line.replace(outcome.host, VICTIM))
    return attack_by_writers(reference, definition, forged, "imported")
