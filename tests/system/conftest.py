"""What the tests in a booted machine share: one installation for all, a machine for each module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installed import install
from tests.support.lab import Lab
from tests.support.node import Node

_TIMEOUT_S = 300
"""The first test makes the root file system, too, where the cache lacks it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory more time."""
    for item in items:
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the layers of a machine with nodewarden installed, never started."""
    return install(tmp_path_factory.mktemp("installed") / "layer")


@pytest.fixture(scope="module")
def node(installed: list[Path]) -> Iterator[Node]:
    """Yield a machine on which nodewarden enforces, for all tests of a module."""
    with Lab("node", "attacker", "neighbour", label="system") as lab, Node(lab, installed) as node:
        yield node
