"""`nodewarden filter test` with an expression and lines from the command line, and what is left of missed lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.cli.filter import filter_group
from monitor.filters.definition import FilterError

_DATE = "Nov 23 17:33:52"
_EXPRESSION = r"^\s*bad <F-USER>\S+</F-USER> from <ADDR>$"


def run(*words: str | Path, text: str = "") -> Result:
    """Run `nodewarden filter test`."""
    return CliRunner().invoke(filter_group, ["test", *map(str, words)], input=text, catch_exceptions=False)


def tried(*words: str | Path, text: str = "") -> dict[str, Any]:
    """Return the report as JSON."""
    done = run(*words, "--json", text=text)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_an_expression_and_a_line() -> None:
    """Neither a filter nor a log is needed, and either may be given."""
    line = f"{_DATE} bad root from 192.0.2.1"
    for words in (("-e", _EXPRESSION, "-l", line), ("-e", _EXPRESSION, "-")):
        found = tried(*words, text=f"{line}\n")
        assert (found["failures"], found["addresses"]) == (1, {"192.0.2.1": 1})
    found = tried("sshd", "--line", f"{_DATE} h sshd[1]: Failed password for x from 192.0.2.2 port 1 ssh2", "-l", "x")
    assert (found["lines"], found["failures"], found["missed_lines"]) == (2, 1, ["x"])


def test_all_parts_of_a_filter() -> None:
    """Prefix, date and what is ignored can be given too, with several expressions."""
    prefix = r"^app: <F-CONTENT>.+</F-CONTENT>$"
    parts = ["-e", "^bad <ADDR>$", "-e", "^worse <ADDR>$", "--ignore", "::9$", "--prefix", prefix]
    parts += ["--datepattern", r"^t={EPOCH};\s*"]
    lines = ("t=1106513999; app: bad ::1", "t=1106513999; app: worse ::2", "t=1106513999; app: bad ::9", "bad ::3")
    found = tried(*parts, *(word for line in lines for word in ("-l", line)))
    assert [one["hits"] for one in found["expressions"]] == [1, 1]
    assert (found["ignored"], found["missed"]) == (1, 1)


def test_what_is_left_of_a_missed_line() -> None:
    """It is shown without date and prefix, as expressions see it, with the step at which it was lost."""
    prefix = r"^ \w+ app: <F-CONTENT>.+</F-CONTENT>$"
    lines = ("h app: good ::1", "h other: bad ::1", "h app: bad h.example", "h app: bad ::1x", "h app: bad")
    words = [word for line in lines for word in ("-l", f"{_DATE} {line}")]
    found = tried("-e", "^bad(?: <ADDR>.*|\\b.*)$", "-e", "^bad <ADDR>", "--prefix", prefix, *words)
    assert [(one["left"], one["reason"]) for one in found["missed_remains"]] == [
        ("good ::1", "no failregex matches"),
        (" h other: bad ::1", "prefregex does not match"),
        ("", "expression 1 matches, but gives no address"),
        ("", "expression 1 matches, but gives no address"),
        ("", "expression 1 matches, but gives no address"),
    ]
    assert found["missed_remains"][0]["date"] == _DATE
    assert (found["matched"], found["helping"], found["unusable"]["without_address"]) == (3, 0, 3)
    text = run("-e", "^bad <ADDR>", "--prefix", prefix, *words).output
    assert 'left: " h other: bad ::1"' in text
    assert f"prefregex does not match; date: {_DATE}" in text


@pytest.mark.parametrize(
    "words",
    [
        (), ("sshd",), ("sshd", "a", "-l", "x"), ("-e", "<ADDR>"), ("sshd", "-", "-e", "<ADDR>"),
        ("sshd", "-e", "<ADDR>", "-l", "x"), ("sshd", "-l", "x", "--ignore", "y"), ("sshd", "-", "--datepattern", "%Y"),
    ],
)  # fmt: skip
def test_too_few_or_too_many(words: tuple[str, ...]) -> None:
    """What takes whose place is said, with exit code 2."""
    done = run(*words)
    assert done.exit_code == 2
    assert "--expression" in done.output


@settings(max_examples=60, deadline=None)
@given(st.text("<HOST>ADRF-USEID/()[]?*+.\\^$|ab ", max_size=30), st.text(max_size=40))
def test_any_expression_and_line(expression: str, line: str) -> None:
    """There is a report, or one fault."""
    try:
        done = run("-e", expression, f"--line={line}", "--json")
    except FilterError:
        return
    found = json.loads(done.output)
    assert found["matched"] + found["ignored"] + found["missed"] + found["timeouts"] == found["lines"]


def test_python_warns_no_operator() -> None:
    """A class in a class, as POSIX has it, is reported like any expression: without words of Python's."""
    code = "import sys; from monitor.cli.entry import main; sys.exit(main())"
    words = ["filter", "test", "--line", "x 192.0.2.1", "--expression", "^[[a-z] <ADDR>"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr, "1 matched" in done.stdout) == (0, "", True)
