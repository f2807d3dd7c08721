"""The formats of the log: one line a record whatever attackers wrote, and machines read back the very fields."""

import json
import logging
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.daemon.life.log_formats import FIELDS, Escaping, Json, Logfmt, Text
from monitor.daemon.life.logs import follow, journal_fields, set_up
from monitor.model.printable import printable
from monitor.settings.schema import Level, Log, LogFormat
from tests.support import logfmt

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
NAMED = st.dictionaries(st.sampled_from(["network", "reason", "pod", "networks"]), TEXTS)
PARSERS: Mapping[type[Logfmt | Json], Callable[[str], dict[str, str]]] = {Logfmt: logfmt.parse, Json: json.loads}
INJECTION = 'x\nlevel=error message="fake"\r\u2028\x00\x1b[2J\x7f\x85"\\" pod=evil","event":"ban'


def record(message: str, fields: Mapping[str, str] | None = None, level: int = logging.INFO) -> logging.LogRecord:
    """Return a record as the daemon makes it."""
    made = logging.LogRecord("nodewarden", level, "x.py", 1, "%s", (message,), None)
    if fields is not None:
        setattr(made, FIELDS, dict(fields))
    return made


@pytest.mark.parametrize("kind", PARSERS, ids=lambda kind: str(kind.__name__))
@given(TEXTS, NAMED)
@example(INJECTION, {"reason": INJECTION, "pod": ""})
@example('"', {"reason": "\\"})
@example("a=b c", {"reason": "=", "pod": " "})
def test_a_line_reads_back_as_its_very_fields(kind: type[Logfmt | Json], message: str, fields: dict[str, str]) -> None:
    """Whatever text they hold, a record is one line of printable ASCII, and it yields the same texts again."""
    line = kind().format(record(message, fields))
    assert line.isascii()
    assert line.isprintable()
    read = PARSERS[kind](line)
    assert list(read) == ["time", "level", "message", *fields]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", read.pop("time"))
    assert read == {"level": "info", "message": message, **fields}


@given(TEXTS, NAMED)
@example(INJECTION, {})
def test_a_readable_line_is_one_line(message: str, fields: dict[str, str]) -> None:
    """Time, level, and the message escaped; fields are for machines."""
    line = Text().format(record(message, fields, logging.WARNING))
    found = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} WARNING (.*)", line)
    assert found
    assert found[1] == printable(message)


@pytest.mark.parametrize("kind", PARSERS, ids=lambda kind: str(kind.__name__))
def test_a_trace_is_a_field(kind: type[Logfmt | Json]) -> None:
    """A fault of our own, whose text others may have chosen, stays within its line."""
    made = record("failed")
    made.exc_info = (ValueError, ValueError(INJECTION), None)
    read = PARSERS[kind](kind().format(made))
    assert read["trace"].endswith(f"ValueError: {INJECTION}")


def test_lone_surrogates_are_escaped() -> None:
    """Bytes that are not UTF-8 reach a message as such; no writer fails over them."""
    for kind, parse in PARSERS.items():
        assert parse(kind().format(record("\udcff")))["message"] == "\udcff"
    assert Text().format(record("\udcff")).isprintable()


def test_a_message_in_the_journal_is_one_line_unless_ours_has_several() -> None:
    """Text of others cannot start a line; faults of the configuration are listed one on each."""
    assert Escaping("%(message)s").format(record(INJECTION)).isprintable()
    fault = logging.LogRecord("x", logging.ERROR, "x.py", 1, "cannot be used:\n%s", ("a\nb",), None)
    assert Escaping("%(message)s").format(fault) == "cannot be used:\na\nb"


def test_fields_have_a_prefix_in_the_journal() -> None:
    """So that no text of others can be one of journald's own."""
    assert journal_fields(record("x", {"network": "192.0.2.7"})) == {"NODEWARDEN_NETWORK": "192.0.2.7"}
    assert journal_fields(record("x")) == {}


@pytest.fixture
def _handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the test runner its own handlers."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: None)


@pytest.mark.usefixtures("_handlers")
def test_a_reload_changes_the_format(capfd: pytest.CaptureFixture[str]) -> None:
    """The level too; a reload that changes neither leaves the handler alone."""
    root = logging.getLogger()
    first, second = Log(format=LogFormat.TEXT), Log(format=LogFormat.JSON, level=Level.ERROR)
    set_up(first)
    (handler,) = root.handlers
    follow(first, Log(format=LogFormat.TEXT, level=Level.DEBUG))
    assert (root.handlers, root.level) == ([handler], logging.DEBUG)
    follow(first, second)
    logging.getLogger("x").error("%s", "now in JSON")
    logging.getLogger("x").warning("%s", "not severe enough")
    root.handlers[0].flush()
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "now in JSON"


@pytest.mark.usefixtures("_handlers")
def test_without_a_journal_its_format_is_readable_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """In a terminal or a container, where standard error is not the journal's."""
    set_up(Log())
    logging.getLogger("x").error("%s", "hello")
    logging.getLogger().handlers[0].flush()
    assert capfd.readouterr().err.endswith(" ERROR   hello\n")
