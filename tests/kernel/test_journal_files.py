"""A journal of very many files: the unit's limit on descriptors is enough to have all of them open."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.journal import Log

pytestmark = pytest.mark.kernel

_FILES = 1100
_UNIT = (Path(__file__).parents[2] / "systemd/nodewarden.service").read_text()
_BLOCK_BYTES = 4096
_COUNT_UNOPENED = """
import resource, sys
from pathlib import Path
from monitor.sources.journal.files import journal_files, not_open, open_reader
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
reader = open_reader(Path(sys.argv[2]))
print(len(not_open(journal_files(Path(sys.argv[2])))))
"""


def copies(file: Path, count: int) -> None:
    """Copy a file next to itself, without the zeros that journald allocates in advance."""
    content = file.read_bytes()
    starts = range(0, len(content), _BLOCK_BYTES)
    written = [start for start in starts if any(content[start : start + _BLOCK_BYTES])]
    for number in range(count):
        with file.with_name(f"{file.stem}-{number}.journal").open("wb") as copy:
            for start in written:
                os.pwrite(copy.fileno(), content[start : start + _BLOCK_BYTES], start)
            copy.truncate(len(content))


def test_the_units_limit_fits_a_large_journal(tmp_path: Path) -> None:
    """libsystemd opens every file, and leaves out in silence what finds no descriptor: none with the unit's limit."""
    Log(tmp_path).write("Failed password for root from 192.0.2.7 port 4711 ssh2")
    copies(tmp_path / "a.journal", _FILES - 1)
    limit = re.search(r"^LimitNOFILE=(\d+)$", _UNIT, re.MULTILINE)
    assert limit is not None

    def unopened(descriptors: int) -> int:
        command = [sys.executable, "-c", _COUNT_UNOPENED, str(descriptors), str(tmp_path)]
        return int(subprocess.check_output(command, text=True, timeout=60))

    assert unopened(1024) > _FILES - 1024
    assert unopened(int(limit[1]) * 3 // 4) == 0
