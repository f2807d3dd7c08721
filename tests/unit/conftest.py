"""Unit tests leave the kernel of the machine alone."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

_TABLE = "table inet nodewarden"


@pytest.fixture(scope="session", autouse=True)
def _machine_is_left_alone() -> Iterator[None]:
    """Fail if a test banned somebody on this very machine: a leader in memory is enough for it."""
    before = _has_table()
    yield
    assert before or not _has_table(), "a unit test made the table inet nodewarden: use MemoryLeader"


def _has_table() -> bool:
    if os.geteuid() != 0 or shutil.which("nft") is None:
        return False
    return _TABLE in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.splitlines()
