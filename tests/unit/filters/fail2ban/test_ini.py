"""Ini files: what counts as option, comment and continuation, and where the first fault is."""

import os
from pathlib import Path

import pytest

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.ini import SIZE_LIMIT_BYTES, Section, parse_ini, read_ini


def texts(section: Section) -> dict[str, str]:
    """Return the raw values of a section."""
    return {name: option.text for name, option in section.items()}


def test_options_values_and_comments() -> None:
    """Names are in lower case, `=` and `:` separate, comments go, deeper lines continue a value."""
    text = """
# comment
; another
[DEFAULT]
Known : a=b
[Definition]
failregex = ^one;two   ; comment behind white space
            ^three
            # comment inside
\t  ^four = 4

  ^six
empty =
[Init?family=inet6]
x=1
[DEFAULT]
again = yes
"""
    ini = parse_ini("f.conf", text)
    assert texts(ini.defaults) == {"known": "a=b", "again": "yes"}
    assert texts(ini.sections["Definition"]) == {"failregex": "^one;two\n^three\n^four = 4\n\n^six", "empty": ""}
    assert texts(ini.sections["Init?family=inet6"]) == {"x": "1"}
    assert ini.sections["Definition"]["failregex"].location == "f.conf:7"


def test_all_line_ends_are_line_ends() -> None:
    """Files from Windows and old Macs read the same; other separators are part of the value."""
    ini = parse_ini("f", "[a]\r\nx = 1\r\n  2\ry = 3\u20284\n")
    assert texts(ini.sections["a"]) == {"x": "1\n2", "y": "3\u20284"}


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("a = 1\n", "f:1", "before the first"),
        ("[a]\nx = 1\nnonsense\n", "f:3", "neither"),
        ("[a]\n= 1\n", "f:2", "neither"),
        ("[a]\n[]\n", "f:2", "neither"),
        ("[a]\nx = 1\nX = 2\n", "f:3", "twice"),
        ("[a]\n[b]\n[a]\n", "f:3", "twice"),
    ],
)
def test_faults_name_their_line(text: str, place: str, reason: str) -> None:
    """What fail2ban would refuse is refused, with the place."""
    with pytest.raises(FilterError, match=f"^{place}: .*{reason}"):
        parse_ini("f", text)


def test_long_lines_take_no_time() -> None:
    """A line without a delimiter, of a length at which a backtracking expression would not end, is refused."""
    with pytest.raises(FilterError, match="f:2"):
        parse_ini("f", "[a]\nx" + " " * 900_000 + "y\n")


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    """Other encodings, huge files, directories and pipes are faults; a missing file is none."""
    latin, huge, pipe = tmp_path / "latin", tmp_path / "huge", tmp_path / "pipe"
    latin.write_bytes(b"[a]\nx = \xe4\n")
    huge.write_bytes(b"#" * (SIZE_LIMIT_BYTES + 1))
    os.mkfifo(pipe)
    for path, reason in ((latin, ":2: .*UTF-8"), (huge, "1 MiB"), (pipe, "regular"), (tmp_path, "directory")):
        with pytest.raises(FilterError, match=f"^{path}.*{reason}"):
            read_ini(path)
    with pytest.raises(FilterError, match="not a file name"):
        read_ini(Path("a\0b"))
    assert read_ini(tmp_path / "missing") is None
