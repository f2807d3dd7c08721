"""Logs in all the forms in which they are saved: failures and logged packets, at the times that the lines say."""

import datetime
import gzip
import json
import lzma
import os
from pathlib import Path

import pytest
import zstandard

from monitor.daemon.replay.foreign.content import Content
from monitor.daemon.replay.foreign.file_report import UnusableFileError
from monitor.daemon.replay.foreign.kernel_lines import FOREIGN, NOT_COUNTED, UNDATED
from monitor.detectors.failures import FailuresSettings
from monitor.model.alerts import Strength
from monitor.model.errors import ConfigError
from monitor.model.events import AuthFailure, PacketLogged
from monitor.recording.inputs import Events, Ticked
from monitor.settings.detectors import Detectors
from monitor.settings.schema import Settings
from tests.unit.foreign.support import read, read_all

PACKET = (
    "DROP IN=eth0 OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 SRC=198.51.100.7 DST=192.0.2.1 LEN=44 TOS=0x00 "
    "PREC=0x00 TTL=53 ID=25943 PROTO=TCP SPT=50276 DPT=199 WINDOW=1024 RES=0x00 SYN URGP=0 "
)
_DAY = datetime.datetime(2026, 11, 20, 10, 0, 1)
WRITTEN_S = _DAY.timestamp() + 3600.0
_FAILED = "Nov {day} {time} host sshd[77]: Failed password for root from 198.51.100.7 port 4242 ssh2\n"

NOTATIONS = {
    "syslog": f"Nov 20 10:00:01 host kernel: [ 1234.567890] {PACKET}",
    "syslog, without a time since boot": f"Nov 20 10:00:01 host kernel: {PACKET}",
    "RFC 5424 file format": f"{_DAY.astimezone().isoformat(timespec='microseconds')} host kernel: [ 1234.5] {PACKET}",
    "journalctl -o short-precise": f"Nov 20 10:00:01.000000 host kernel: {PACKET}",
    "journalctl -o short-iso": f"{_DAY.astimezone().isoformat()} host kernel: {PACKET}",
    "journalctl -o short-unix": f"{_DAY.timestamp():.6f} host kernel: {PACKET}",
    "dmesg -T": f"[Fri Nov 20 10:00:01 2026] {PACKET}",
    "dmesg --time-format iso": f"{_DAY.astimezone().isoformat(timespec='microseconds').replace('.', ',')} {PACKET}",
    "dmesg -T -x": f"kern  :warn  : [Fri Nov 20 10:00:01 2026] {PACKET}",
}
SINCE_BOOT = {
    "dmesg": "[{uptime}] ",
    "dmesg --raw": "<4>[{uptime}] ",
    "dmesg -x": "kern  :warn  : [{uptime}] ",
}


def _written(path: Path, content: bytes, at_s: float = WRITTEN_S) -> Path:
    path.write_bytes(content)
    os.utime(path, (at_s, at_s))
    return path


@pytest.mark.parametrize("name", NOTATIONS)
def test_a_packet_in_every_notation(tmp_path: Path, name: str) -> None:
    """At the time that the line says."""
    found = read(_written(tmp_path / "kern.log", f"{NOTATIONS[name]}\n".encode()))
    (event,) = found.events
    assert type(event) is PacketLogged
    assert (event.prefix, event.destination_port, event.time_s) == ("DROP ", 199, _DAY.timestamp())
    assert found.report.notes == []


@pytest.mark.parametrize("name", SINCE_BOOT)
def test_times_since_boot_keep_their_distances(tmp_path: Path, name: str) -> None:
    """The last line is as old as the file; and it is said that this is a guess."""
    head = SINCE_BOOT[name]
    lines = [head.format(uptime=f"{at:12.6f}") + PACKET for at in (100.25, 107.5)]
    lines.append(head.format(uptime="  110.000000") + "something else")
    found = read(_written(tmp_path / "dmesg.txt", "\n".join(lines).encode()))
    assert [event.time_s - WRITTEN_S for event in found.events] == pytest.approx([-9.75, -2.5])
    assert "times are since boot" in found.report.notes[0]


@pytest.mark.parametrize("form", ["{},250000{} ", "{}.250000{} host kernel: "], ids=["dmesg", "syslog"])
def test_fractions_of_a_second_count(tmp_path: Path, form: str) -> None:
    """dmesg writes them behind a comma."""
    zone = _DAY.astimezone().isoformat()[-6:]
    line = form.format(_DAY.isoformat(), zone) + PACKET + "\n"
    (event,) = read(_written(tmp_path / "kern.log", line.encode())).events
    assert event.time_s == _DAY.timestamp() + 0.25


def test_what_is_no_evidence_is_counted_by_reason(tmp_path: Path) -> None:
    """Other programs, prefixes that do not count, lines without a date, broken ones: as for the daemon."""
    lines = [
        f"Nov 20 10:00:01 host logger: {PACKET}",
        f"<12>[ 100.0] {PACKET}",
        f"Nov 20 10:00:01 host kernel: {PACKET.replace('DROP', 'ACCEPT')}",
        f"host kernel: {PACKET}",
        f"Nov 20 10:00:01 host kernel: {PACKET[:-60]}",
        f"Nov 20 10:00:01 host kernel: {PACKET}",
    ]
    found = read(_written(tmp_path / "kern.log", "\n".join(lines).encode()))
    assert len(found.events) == 1
    assert found.report.unused == {FOREIGN: 2, NOT_COUNTED: 1, UNDATED: 1, "malformed (field)": 1}


def test_a_rotated_set_is_read_in_order(tmp_path: Path) -> None:
    """The oldest first, packed or not, whatever the order on the command line; the year follows from the files."""
    newest = _written(tmp_path / "auth.log", _FAILED.format(day=20, time="09:00:00").encode())
    middle = _written(tmp_path / "auth.log.1", _FAILED.format(day=13, time="09:00:00").encode())
    oldest = _written(tmp_path / "auth.log.2.gz", gzip.compress(_FAILED.format(day="06", time="09:00:00").encode()))
    older = _written(
        tmp_path / "auth.log.3.zst", zstandard.compress(_FAILED.format(day="04", time="09:00:00").encode())
    )
    first = _written(tmp_path / "auth.log.10.xz", lzma.compress(_FAILED.format(day="02", time="09:00:00").encode()))
    found = read_all([newest, first, older, middle, oldest])
    days = [datetime.datetime.fromtimestamp(event.time_s).date().isoformat() for event in found.events]
    assert days == ["2026-11-02", "2026-11-04", "2026-11-06", "2026-11-13", "2026-11-20"]
    assert {event.detector for event in found.events} == {"sshd"}


def test_zstd_frames_follow_each_other_and_a_cut_one_is_said(tmp_path: Path) -> None:
    """`zstd` of a pipe, and `cat` of two files, have several; a bomb is read in parts."""
    parts = zstandard.compress(b"one\n") + zstandard.ZstdCompressor().compress(b"two\n" * 100_000)
    with Content(_written(tmp_path / "whole.zst", parts)) as content:
        assert content.read(1 << 20) == b"one\n" + b"two\n" * 100_000
        assert not content.damage
    with Content(_written(tmp_path / "cut.zst", parts[:-3])) as content:
        assert content.read(4) == b"one\n"
        content.read(1 << 20)
        assert content.damage == "is damaged, or its end is missing"
    bomb = zstandard.compress(bytes(64 << 20))
    assert len(bomb) < 1 << 14
    with Content(_written(tmp_path / "bomb.zst", bomb)) as content:
        assert content.read(100) == bytes(100)


def test_several_files_are_one_time_line(tmp_path: Path) -> None:
    """Events of a log and of the kernel's log take turns by their times, with the seconds between them."""
    log = _written(tmp_path / "auth.log", "".join(_FAILED.format(day=20, time=f"10:00:0{n}") for n in (0, 3)).encode())
    kernel = _written(tmp_path / "kern.log", f"{NOTATIONS['syslog']}\n".encode())
    inputs = read_all([log, kernel]).inputs
    kinds = [type(one.events[0]) for one in inputs if isinstance(one, Events)]
    assert kinds == [AuthFailure, PacketLogged, AuthFailure]
    times = [one.time_s for one in inputs]
    assert times == sorted(times)
    assert [one.time_s - _DAY.timestamp() for one in inputs if isinstance(one, Ticked)] == list(range(8))


def test_a_year_of_silence_costs_nothing(tmp_path: Path) -> None:
    """The clock takes larger and larger steps, and is there when something happens again."""
    lines = (
        _FAILED.format(day=20, time="10:00:00")
        + "2027-11-20T10:00:00+00:00 host sshd[1]: Failed password for root from 198.51.100.7 port 1 ssh2\n"
    )
    found = read(_written(tmp_path / "auth.log", lines.encode(), WRITTEN_S + 366 * 86400))
    assert len(found.events) >= 1
    assert len(found.inputs) < 2000


def test_lines_of_a_copy_prove_what_the_log_itself_would(tmp_path: Path) -> None:
    """Only its application writes where the log belongs; and that this is assumed is said."""
    section = FailuresSettings(filter="vsftpd", files=("/var/log/vsftpd.log",))
    settings = Settings(detectors=Detectors(failures={"ftp": section}))
    line = 'Fri Nov 20 10:00:00 2026 [pid 7] [root] FAIL LOGIN: Client "198.51.100.7"\n'
    found = read(_written(tmp_path / "vsftpd.log.1", line.encode()), settings=settings)
    assert [event.strength for event in found.events] == [Strength.PROVEN]
    assert found.report.notes == ["who wrote it is taken to be as for /var/log/vsftpd.log"]


def test_an_unknown_name_is_tried_by_all_filters(tmp_path: Path) -> None:
    """And it is said; `--filter` names the detectors."""
    content = _FAILED.format(day=20, time="10:00:00").encode()
    found = read(_written(tmp_path / "evidence.txt", content))
    assert [event.detector for event in found.events] == ["sshd"]
    assert "those of sshd were tried" in found.report.notes[0]
    named = read(_written(tmp_path / "evidence.txt", content), named=["sshd"])
    assert (len(named.events), named.report.notes) == (1, ["who wrote it is taken to be as for /var/log/auth.log"])
    assert named.events[0].strength is Strength.SPOOFABLE
    with pytest.raises(ConfigError, match="nobody: neither a detector that reads logs nor a built-in filter"):
        read(tmp_path / "evidence.txt", named=["nobody"])


def _entry(**fields: str) -> dict[str, str]:
    head = {"__CURSOR": "s=1", "__REALTIME_TIMESTAMP": str(int(_DAY.timestamp() * 1e6)), "_MACHINE_ID": "0" * 32}
    return head | {"_HOSTNAME": "host"} | fields


ENTRIES = [
    _entry(_TRANSPORT="kernel", SYSLOG_FACILITY="0", MESSAGE=PACKET),
    _entry(_TRANSPORT="kernel", SYSLOG_FACILITY="1", MESSAGE=PACKET),
    _entry(_TRANSPORT="syslog", SYSLOG_IDENTIFIER="kernel", MESSAGE=PACKET),
    _entry(
        _TRANSPORT="syslog",
        _SYSTEMD_UNIT="ssh.service",
        _EXE="/usr/sbin/sshd",
        _UID="0",
        _COMM="sshd",
        _PID="77",
        SYSLOG_IDENTIFIER="sshd",
        MESSAGE="Failed password for root from 198.51.100.7 port 4242 ssh2",
    ),
]


def exported(entries: list[dict[str, str]]) -> bytes:
    """Return entries as `journalctl -o export` prints them: messages in binary, every other one."""
    parts = []
    for number, entry in enumerate(entries):
        for name, value in entry.items():
            if name == "MESSAGE" and number % 2:
                parts.append(name.encode() + b"\n" + len(value).to_bytes(8, "little") + value.encode() + b"\n")
            else:
                parts.append(f"{name}={value}\n".encode())
        parts.append(b"\n")
    return b"".join(parts)


@pytest.mark.parametrize("form", ["json", "export"])
def test_entries_of_the_journal(tmp_path: Path, form: str) -> None:
    """Packets that the kernel itself logged, and failures, with what the journal says of who wrote them."""
    content = exported(ENTRIES) if form == "export" else "\n".join(map(json.dumps, ENTRIES)).encode()
    found = read(tmp_path / "some.journal", content)
    packet, failure = found.events
    assert (packet.destination_port, packet.time_s) == (199, _DAY.timestamp())
    assert (failure.detector, failure.strength, failure.doubt) == ("sshd", Strength.PROVEN, "")
    assert (found.report.records, found.report.notes, found.report.unused) == (4, [], {})


def test_entries_of_impossible_times_are_left_out(tmp_path: Path) -> None:
    """Whatever a made up file says, times are such that a calendar has."""
    late = [entry | {"__REALTIME_TIMESTAMP": "9" * 19} for entry in ENTRIES]
    found = read(tmp_path / "some.journal", exported(late))
    assert (found.events, found.report.unused) == ([], {"dated before 1970 or after 2242": 4})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"\x7fELF\x02\x01\x01" + bytes(99), "it is binary, and of no known kind (it starts with 7f 45 4c 46"),
        (b"LPKSHHRH" + bytes(300), "replay what `journalctl --file=FILE -o export` prints"),
        (b"[NEW] tcp      6 120 SYN_SENT src=1.1.1.1 dst=2.2.2.2\n", "record with `conntrack -E -o xml,timestamp,id`"),
        (gzip.compress(b"x" * 999)[:10], "it is damaged, or its end is missing"),
        (b"PK\x03\x04" + bytes(99), "it is a zip archive"),
    ],
)
def test_what_cannot_be_replayed_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    """With what it is, and what to do."""
    with pytest.raises(UnusableFileError) as refused:
        read(tmp_path / "some", content)
    assert said in str(refused.value)


def test_a_packed_file_that_ends_early_keeps_what_was_whole(tmp_path: Path) -> None:
    """And it is said."""
    lines = "".join(_FAILED.format(day=20, time=f"10:{n // 60:02}:{n % 60:02}") for n in range(3000)).encode()
    found = read(_written(tmp_path / "auth.log.gz", gzip.compress(lines)[:-2000]))
    assert 0 < len(found.events) < 3000
    assert found.report.notes[-1] == "it is damaged, or its end is missing: what came before counts"


def test_devices_and_directories_are_refused(tmp_path: Path) -> None:
    """What never ends is not started."""
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "missing"):
        with pytest.raises(UnusableFileError, match="cannot be read"):
            read(path)
