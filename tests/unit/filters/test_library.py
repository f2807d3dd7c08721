"""Finding filters by reference, and what is said of those that cannot be used."""

import re
from pathlib import Path

import pytest

from monitor.filters.definition import FilterError
from monitor.filters.evidence import EvidenceRule
from monitor.filters.library import BUILT_IN, built_in_names, load_filter, read_filter_file
from monitor.filters.log_filter import LogFilter
from monitor.filters.reference import reference

_WHOLE = """
description: A demonstration.
failregex: ['^bad <ADDR>$']
ignoreregex: ['^bad 192\\.0\\.2\\.9$']
daemon: demo(?:-x)?
modes:
  normal: {}
  strict: {failregex: ['^odd <ADDR>$'], ignoreregex: ['^odd 192\\.0\\.2\\.9$']}
datepattern: '{^LN-BEG}'
journalmatch: [_SYSTEMD_UNIT=demo.service + _UID=0]
files: [/var/log/demo.log]
evidence: proven
writers: {units: [demo.service], executables: [/usr/bin/demo], accounts: [root, no-such-account]}
direct_files: [/var/log/demo.log]
"""
_PLAIN = "description: x\nfailregex: ['^bad <ADDR>$']\n"


def _write(directory: Path, text: str | bytes, name: str = "demo.yaml") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_filter_of_ones_own(tmp_path: Path) -> None:
    """Each key of a YAML file lands in the definition; the first mode is the default."""
    path = _write(tmp_path, _WHOLE)
    found = load_filter(str(path))
    assert (found.name, found.origin) == ("demo", str(path))
    assert found.failregex == ("^bad <ADDR>$",)
    assert found.ignoreregex == (r"^bad 192\.0\.2\.9$",)
    assert "(?:demo(?:-x)?)" in found.prefregex
    assert (found.datepattern, found.files) == ("{^LN-BEG}", ("/var/log/demo.log",))
    assert found.journalmatch == (("_SYSTEMD_UNIT=demo.service", "+", "_UID=0"),)
    writers = found.evidence.writers
    assert writers is not None
    assert (writers.units, writers.executables) == (frozenset({"demo.service"}), frozenset({"/usr/bin/demo"}))
    assert (writers.uids, writers.direct_files) == (frozenset({0}), ("/var/log/demo.log",))
    assert found.maxlines == 1
    assert load_filter(f"{path}[mode=normal]") == found


def test_a_mode_adds(tmp_path: Path) -> None:
    """A mode's expressions come after those that all modes have."""
    found = load_filter(f"{_write(tmp_path, _WHOLE)}[mode=strict]")
    assert found.failregex == ("^bad <ADDR>$", "^odd <ADDR>$")
    assert found.ignoreregex == (r"^bad 192\.0\.2\.9$", r"^odd 192\.0\.2\.9$")


@pytest.mark.parametrize("head", ["demo[7]:", "demo:", "demo", "host demo[7]:", "host demo-x:"])
def test_daemon(tmp_path: Path, head: str) -> None:
    """`daemon` takes what syslog and the journal write before a message, and nothing like it."""
    log_filter = LogFilter(load_filter(str(_write(tmp_path, _WHOLE))))
    prefix = log_filter.expressions.prefix
    assert prefix is not None
    split = prefix.split(f" {head} bad 192.0.2.1\n")
    assert split == ("bad 192.0.2.1\n", {"mlfid": head})
    assert prefix.split(f"{head.replace('demo', 'demon')} bad 192.0.2.1\n") is None
    assert prefix.split(f"{head}\n") is None


def test_a_plain_filter(tmp_path: Path) -> None:
    """What is left out has defaults that add nothing."""
    found = load_filter(str(_write(tmp_path, _PLAIN)))
    assert (found.ignoreregex, found.prefregex, found.datepattern, found.journalmatch, found.files) == (
        (),
        "",
        "",
        (),
        (),
    )
    assert (found.maxlines, found.evidence, found.notes) == (1, EvidenceRule(), ())


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("writers: {accounts: [root]}", "need `evidence: proven`"),
        ("direct_files: [/var/log/x]", "need `evidence: proven`"),
        ("evidence: proven", "needs writers.accounts"),
        ("evidence: proven\nwriters: {accounts: [root]}", "or direct_files"),
        ("evidence: proven\nwriters: {accounts: [root], units: [a.service]}", "both units and executables"),
        ("evidence: proven\ndoubt: x\nwriters: {accounts: [root]}\ndirect_files: [/a]", "doubt needs"),
        ("evidence: proven\nwriters: {accounts: [root, www-data]}\ndirect_files: [/a]", "www-data runs programs"),
        ("evidence: sure", "evidence"),
    ],
)
def test_evidence_that_cannot_be(tmp_path: Path, more: str, fault: str) -> None:
    """Proof needs an application that is named in full; an account that others share is none."""
    with pytest.raises(FilterError, match=fault):
        load_filter(str(_write(tmp_path, _PLAIN + more)))


def test_a_doubt_is_handed_on(tmp_path: Path) -> None:
    """Why the lines prove nothing is said in the filter's own words."""
    assert load_filter(str(_write(tmp_path, f"{_PLAIN}doubt: it rains"))).evidence == EvidenceRule(doubt="it rains")


def test_built_in_names() -> None:
    """The names are those of the files, samples aside, and each can be loaded."""
    names = built_in_names()
    assert "sshd" in names
    assert names == sorted(names)
    assert not any("samples" in name for name in names)
    for name in names:
        found = load_filter(name)
        assert (found.name, found.origin) == (name, str(BUILT_IN / f"{name}.yaml"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("failregex: [", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("description: 'x", "is not YAML"),
        ("a: &a [*a, *b]", "is not YAML"),
        ("!!python/object/apply:os.system [true]", "is not YAML"),
        (b"description: \xff\xfe", "is not YAML"),
        (b"description: \x00", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ('description: !!int ""', "is not YAML"),
        ("description: !!timestamp x", "is not YAML"),
        ("description: !!bool x", "is not YAML"),
        ("", "is empty"),
        ("- a", "Expected `object`, got `array`"),
        ("failregex: []", "missing required field `description`"),
        (_PLAIN + "failregexp: []", "unknown field `failregexp`"),
        (_PLAIN + "maxlines: many", "Expected `int`, got `str` - at `$.maxlines`"),
        (_PLAIN + "files: /var/log/x", "at `$.files`"),
        (_PLAIN + "ignoreregex: [1]", "at `$.ignoreregex[0]`"),
        (_PLAIN + "modes: {a: {bad: []}}", "unknown field `bad` - at `$.modes[...]`"),
        (_PLAIN + "maxlines: 0", "maxlines must be between 1 and 100"),
        (_PLAIN + "maxlines: 101", "maxlines must be between 1 and 100"),
        (_PLAIN + "daemon: x\nprefregex: ^x", "set daemon or prefregex, not both"),
        (b"# " + b"x" * (1 << 20), "is larger than 1048576 bytes"),
    ],
    ids=range(23),
)
def test_a_faulty_file(tmp_path: Path, text: str | bytes, reason: str) -> None:
    """A file that cannot be used is one line that names it and says why."""
    path = _write(tmp_path, text)
    with pytest.raises(FilterError) as caught:
        load_filter(str(path))
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


def test_the_largest_file(tmp_path: Path) -> None:
    """A file of exactly a megabyte is read."""
    text = _PLAIN + "#"
    path = _write(tmp_path, text.ljust(1 << 20, "x"))
    assert load_filter(str(path)).failregex == ("^bad <ADDR>$",)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("mode=loud", "there is no mode 'loud'; known: normal, strict"),
        ("logtype=journal", "unknown parameter 'logtype'; the only parameter is `mode`"),
        ("mode=strict, port=22", "unknown parameter 'port'"),
    ],
)
def test_a_wrong_parameter(tmp_path: Path, parameters: str, reason: str) -> None:
    """A parameter that the filter does not have is refused, with those that it has."""
    path = _write(tmp_path, _WHOLE)
    with pytest.raises(FilterError, match=re.escape(f"{path}: {reason}")):
        load_filter(f"{path}[{parameters}]")


def test_no_modes(tmp_path: Path) -> None:
    """A filter without modes takes none."""
    path = _write(tmp_path, _PLAIN)
    with pytest.raises(FilterError, match=re.escape(f"{path}: there is no mode 'strict'; known: none")):
        load_filter(f"{path}[mode=strict]")


@pytest.mark.parametrize("name", ["absent", "sshd.samples", "../sshd", "sshd.yaml", "./demo.yaml", "SSHD", "a" * 65])
def test_no_such_built_in(name: str) -> None:
    """Relative paths and unknown names are refused, with the names that there are."""
    with pytest.raises(FilterError) as caught:
        load_filter(name)
    assert name.strip() in str(caught.value)
    assert "sshd, " in str(caught.value)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file and a directory are faults that name the path and the system's reason."""
    with pytest.raises(FilterError, match=re.escape(f"{tmp_path}/absent.yaml cannot be read: No such file")):
        load_filter(f"{tmp_path}/absent.yaml")
    (tmp_path / "d.yaml").mkdir()
    with pytest.raises(FilterError, match=re.escape(f"{tmp_path}/d.yaml cannot be read: Is a directory")):
        read_filter_file(tmp_path / "d.yaml")


@pytest.mark.parametrize("name", ["demo.txt", "demo.conf", "filter.d/demo.local", "filter.d/demo"])
def test_neither_kind_of_file(tmp_path: Path, name: str) -> None:
    """A path is one of a YAML file or of a file of fail2ban's filter.d."""
    with pytest.raises(FilterError, match=re.escape(f"{tmp_path}/{name} is neither")):
        load_filter(f"{tmp_path}/{name}")


def test_one_of_fail2ban(tmp_path: Path) -> None:
    """A path in filter.d is read as fail2ban's, with parameters and the log's kind."""
    (tmp_path / "filter.d").mkdir()
    text = "[Definition]\nfailregex = ^<mode>-<logtype> <HOST>$\nmode = normal\n"
    path = _write(tmp_path, text, "filter.d/demo.conf")
    found = load_filter(f"{path}[mode=odd]", logtype="journal")
    assert (found.name, found.failregex) == ("demo", ("^odd-journal <HOST>$",))
    assert load_filter(str(path)).failregex == ("^normal-file <HOST>$",)
    with pytest.raises(FilterError, match=re.escape(f"{tmp_path}/filter.d/absent")):
        load_filter(f"{tmp_path}/filter.d/absent.conf")


def test_the_page_lists_the_filters_as_they_are() -> None:
    """docs/filters.md is what the filters generate, and names every one."""
    written = (Path(__file__).parents[3] / "docs" / "filters.md").read_text()
    assert written == reference(), "run `make docs`"
    assert all(f"| `{name}` |" in written for name in built_in_names())
