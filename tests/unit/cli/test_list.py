"""`nodewarden list` says why it is empty."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli import show
from monitor.cli.bans import list_bans
from monitor.cli.filter import filter_group
from monitor.cli.origin import detector_of, origin
from monitor.cli.target import Target
from monitor.control.protocol import ListBans, Status
from monitor.filters.library import built_in_names


class _Daemon(Target):
    """Has no bans in force, and two that are only observed."""

    def ask(self, request: object) -> dict[str, object]:
        if isinstance(request, Status):
            return {"detectors": [{"name": "sshd"}, {"name": "port_scan"}], "bans": {"observed": 2}}
        return {"bans": [], "cursor": ""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no bans; 2 are only observed: nodewarden list --observed"),
        (["--observed"], "no bans"),
        (["--detector", "sshd", "--observed"], "no bans"),
        (["--detector", "import", "--observed"], "no bans"),
        (["--detector", "peer web-1", "--observed"], "no bans"),
        (["--detector", "peer"], "no bans: there is no detector peer"),
        (["--detector", "ssh"], "no bans: there is no detector ssh; did you mean sshd?"),
        (["--detector", "x\x1b"], "no bans: there is no detector x\\x1b"),
        (["--json"], "[]"),
    ],
)
def test_an_empty_list_is_explained(words: list[str], said: str) -> None:
    """A misspelt detector is named, and so are bans that are only observed."""
    done = CliRunner().invoke(list_bans, words, obj=_Daemon(Path("/nowhere")))
    assert (done.exit_code, "".join(done.output.split("\n"))) == (0, said)


@pytest.mark.parametrize("given", ["peer web-1", "web-1"])
def test_a_detector_can_be_given_as_the_table_shows_it(given: str) -> None:
    """Bans of other nodes are shown as those of `peer NAME`; the daemon knows the name."""
    assert detector_of(origin({"origin": "peer", "detector": "web-1"})) == "web-1"
    asked: list[ListBans] = []

    class _Noting(_Daemon):
        def ask(self, request: object) -> dict[str, object]:
            asked.extend([request] if isinstance(request, ListBans) else [])
            return super().ask(request)

    assert CliRunner().invoke(list_bans, ["--detector", given], obj=_Noting(Path("/nowhere"))).exit_code == 0
    assert [one.detector for one in asked] == ["web-1"]


def test_a_long_last_cell_goes_below_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no room next to the others; no line is wider than the terminal, no text is lost."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    row = ("2026-11-27 18:00:00.000", "198.51.100.7", "port_scan", "logged as drop: and " * 6)
    assert show.table(("WHEN", "NETWORK", "DETECTOR", "WHY"), [row]) == 1
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[:3] == [
        "WHEN                     NETWORK       DETECTOR",
        "    WHY",
        "2026-11-27 18:00:00.000  198.51.100.7  port_scan",
    ]
    assert " ".join(line.strip() for line in lines[3:]) == row[-1].strip()


def test_names_stay_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first column of a table is never folded; the others are."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert show.table(("DETECTOR", "FROM"), [("udp_amplification", "/etc/nodewarden/conf.d/50-local.yaml:7")]) == 1
    said = capsys.readouterr().out
    assert "udp_amplification  /etc" in said
    assert len(said.splitlines()) > 2


def test_each_filter_is_listed_in_a_line_of_plain_words() -> None:
    """In a pipe the logs of a filter are separated by commas."""
    lines = CliRunner().invoke(filter_group, ["list"]).output.splitlines()
    assert len(lines) == len(built_in_names()) + 1
    (sshd,) = (line for line in lines if line.startswith("sshd "))
    assert "\\n" not in sshd
    assert ", /var/log/auth.log" in sshd
