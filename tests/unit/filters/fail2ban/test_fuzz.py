"""Whatever stands in the files: a result, or a FilterError."""

import contextlib
import tempfile
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.export import to_yaml, translate
from monitor.filters.fail2ban.filters import parse_filter_reference, read_filter
from monitor.filters.fail2ban.ini import parse_ini
from monitor.filters.fail2ban.jails import read_jails
from monitor.filters.library import load_filter
from tests.unit.filters.fail2ban.support import write

_NAMES = st.sampled_from(
    ["failregex", "ignoreregex", "prefregex", "maxlines", "datepattern", "journalmatch", "logtype", "mode", "a", "b"]
)
_MARKS = st.sampled_from(list("<>%()/[];=\n \"'$\\\x1bé"))
_WORDS = st.sampled_from(["%%", "a", "b", "^x <HOST>", "\n  ", "1", "-1", "10m"])
_REFERENCES = st.sampled_from(
    ["%(a)s", "%(b)s", "%(known/a)s", "%(x/b)s", "%(__name__)s", "<a>", "<b>", "<a-<b>>", "<known/a>", "<x/a>"]
)
_PIECES = st.one_of(_MARKS, _WORDS, _REFERENCES)
_VALUES = st.lists(_PIECES, max_size=6).map("".join)
_OPTIONS = st.dictionaries(_NAMES, _VALUES, max_size=5)
_JAIL_NAMES = st.one_of(
    _NAMES,
    st.sampled_from(["filter", "logpath", "backend", "maxretry", "findtime", "bantime", "logtimezone"]),
    st.sampled_from(["action", "port", "protocol", "usedns", "ignoreip", "skip_if_nologs", "systemd_if_nologs"]),
    st.sampled_from([f"bantime.{name}" for name in ("increment", "factor", "formula", "multipliers", "maxtime")]),
)
_JAIL_VALUES = st.one_of(
    _VALUES,
    st.sampled_from(["f", "f[mode=a]", "f[a='%%', b=<a>]", "systemd", "polling", "/var/log/x", "::1 10.0.0.1/8"]),
    st.sampled_from(["file:/etc/hostname", "ssh,80:90", "nftables[port=ssh]", "1 2 4", "ban.Time*(1<<ban.Count)"]),
)
_JAILS = st.dictionaries(_JAIL_NAMES, _JAIL_VALUES, max_size=6)


def section(name: str, options: dict[str, str]) -> str:
    """Write a section whose values are continued where they hold new lines."""
    return f"[{name}]\n" + "".join(
        f"{key} = {value.replace(chr(10), chr(10) + ' ')}\n" for key, value in options.items()
    )


@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.text("[]a=%: ;#\n\t", max_size=60))
def test_any_text_is_an_ini_file_or_a_fault(text: str) -> None:
    """The reader of ini files raises nothing but FilterError."""
    with contextlib.suppress(FilterError):
        parse_ini("f", text)


@given(st.text(max_size=60) | st.text("a=[],'\" \n", max_size=30))
def test_any_text_is_a_reference_or_a_fault(text: str) -> None:
    """The reader of references raises nothing but FilterError."""
    with contextlib.suppress(FilterError):
        assert parse_filter_reference(text)[0]


@settings(max_examples=200, deadline=None)
@given(_OPTIONS, _OPTIONS, _OPTIONS, _OPTIONS, st.dictionaries(_NAMES, _VALUES, max_size=2))
def test_any_filter_is_read_or_refused(
    default: dict[str, str],
    definition: dict[str, str],
    init: dict[str, str],
    other: dict[str, str],
    given: dict[str, str],
) -> None:
    """Random values full of references and tags give a definition with expressions, or FilterError."""
    text = section("DEFAULT", default) + section("Definition", definition) + section("Init", init) + section("x", other)
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(FilterError):
        directory = write(Path(name), {"filter.d/f.conf": text, "filter.d/f.local": section("Definition", other)})
        found = read_filter(directory, "f", given)
        assert all(found.failregex)
        assert 1 <= found.maxlines <= 100


@settings(max_examples=200, deadline=None)
@given(_JAILS, _JAILS, _JAILS, _OPTIONS)
def test_any_jail_is_read_or_refused(
    default: dict[str, str], first: dict[str, str], second: dict[str, str], definition: dict[str, str]
) -> None:
    """Random jails are read, each with a filter or a fault, and their export is YAML; or FilterError."""
    jails = section("DEFAULT", {"enabled": "1", "filter": "f", **default}) + section("a", first) + section("b", second)
    text = section("Definition", {"failregex": "^x <HOST>", **definition})
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(FilterError):
        found = read_jails(write(Path(name), {"filter.d/f.conf": text, "jail.conf": jails}))
        assert len(found.jails) + len(found.faults) >= 2
        assert all(jail.fault or (jail.filter and jail.filter.failregex) for jail in found.jails)
        yaml.safe_load(to_yaml(found, ()))
        made = translate(found, (), Path(name), has_ports=True)
        yaml.safe_load(made.text)
        for detector, text in made.filters.items():
            path = Path(name) / f"{detector}.yaml"
            path.write_text(text)
            assert load_filter(str(path)).failregex


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(jail: bytes, included: bytes) -> None:
    """Files of any bytes raise nothing but FilterError, included ones too."""
    with tempfile.TemporaryDirectory() as name:
        directory = write(Path(name), {"filter.d/f.conf": "[INCLUDES]\nbefore = g.conf\n[Definition]\nfailregex = x\n"})
        (directory / "jail.conf").write_bytes(jail)
        (directory / "filter.d/g.conf").write_bytes(included)
        with contextlib.suppress(FilterError):
            read_jails(directory)
        with contextlib.suppress(FilterError):
            assert read_filter(directory, "f").failregex
