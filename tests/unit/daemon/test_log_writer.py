"""The log's writer: whoever does not read it, or cannot be written to, holds up nobody, and that is a problem."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.daemon.life.log_writer import MAX_WAITING, SHOWN_S, SLOW_S, LogWriter

_SCRIPT = """
import logging
from monitor.daemon.life.logs import set_up, writer
from monitor.settings.schema import Log, LogFormat
set_up(Log(format=LogFormat.TEXT))
for _ in range(4000):
    logging.getLogger("x").info("%s", "line " * 20)
print(writer().lost_total, flush=True)
"""


class Gated(LogWriter):
    """Writes into a list, once its gate is open."""

    def __init__(self) -> None:
        """Start with a closed gate, at time 0."""
        self.gate, self.reached = threading.Event(), threading.Event()
        self.written: list[str] = []
        self.now_s = 0.0
        self.fails = False
        super().__init__(lambda: self.now_s)

    def prepared(self, record: logging.LogRecord) -> Callable[[], object]:
        """Return what waits for the gate, and fails if it is to."""
        text = record.getMessage()

        def write() -> None:
            self.reached.set()
            self.gate.wait()
            if self.fails:
                raise OSError(28, "no space left on device")
            self.written.append(text)

        return write


@pytest.fixture
def gated() -> Iterator[Gated]:
    """Return a writer; its thread ends with the test."""
    made = Gated()
    yield made
    made.gate.set()
    made.close()


def write(writer: LogWriter, *numbers: int) -> None:
    """Write a line for each number."""
    for number in numbers:
        writer.handle(logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", (number,), None))


def test_what_cannot_be_written_waits_then_counts(gated: Gated) -> None:
    """The bound on memory; what waited comes in order, and nothing is said as long as all is well."""
    assert gated.trouble() == ""
    write(gated, 0)
    gated.reached.wait()
    write(gated, *range(1, MAX_WAITING + 4))
    assert gated.lost_total == 3
    assert gated.trouble().startswith("3 lines of the log were lost since the start")
    gated.now_s = SLOW_S
    assert "is not read: 1024 lines wait, 3 lines of the log were lost" in gated.trouble()
    gated.gate.set()
    gated.flush()
    assert gated.written == [str(number) for number in range(MAX_WAITING + 1)]
    gated.now_s = SHOWN_S
    assert gated.trouble() == ""


def test_a_line_that_fails_counts_and_the_next_is_written(gated: Gated) -> None:
    """A full disk: no trace, no end of the thread."""
    gated.gate.set()
    gated.fails = True
    write(gated, 1)
    gated.flush()
    assert "writing failed" in gated.trouble()
    gated.fails = False
    write(gated, 2)
    gated.flush()
    assert (gated.written, gated.lost_total) == (["2"], 1)


def test_a_record_that_cannot_be_formatted_counts(gated: Gated) -> None:
    """A message with the wrong arguments is a bug of ours, and no trace on standard error."""
    gated.handle(logging.LogRecord("x", logging.INFO, "x.py", 1, "%d", ("no number",), None))
    assert gated.lost_total == 1


def test_a_pipe_that_nobody_reads_stops_nobody() -> None:
    """The process goes on, and ends without a trace; all lines but those that it counts are read in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        lost = int(process.stdout.readline())  # only then is the other pipe read
        assert process.stderr
        lines = process.stderr.read().splitlines()
    assert process.returncode == 0
    assert lost > 0
    written = [line for line in lines if line.endswith("line " * 20)]
    assert len(written) == 4000 - lost
    assert all("lines of the log were lost" in line for line in lines if line not in written)


def test_without_standard_error_no_other_file_is_written(tmp_path: Path) -> None:
    """Its number is that of the next file that is opened, such as the database."""
    state = tmp_path / "state"
    opened = f"import os; assert os.open({str(state)!r}, os.O_CREAT | os.O_WRONLY) == 2\n"
    opened += _SCRIPT.replace("print(", "writer().flush()\nprint(")
    command = ("/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, opened)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout) >= 4000
    assert state.read_bytes() == b""
