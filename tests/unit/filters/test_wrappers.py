"""What runtimes, syslog daemons and applications put around a line: taken off once, and not what a client put there."""

import json
import re
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.containers import CONTAINED, Containers, Times
from monitor.filters.envelope import plain, programs, retold
from monitor.filters.library import load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.addresses import format_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.logs import JOURNAL, LogBlock
from monitor.model.writers import FileWriter, ordinary_reason
from monitor.sources.tail.lines import split_lines
from tests.unit.filters.builtin_support import NOW_S, definition_of, references, samples_of

_STAMP = "2026-11-23T17:33:59.5Z"
_STAMP_S = NOW_S - 0.5
_SYSLOG = re.compile(r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (\S+) ([\w./-]+)(?:\[(\d+)\])?: (.*)")


def cri(line: str) -> str:
    return f"{_STAMP} stdout F {line}"


def cri_parts(line: str) -> str:
    half = len(line) // 2
    return f"{_STAMP} stdout P {line[:half]}\n{_STAMP} stderr F other\n{_STAMP} stdout F {line[half:]}"


def docker(line: str) -> str:
    return json.dumps({"log": line + "\n", "stream": "stdout", "time": _STAMP}, separators=(",", ":"))


def docker_parts(line: str) -> str:
    half = len(line) // 2
    records = [{"log": text, "stream": "stdout", "time": _STAMP} for text in (line[:half], line[half:] + "\n")]
    return "\n".join(json.dumps(record, separators=(",", ":")) for record in records)


def rfc5424(line: str) -> str:
    parts = _SYSLOG.fullmatch(line)
    if parts is None:
        return line
    return f'<38>1 {_STAMP} {parts[2]} {parts[3]} {parts[4] or "-"} - [timeQuality tzKnown="1" x="a\\]b"] {parts[5]}'


def rfc3164(line: str) -> str:
    return f"<38>{line}" if _SYSLOG.fullmatch(line) else line


def found(matcher: LogMatcher, *lines: str, log: str = "/x.log", **more: object) -> list[AuthFailure]:
    """Return the failures in lines that were just read."""
    data = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    return matcher.scan(LogBlock(log, ("d",), data, NOW_S, **more))  # type: ignore[arg-type]


def matcher_of(reference: str) -> LogMatcher:
    return LogMatcher({"d": load_filter(reference)})


def who(events: list[AuthFailure]) -> list[tuple[bytes, str]]:
    return [(event.source, event.user) for event in events]


@pytest.mark.parametrize("reference", references())
def test_filters_find_the_same_inside(reference: str) -> None:
    """Every sample of every filter, found or not, in every wrapper; what containers print never proves."""
    name, _, mode = reference.rstrip("]").partition("[mode=")
    samples = [one.text for one in samples_of(name) if one.mode in ("", mode)]
    for wrap in (cri_parts, docker, rfc5424, rfc3164):
        matcher, bare = (LogMatcher({"d": definition_of(reference)}, use_hyperscan=False) for _ in range(2))
        for text in samples:
            events = found(matcher, *map(wrap, text), writer=FileWriter("/x.log"))
            assert who(events) == who(found(bare, *text)), (wrap.__name__, text)
            if wrap not in (rfc5424, rfc3164):
                assert {(event.strength, event.time_s) for event in events} <= {(Strength.SPOOFABLE, _STAMP_S)}


@pytest.mark.parametrize("wrap", [cri, cri_parts, docker, docker_parts])
def test_the_first_pass_sees_what_is_inside(wrap: Callable[[str], str]) -> None:
    """With Hyperscan: an escaped quotation mark, or a line in two parts, is whole before it is searched."""
    line = '192.0.2.1 - - [23/Nov/2026:17:33:52 +0000] "GET /.env HTTP/1.1" 404 153 "-" "curl/8.5.0"'
    assert len(found(matcher_of("nginx-scan"), wrap(line))) == 1


def test_the_ingress_controller_s_format() -> None:
    """Its own fields at the end of a line are no part of what is compared."""
    tail = "83 0.001 [default-web-80] [] 10.244.1.10:80 153 0.001 404 0a1b2c3d"
    line = f'192.0.2.1 - - [23/Nov/2026:17:33:53 +0000] "GET /.git/config HTTP/1.1" 404 153 "-" "curl/8.5.0" {tail}'
    (event,) = found(matcher_of("nginx-scan"), cri(line))
    assert (event.doubt, event.time_s) == (CONTAINED, _STAMP_S)


_SSHD = "sshd[1]: Failed password for root from 203.0.113.66 port 1 ssh2"
_FAILED = f"Nov 23 17:33:52 h {_SSHD}"


@pytest.mark.parametrize(
    "line",
    [
        cri(cri(_FAILED)),
        docker(docker(_FAILED)),
        docker(cri(_FAILED)),
        cri(docker(_FAILED)),
        f"Nov 23 17:33:52 h app[1]: <38>{_FAILED}",
        f"Nov 23 17:33:52 h app[1]: {_FAILED}",
        f"Nov 23 17:33:52 h app[1]: {_SSHD}",
        f"<38><38>{_FAILED}",
        f"<38>1 {_STAMP} h app 1 - - <38>1 {_STAMP} h sshd 1 - - {_SSHD[9:]}",
        f"<38>1 {_STAMP} - - - - - {_SSHD}",
        f"<38>1 {_STAMP} - app - - - {_SSHD}",
        f"<38>1 {_STAMP} h a:{_SSHD.replace(' ', '')} 1 - - x",
        f'<38>1 {_STAMP} h app 1 - [a b="] {_SSHD}"] x',
        f'<38>1 {_STAMP} h app 1 - [a b="\\"] {_SSHD}"] x',
        f"1 {_STAMP} h sshd 1 - - {_SSHD[9:]}",
    ],
)
def test_a_wrapper_in_a_message_is_text(line: str) -> None:
    """It names no program, no time and no address: each form is taken off once, at the start of a line."""
    assert found(matcher_of("sshd"), line) == []


def test_one_program_does_not_speak_for_another() -> None:
    """A line of the application itself behind another's name is not its own; in its journal it is."""
    line = "2026/11/23 17:33:54 ...auth.go:217:SignInPost() [W] Failed authentication attempt from 192.0.2.5:48560"
    matcher = matcher_of("gitea")
    assert len(found(matcher, line)) == 1
    assert len(found(matcher, f"Nov 23 17:33:52 h gitea[77]: {line}")) == 1
    assert found(matcher, f"Nov 23 17:33:52 h app[77]: {line}") == []
    assert len(found(matcher, f"h git[77]: {line}", log=JOURNAL, times_s=(NOW_S,))) == 1


def test_what_an_application_repeats_is_dropped() -> None:
    """Its process number, if it is the same, and its date."""
    line = " h dropbear[825]: [825] Nov 26 17:33:52 Bad password attempt for 'root' from 192.0.2.1:52289"
    assert next(retold(line, (), is_ours=False)) == line.replace("[825] Nov 26 17:33:52 ", "")
    assert list(retold(line.replace("]: [825]", "]: [826]"), (), is_ours=False)) == []
    dated = " h app[1]: 2026-11-23 17:33:52,123 +01:00 refused"
    assert list(retold(dated, ("app",), is_ours=False)) == [" h app[1]: refused", "refused", dated[11:]]
    assert programs(load_filter("dropbear")) == frozenset()
    assert {"gitea", "forgejo"} <= programs(load_filter("gitea"))


@given(st.text(max_size=80), st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_hostile_text_stays_one_line_of_its_program(front: str, message: str) -> None:
    """Whatever text a message holds: the result names the same program, and no wrapper fails on it."""
    message = " ".join(message.split("\n"))
    line = plain(f"<38>1 {_STAMP} host app 7 - - {message}\n")
    assert line.startswith(f"{_STAMP} host app[7]: ")
    list(retold(front, ("app",), is_ours=True))
    assert plain(front) in (front, *(front[end:] for end in range(3, 6))) or front.startswith("<")
    for data in (front, f"{_STAMP} stdout F {front}", f'{{"log":"{front}'):
        lines = data.encode(errors="replace").replace(b"\n", b" ") + b"\n"
        block = Containers().open(LogBlock("/x", ("d",), lines, NOW_S))
        assert block.data == b"" or block.data.endswith(b"\n")
        assert not block.is_wrapped or len(block.times_s) == block.data.count(b"\n")


def test_parts_are_bounded() -> None:
    """A line whose end never comes, and logs without number, cost no more than a bound."""
    containers = Containers()
    for number in range(1600):
        part = f"{_STAMP} stdout P {'x' * 100}\n".encode()
        assert containers.open(LogBlock(f"/{number % 1500}", ("d",), part * 90, NOW_S)).data == b""
    assert len(containers._pending) == 1024
    assert max(len(part.text) for part in containers._pending.values()) == 8192
    block = containers.open(LogBlock("/1499", ("d",), f"{_STAMP} stdout F end\n".encode(), NOW_S))
    assert block.data == b"x" * 8192 + b"_\n"


@pytest.mark.parametrize("wrap", [cri_parts, docker_parts])
@pytest.mark.parametrize("end", [" ip=203.0.113.66", " ip=192.0.2.1"])
def test_no_address_where_a_long_line_is_cut(wrap: Callable[[str], str], end: str) -> None:
    """A client whose name fills a line can have it end in an address of its choice, or in a part of its own."""
    head = "Failed Login: username="
    name = "A" * (8192 - len(head) - len(end))
    assert found(matcher_of("gitlab"), *wrap(f"{head}{name}{end}23").split("\n")) == []


def _long(text: str, **more: object) -> bytes:
    """Return a line as docker writes it: 16 kB a record, with escapes."""
    parts = [f"{text}\n"[start : start + 16384] for start in range(0, len(text) + 1, 16384)]
    records = [{"log": part, "stream": "stdout", **more, "time": _STAMP} for part in parts]
    dumped = (json.dumps(record, separators=(",", ":")).replace("<", "\\u003c") for record in records)
    return "".join(f"{record}\n" for record in dumped).encode()


def _read(matcher: LogMatcher, data: bytes) -> list[str]:
    """Return the sources of the failures in a file of docker's, as it is read."""
    blocks = [LogBlock("/x.log", ("d",), run.data, NOW_S, is_cut=run.is_cut) for run in split_lines(data, 8192)]
    return [format_address(event.source) for block in blocks for event in matcher.scan(block)]


@pytest.mark.parametrize("agent", ["<" * 2000, "x" * 9000, "\\" * 6000, "\xe9" * 5000, '"' * 40_000])
def test_a_long_record_of_docker_counts(agent: str) -> None:
    """JSON makes six bytes of some characters: a client must not evade by having its record cut."""
    line = f'192.0.2.1 - - [23/Nov/2026:17:33:59 +0000] "POST /wp-login.php HTTP/1.1" 200 48 "-" "{agent}"'
    assert _read(matcher_of("wordpress"), _long(line) * 2) == ["192.0.2.1"] * 2


@pytest.mark.parametrize("before", ["A", "\\", "\\n", "\\" * 2000 + "n", "<"])
@pytest.mark.parametrize("more", [{}, {"attrs": {"tag": "x"}}, {"attrs": {"tag": "x" * 2000}}])
def test_the_rest_of_a_long_record_is_no_line(before: str, more: dict[str, object]) -> None:
    """A client that fills a record decides what the next one starts with."""
    head = "Failed Login: username="
    forged = "Failed Login: username=x ip=203.0.113.66"
    genuine = "Failed Login: username=x ip=192.0.2.1"
    data = _long(f"{head}{'A' * (16384 - len(head) - len(before))}{before}{forged}", **more)
    matcher = matcher_of("gitlab")
    assert _read(matcher, data) == []
    assert _read(matcher, _long(genuine)) == ["192.0.2.1"]


def test_a_line_without_a_record_is_kept() -> None:
    """Between records: what is not the runtime's is a line like any other, of an unknown time, and proves nothing."""
    block = Containers().open(
        LogBlock("/x", ("d",), f"{_STAMP} stdout F a\nb\n{_STAMP} stderr F\n".encode(), NOW_S, writer=FileWriter("/x"))
    )
    assert block.data == b"a\nb\n\n"
    assert block.times_s[0] == block.times_s[2] == _STAMP_S
    assert block.times_s[1] != block.times_s[1]
    assert ordinary_reason(block.writer) == CONTAINED


def test_times_of_records() -> None:
    """RFC 3339 with nanoseconds, with offsets, and what is none."""
    texts = (b"2026-11-23T17:33:59.123456789Z", b"2026-11-23T18:33:59.5+01:00", b"2026-13-45T99:99:99Z", b"")
    times_s = Times(texts)
    assert [round(times_s[number], 3) for number in (0, 1)] == [round(NOW_S - 1 + 0.123, 3), _STAMP_S]
    assert times_s[2] != times_s[2]
    assert len(times_s[1:]) == 3


def test_plain_lines_are_not_touched() -> None:
    """The same block and the same text: nothing is copied."""
    block = LogBlock("/x", ("d",), b"192.0.2.1 - - x\n2026-11-23T17:33:59Z app: y\n", time.time())
    assert Containers().open(block) is block
    entry = msgspec.structs.replace(block, data=f"{_STAMP} stdout F a\n".encode(), log=JOURNAL, times_s=(1.0,))
    assert Containers().open(entry) is entry
