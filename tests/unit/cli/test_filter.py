"""`nodewarden filter`: what it says of a log is what the daemon would find, whatever the log holds."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.filter import filter_group
from monitor.cli.log_lines import LogLines, UnreadableLogError
from monitor.filters.definition import FilterError
from monitor.filters.library import built_in_names, load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.logs import LogBlock
from tests.support.journal import Log

FAILED = "Nov 23 17:33:52 web1 sshd[{pid}]: Failed password for root from {address} port 40112 ssh2\n"
ENDED = "Nov 23 17:33:52 web1 sshd[7]: Connection closed by 192.0.2.9 port 4022 [preauth]\n"
OTHER = "Nov 23 17:33:52 web1 cron[1]: nothing of interest\n"
OWN = r"""description: d
failregex: ['^app: bad <HOST>$', '^app: worse <F-ID>\S+</F-ID>$', '^app: <F-NOFAIL>good</F-NOFAIL> <HOST>$']
"""


def failed(address: str, pid: int = 1) -> str:
    """Return a line in which a login fails."""
    return FAILED.format(address=address, pid=pid)


def run(*words: str | Path, text: bytes = b"") -> Result:
    """Run `nodewarden filter`; an expected error is raised."""
    return CliRunner().invoke(filter_group, [str(word) for word in words], input=text, catch_exceptions=False)


def tried(reference: str | Path, log: str | bytes, *options: str) -> dict[str, Any]:
    """Return what a filter makes of a log that comes by standard input."""
    done = run("test", reference, "-", "--json", *options, text=log.encode() if isinstance(log, str) else log)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    assert found["matched"] + found["ignored"] + found["missed"] + found["timeouts"] == found["lines"]
    return found


def own(directory: Path, text: str = OWN) -> Path:
    """Write a filter of one's own."""
    path = directory / "own.yaml"
    path.write_text(text)
    return path


def test_lines_are_told_apart() -> None:
    """Failures, lines that only help, and those missed are counted; hits are by expression, addresses most first."""
    log = failed("192.0.2.1") + OTHER + failed("2001:db8::1", 2) + failed("2001:db8::1", 3) + ENDED
    found = tried("sshd", log)
    counts = {key: found[key] for key in ("lines", "matched", "missed", "failures", "helping", "timeouts")}
    assert counts == {"lines": 5, "matched": 4, "missed": 1, "failures": 3, "helping": 1, "timeouts": 0}
    assert list(found["addresses"].items()) == [("2001:db8::1", 2), ("192.0.2.1", 1)]
    assert found["is_searchable"]
    assert found["candidates"] == 4
    hit = {one["failregex"][:30]: one["hits"] for one in found["expressions"] if one["hits"]}
    assert sorted(hit.values()) == [1, 3]
    first = found["expressions"][0]
    assert (first["number"], first["hits"], first["candidates"], first["timed_candidates"]) == (1, 3, 3, 3)
    assert first["ms"] > 0


def test_it_finds_what_the_daemon_finds(tmp_path: Path) -> None:
    """Over many blocks of mixed lines, failures by address are those of the daemon's own matcher."""
    lines = [failed(f"192.0.2.{number % 250}", number) + OTHER * 5 + ENDED for number in range(3000)]
    log = tmp_path / "log"
    log.write_text("".join(lines))
    assert log.stat().st_size > 3 * 256 * 1024
    block = LogBlock("x", ("sshd",), log.read_bytes(), time.time())
    matcher = LogMatcher({"sshd": load_filter("sshd")}, findtimes_s={"sshd": 1e10})
    expected = Counter(str(event.source) for event in matcher.scan(block))
    found = json.loads(run("test", "sshd", log, "--json").output)
    assert found["failures"] == sum(expected.values()) == 3000
    assert len(found["addresses"]) == len(expected) == 250
    assert sorted(found["addresses"].values()) == sorted(expected.values())


def test_it_opens_records_of_containers(tmp_path: Path) -> None:
    """As the daemon does: a log of a pod can be tried as it is."""
    log = tmp_path / "0.log"
    log.write_text("".join(f"2026-11-23T17:33:59.5Z stdout F {line}" for line in (failed("192.0.2.1"), OTHER)))
    found = json.loads(run("test", "sshd", log, "--json").output)
    assert (found["lines"], found["failures"]) == (2, 1)


def test_people_read_it_too(tmp_path: Path) -> None:
    """The screen has the numbers, the expressions, the addresses and as many missed lines as were asked for."""
    log = tmp_path / "auth.log"
    log.write_text(failed("192.0.2.1") + OTHER.replace("nothing", "one") + OTHER.replace("nothing", "two"))
    done = run("test", "sshd", log, "--missed", "1")
    assert done.exit_code == 0
    assert "3 lines: 1 matched, 0 ignored, 2 missed" in done.output
    assert "1 failure with an address" in done.output
    assert "dates: in 3 of the first 3 lines" in done.output
    assert ["192.0.2.1", "1"] in [line.split() for line in done.output.splitlines()]
    assert "one of interest" in done.output
    assert "two of interest" not in done.output


def test_whether_the_log_proves_is_said(tmp_path: Path) -> None:
    """A file that syslog writes only shuns; a filter of one's own proves in a file that only its application writes."""
    log = tmp_path / "auth.log"
    log.write_text(failed("192.0.2.1"))
    log.chmod(0o640)
    assert f"failures only shun: {log} is no file that only the application writes" in run("test", "sshd", log).output
    assert "no file" in json.loads(run("test", "sshd", log, "--json").output)["doubt"]
    own = tmp_path / "own.yaml"
    section = f"evidence: proven\nwriters: {{accounts: [root]}}\ndirect_files: ['{log}']\n"
    own.write_text(f"description: x\nfailregex: ['from <ADDR> port']\n{section}")
    assert "\nevidence: proven\n" in run("test", own, log).output
    log.chmod(0o666)
    assert "failures only shun: everybody may write it" in run("test", own, log).output


def test_what_cannot_be_banned_is_said(tmp_path: Path) -> None:
    """Names are never resolved, identities may be no addresses: both are told, as are lines without any date."""
    found = tried(own(tmp_path), "app: bad example.org\napp: worse !!\napp: bad 192.0.2.1\napp: good 192.0.2.2\n")
    assert found["unusable"] == {"names": 1, "others": 1, "without_address": 0}
    assert (found["failures"], found["helping"], found["undated"]) == (1, 1, 3)
    assert found["dates"] == {"lines": 4, "undated": 4, "unreadable": 0, "templates": {}}
    text = run("test", own(tmp_path), "-", text=b"app: bad example.org\n").output
    assert "names are never resolved" in text


def test_ignored_lines_count_as_such(tmp_path: Path) -> None:
    """What an ignoreregex matches too is no failure and not missed."""
    path = own(tmp_path, OWN + "ignoreregex: ['192[.]0[.]2[.]7']\n")
    found = tried(path, "app: bad 192.0.2.7\napp: bad 192.0.2.8\n", "--missed", "5")
    assert (found["ignored"], found["matched"], found["missed_lines"]) == (1, 1, [])


def test_a_slow_filter_is_named(tmp_path: Path) -> None:
    """Without fixed text, all lines must be looked at: it says so, and which expression is to blame."""
    path = own(tmp_path, "description: d\nfailregex: ['^fixed text <HOST>', '^<HOST> ']\n")
    text = run("test", path, "-", text=b"192.0.2.1 x\nnothing\n").output
    assert "slow: every line is a candidate; no fixed text to search for in expression 2" in text
    found = tried(path, "192.0.2.1 x\nnothing\n", "--missed", "9")
    assert (found["candidates"], found["missed_lines"]) == (2, ["nothing"])


def test_time_zones_and_future_dates() -> None:
    """A zone in which the line was written hours from now shows as a date in the future; the right one does not."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    line = failed("192.0.2.1").replace("Nov 23 17:33:52", now)
    assert tried("sshd", line, "--timezone", "UTC-05:00")["future"] == 1
    assert tried("sshd", line, "--timezone", "UTC")["future"] == 0
    assert run("test", "sshd", "-", "--timezone", "Nowhere/City").exit_code == 2


def test_expressions_that_take_too_long_are_stopped(tmp_path: Path) -> None:
    """A line on which an expression would run for ages costs the time allowed and is counted."""
    path = own(tmp_path, "description: d\nfailregex: ['^app: (?:a+)+ <HOST>']\n")
    found = tried(path, f"app: {'a' * 60}\napp: aaa 192.0.2.1\n", "--confirm-timeout", "20ms")
    assert (found["timeouts"], found["failures"], found["missed"]) == (1, 1, 0)


def test_long_lines_are_cut(tmp_path: Path) -> None:
    """A line of a megabyte is cut and counted, its end is no line of its own, and the next is found as ever."""
    log = "x" * (1 << 20) + failed("192.0.2.66") + failed("192.0.2.1")
    found = tried("sshd", log, "--max-line-bytes", "512", "--missed", "3")
    assert (found["lines"], found["cut_lines"], found["addresses"]) == (2, 1, {"192.0.2.1": 1})
    assert found["missed_lines"] == ["x" * 511]


@pytest.mark.parametrize("size", [1, 3, 255, 256, 257, 1000, 1 << 18, 1 << 19])
def test_cutting_does_not_depend_on_blocks(tmp_path: Path, size: int) -> None:
    """Lines at and beyond the bound come out alike wherever the reads happen to end, the last without a newline too."""
    log = tmp_path / "log"
    texts = [b"a" * size, b"", b"b" * 255, b"c" * 256, b"d" * size, b"e"]
    log.write_bytes(b"\n".join(texts))
    lines = LogLines(str(log), 256)
    assert b"".join(lines.blocks()) == b"".join(text[:255] + b"\n" for text in texts)
    assert lines.lines == 6
    assert lines.cut_lines == 1 + 2 * (size > 255)
    assert lines.read_bytes == log.stat().st_size


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A line of 200 MB without an end is looked at in little memory."""
    program = (
        "import resource, sys; from monitor.cli.main import cli\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (150 << 20, 150 << 20))\n"
        "cli(['filter', 'test', 'sshd', sys.argv[1], '--json'])"
    )
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.write(b"x")
        file.truncate(200 << 20)
        file.seek(0, 2)
        file.write(b"\n" + failed("192.0.2.1").encode())
    done = subprocess.run([sys.executable, "-c", program, log], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failures"] == 1


def test_binary_is_only_text_that_does_not_match() -> None:
    """Every byte there is, alone and beside a line in bad UTF-8 that matches, does no harm."""
    log = bytes(range(256)) * 50 + b"\n\xff\xfe\x00\n" + failed("192.0.2.1").encode().replace(b"root", b"r\xff\xf0t")
    found = tried("sshd", log, "--missed", "100")
    assert found["addresses"] == {"192.0.2.1": 1}
    assert found["lines"] == 53
    assert len(found["missed_lines"]) == found["missed"]


def test_nothing_foreign_reaches_the_terminal(tmp_path: Path) -> None:
    """Escape sequences and characters that turn text around are shown as escapes, from log and filter alike."""
    path = own(tmp_path, 'description: d\nfailregex: ["^\\e\\\\[32mapp: bad <HOST>"]\n')
    log = "\x1b[2J\x1b]0;title\x07 \u202ereversed \x9b31m\r hidden\n\x1b[32mapp: bad 192.0.2.1\n"
    done = run("test", path, "-", "--missed", "5", text=log.encode())
    assert "192.0.2.1" in done.output
    assert r"\x1b[2J\x1b]0;title\x07 \u202ereversed \x9b31m\r hidden" in done.output
    assert r"\x1b\[32mapp: bad" in done.output
    assert all(char.isprintable() or char == "\n" for char in done.output)
    assert tried(path, log)["failures"] == 1


@pytest.mark.parametrize("options", [(), ("--json",), ("--missed", "3")])
def test_an_empty_log_is_no_error(options: tuple[str, ...]) -> None:
    """There is a report of nothing."""
    done = run("test", "sshd", "-", *options)
    assert done.exit_code == 0
    assert '"lines": 0' in done.output or "0 lines: 0 matched, 0 ignored, 0 missed" in done.output


def test_unusable_logs_and_filters(tmp_path: Path) -> None:
    """The command itself ends with exit code 1 and one line that names what is wrong."""
    broken = own(tmp_path, "description: d\nfailregex: ['(<HOST>']\n")
    log = tmp_path / "log"
    log.write_text("x\n")
    cases: dict[tuple[str | Path, Path], str] = {
        ("sshd", tmp_path / "missing"): "missing cannot be read: No such file",
        ("sshd", tmp_path): "cannot be read: Is a directory",
        ("nothing", log): "there is no filter 'nothing'",
        ("sshd[mode=odd]", log): "there is no mode 'odd'",
        (broken, log): "own.yaml",
        (tmp_path / "absent.yaml", log): "absent.yaml cannot be read",
        ("sshd[", log): "is not a filter",
    }
    for words, message in cases.items():
        command: list[str | Path] = [
            sys.executable,
            "-c",
            "from monitor.cli.entry import main; main()",
            "filter",
            "test",
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert message in done.stderr
        assert done.stderr.startswith("nodewarden: ")
        assert done.stderr.count("\n") == 1


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of one's own is found from where one stands, fail2ban's too, with parameters; names are built in."""
    own(tmp_path)
    (tmp_path / "filter.d").mkdir()
    (tmp_path / "filter.d/sshd.conf").write_text("[Definition]\nfailregex = ^%(word)s <HOST>$\nword = <m>\n")
    monkeypatch.chdir(tmp_path)
    assert tried("own.yaml", "app: bad 192.0.2.1\n")["failures"] == 1
    assert tried("./own.yaml", "app: bad 192.0.2.1\n")["failures"] == 1
    assert tried("filter.d/sshd.conf[m=odd]", "odd 192.0.2.1\n")["failures"] == 1
    monkeypatch.chdir(tmp_path / "filter.d")
    assert tried("sshd.conf[m=odd]", "odd 192.0.2.1\n")["failures"] == 1
    with pytest.raises(FilterError, match="built-in"):
        run("test", "own", "-")


def test_addresses_are_cut_on_the_screen() -> None:
    """Twenty addresses are shown, those with most failures; how many more there are is said."""
    log = "".join(failed(f"198.51.{number // 250}.{number % 250}", number) for number in range(1200))
    log += failed("192.0.2.1", 1201) * 2
    lines = run("test", "sshd", "-", text=log.encode()).output.splitlines()
    start = [line.split() for line in lines].index(["ADDRESS", "FAILURES"])
    assert lines[start + 1].split() == ["192.0.2.1", "2"]
    assert lines[start + 21] == "and 1,181 addresses more"
    found = tried("sshd", log)
    assert (len(found["addresses"]), found["addresses_total"]) == (1000, 1201)


def test_the_journal_is_read(tmp_path: Path) -> None:
    """Entries come by the filter's journalmatch, with the journal's times; a message of several lines is one line."""
    log = Log(tmp_path)
    message = "Failed password for root from 192.0.2.1 port 1 ssh2"
    log.write(message, f"odd\n  sshd[1]: {message}\n{message}", message, _SYSTEMD_UNIT="ssh.service")
    log.write(message, _SYSTEMD_UNIT="else.service")
    done = run("test", "sshd", f"journal:{tmp_path}", "--json", "--missed", "5")
    found = json.loads(done.output)
    assert (found["lines"], found["failures"], found["undated"], found["dates"]) == (3, 2, 0, None)
    assert len(found["missed_lines"]) == 1
    assert "odd" in found["missed_lines"][0]


def test_a_filter_cannot_give_the_journal_orders(tmp_path: Path) -> None:
    """Terms that are options of journalctl are refused; an absent journal is one clear error."""
    path = own(tmp_path, OWN + "journalmatch: ['--vacuum-size=1']\n")
    with pytest.raises(UnreadableLogError, match=r"invalid match for the journal.*expected FIELD=value"):
        run("test", path, f"journal:{tmp_path}")
    with pytest.raises(UnreadableLogError, match="the journal cannot be read"):
        run("test", "sshd", f"journal:{tmp_path / 'absent'}")


def test_built_in_filters_are_listed() -> None:
    """All of them, with modes in their order and where they read, for machines and for people."""
    listed = {each["name"]: each for each in json.loads(run("list", "--json").output)}
    assert list(listed) == built_in_names()
    assert listed["sshd"]["modes"] == ["normal", "ddos", "extra", "aggressive"]
    assert "/var/log/auth.log" in listed["sshd"]["files"]
    assert "_SYSTEMD_UNIT=ssh.service _UID=0" in listed["sshd"]["journalmatch"]
    text = run("list").output
    assert all(each["description"] in text for each in listed.values())


def test_where_nothing_matches_it_says_what_to_try(tmp_path: Path) -> None:
    """Other modes of a built-in filter, and --missed; neither where something matches or was asked for."""
    path = tmp_path / "mail.log"
    path.write_text("Nov 26 17:33:52 mx dovecot: nothing of interest\n")
    said = run("test", "dovecot", path).output
    assert "to try other modes: dovecot[mode=verbose], dovecot[mode=aggressive]\n" in said
    assert "to see what is left of missed lines: --missed 10\n" in said
    assert "to try" not in run("test", "dovecot[mode=verbose]", path).output
    assert "--missed" not in run("test", "dovecot", path, "--missed", "1").output
    path.write_text(failed("192.0.2.7"))
    assert "to try" not in run("test", "sshd", path).output
