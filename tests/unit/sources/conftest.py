"""A journal of its own for each test that wants one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sources.journal.reader import Journal
from tests.support.journal import Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Give each test a journal of its own, with one entry that nobody asks for."""
    log = Log(tmp_path / "journal")
    log.directory.mkdir()
    log.write("other", _COMM="cron", SYSLOG_IDENTIFIER="CRON")
    return log


@pytest.fixture
def opened(log: Log) -> Iterator[list[Journal]]:
    """Close the sources that a test opened."""
    sources: list[Journal] = []
    yield sources
    for source in sources:
        source.close()
