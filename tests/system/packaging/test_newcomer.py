"""A newcomer follows the documents on a fresh Debian 12; `make newcomer` builds the package and adds Debian 13."""

from pathlib import Path

import pytest

from tests.newcomer.walk import walk
from tests.support.needs import needs


@pytest.mark.system
@pytest.mark.timeout(600)  # on a fresh machine it makes the root file system, too
def test_every_command_of_the_documents_succeeds(deb: Path) -> None:
    """README, getting started and operations: every command and setting works, and the purge removes it all."""
    needs("nmap", "ssh", "sshpass")
    outcome = walk("bookworm", print, package=deb)
    assert [f"{result.step.place}: {result.step.text}: {result.fault}" for result in outcome.faults] == []
    assert outcome.left_behind == []
    assert len(outcome.results) > 60
