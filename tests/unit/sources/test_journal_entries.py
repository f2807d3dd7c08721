"""The journal source: what becomes of the entries of a real journal."""

import os
import subprocess
import time

import pytest

from monitor.model.writers import ordinary_reason
from monitor.sources.journal.reader import Journal
from tests.support.journal import ROOT, SSH, Log, drain, text


def test_each_entry_goes_to_the_detectors_that_match_it(log: Log, opened: list[Journal]) -> None:
    """One pass over the journal serves all detectors; an entry that several match is read once, for all of them."""
    matches = {
        "sshd": [["_COMM=sshd"]],
        "failed": [["SYSLOG_IDENTIFIER=sshd", "PRIORITY=3"], ["_COMM=su"]],
        "never": [["_COMM=never"]],
    }
    opened.append(source := Journal(matches, directory=log.directory))
    log.write("both", PRIORITY="3")
    log.write("one", PRIORITY="4")
    log.write("none", _COMM="cron")
    log.write("su", _COMM="su")
    log.write("one more", PRIORITY="4")
    found = {block.detectors: text([block]) for block in drain(source)}
    assert found == {("sshd", "failed"): [b"both"], ("sshd",): [b"one", b"one more"], ("failed",): [b"su"]}
    assert source.stats.records == 4, "libsystemd should have filtered"


def test_a_detector_without_matches_reads_everything(log: Log, opened: list[Journal]) -> None:
    """Beside it, the others read what they ask for."""
    opened.append(source := Journal({"all": [], **SSH}, directory=log.directory))
    log.write("a", _COMM="cron")
    log.write("b")
    assert [(block.detectors, text([block])) for block in drain(source)] == [
        (("all",), [b"a"]),
        (("all", "sshd"), [b"b"]),
    ]


def test_the_matches_are_those_of_journalctl(log: Log, opened: list[Journal]) -> None:
    """For every combination of fields, each detector reads exactly what journalctl prints for its terms."""
    matches = {
        "one": [["F=1"]],
        "both": [["F=1", "G=2"]],
        "any": [["F=1", "F=2"]],
        "groups": [["F=1", "G=1", "+", "G=2", "F=2"]],
        "mixed": [["F=1", "F=2", "G=1", "+", "H=1"]],
    }
    values = ["0", "1", "2"]
    entries = [{"MESSAGE": f"{f}/{g}/{h}", "F": f, "G": g, "H": h} for f in values for g in values for h in values]
    opened.append(source := Journal(matches, directory=log.directory))
    log.write_entries(entries)
    found: dict[str, list[str]] = {name: [] for name in matches}
    for block in drain(source):
        for name in block.detectors:
            found[name] += [line.decode() for line in text([block])]
    for name, (terms,) in matches.items():
        printed = subprocess.run(
            ["journalctl", "-q", "-D", log.directory, "-o", "cat", *terms], capture_output=True, text=True, check=True
        )
        assert sorted(found[name]) == sorted(printed.stdout.splitlines()), name
        assert found[name], name


def test_what_users_write_is_apart_and_marked(log: Log, opened: list[Journal]) -> None:
    """A user's perfect imitation is in a block of its own that is not trusted, with journald's time."""
    opened.append(source := Journal({"sshd": [["SYSLOG_IDENTIFIER=sshd"]]}, directory=log.directory))
    claimed = str(int(time.time() * 1e6) - 3_570_000_000)
    log.write("real", _SOURCE_REALTIME_TIMESTAMP=claimed)
    log.write("forged", _UID="1000", SYSLOG_PID="7", _SOURCE_REALTIME_TIMESTAMP=claimed)
    log.write("real too")
    trusted, forged = drain(source)
    assert text([trusted]) == [b"real", b"real too"]
    assert [ordinary_reason(block.writer) for block in (trusted, forged)] == ["", "account 1000 wrote it"]
    assert text([forged]) == [b"forged"]
    assert source.stats.untrusted == 1
    assert trusted.times_s[0] == int(claimed) / 1e6
    assert forged.times_s[0] != int(claimed) / 1e6


def test_hostile_text_is_always_one_line(log: Log, opened: list[Journal]) -> None:
    """Newlines, NUL, bytes that are no UTF-8 and a hostile identifier make no second line and no other prefix."""
    opened.append(source := Journal(SSH, directory=log.directory))
    log.write(b"a\nnode1 sshd[1]: b\0\xff", b"\xe2\x28")
    log.write("d", SYSLOG_IDENTIFIER=b"x]: y\nsshd[1]: \xff", SYSLOG_PID="1]: x")
    (block,) = drain(source)
    assert block.data.split(b"\n") == [
        b"node1 sshd[7]: a node1 sshd[1]: b \xff",
        b"node1 sshd[7]: \xe2\x28",
        b"node1 x???y?sshd?1????[7]: d",
        b"",
    ]
    assert len(block.times_s) == 3


@pytest.mark.parametrize("filler", [b"x", None], ids=["compressed", "incompressible"])
def test_a_huge_message_is_cut_counted_and_proves_nothing(
    log: Log, opened: list[Journal], filler: bytes | None
) -> None:
    """The line keeps its bound, also where the journal compresses the field, and is not trusted: its end is missing."""
    opened.append(source := Journal(SSH, directory=log.directory, max_line_bytes=1024))
    log.write(filler * 1_000_000 if filler else os.urandom(1_000_000))
    log.write("small")
    cut, whole = drain(source)
    assert len(cut.data) <= 1024
    assert cut.data.count(b"\n") == 1
    assert cut.is_cut
    assert text([whole]) == [b"small"]
    assert not whole.is_cut
    assert source.stats.cut_lines == 1


def test_an_entry_without_text_is_counted(log: Log, opened: list[Journal]) -> None:
    """It is passed over, not handed on as an empty line."""
    opened.append(source := Journal(SSH, directory=log.directory))
    log.write_entries([ROOT, ROOT | {"MESSAGE": "a"}])
    assert text(drain(source)) == [b"a"]
    assert source.stats.malformed == 1


def test_what_journald_suppressed_is_counted(log: Log, opened: list[Journal]) -> None:
    """journald's own word about its rate limit counts; a user who says the same counts for nothing."""
    opened.append(source := Journal(SSH, directory=log.directory))
    told = {"MESSAGE": "Suppressed", "MESSAGE_ID": "a596d6fe7bfa4994828e72309e95d61e", "N_DROPPED": "41"}
    log.write_entries([told | {"_TRANSPORT": "driver"}, told | {"_TRANSPORT": "journal"}])
    assert drain(source) == []
    assert source.stats.suppressed == 41
